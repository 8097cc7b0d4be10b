// Observed: an observer that may throw at any time, as a run sees it.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "millwright/training_report.hpp"

namespace mw::training {

// A note with settings as the observer calls them.
std::string told_to(TrainingObserver& observer, const std::string& note);

// Passes on what an observer is told until it throws. From then on it is told nothing more, and the
// run is to stop; what was thrown is kept until the run has come to its end.
class Observed {
 public:
  explicit Observed(TrainingObserver& observer) : observer_(observer) {}

  void note(const std::string& sentence);
  void stepped(const TrainingProgress& progress);
  void evaluated(int64_t done, int64_t all);
  bool should_stop();
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  [[nodiscard]] bool has_thrown() const { return thrown_ != nullptr; }
  void rethrow() const {
    if (thrown_ != nullptr) std::rethrow_exception(thrown_);
  }

 private:
  template <class F>
  void tell(const F& f);

  TrainingObserver& observer_;
  std::vector<std::string> notes_;
  std::exception_ptr thrown_;
};

}  // namespace mw::training
