// Observed, and what an observer does that looks at nothing.
#include "train/observed.h"

#include "base/spelled.h"

namespace mw {

TrainingObserver::~TrainingObserver() = default;
void TrainingObserver::reading(const std::string& /*file*/, int64_t /*done*/, int64_t /*all*/) {}
void TrainingObserver::note(const std::string& /*sentence*/) {}
std::string TrainingObserver::called(const std::string& setting) { return setting; }
void TrainingObserver::stepped(const TrainingProgress& /*progress*/) {}
void TrainingObserver::evaluated(int64_t /*done*/, int64_t /*all*/) {}
bool TrainingObserver::should_stop() { return false; }

namespace training {

template <class F>
void Observed::tell(const F& f) {
  if (has_thrown()) return;
  try {
    f();
  } catch (...) {
    thrown_ = std::current_exception();
  }
}

std::string told_to(TrainingObserver& observer, const std::string& note) {
  return spelled(note,
                 [&](std::string_view name, bool) { return observer.called(std::string(name)); });
}

void Observed::note(const std::string& sentence) {
  tell([&] {
    notes_.push_back(told_to(observer_, sentence));
    observer_.note(notes_.back());
  });
}
void Observed::stepped(const TrainingProgress& progress) {
  tell([&] { observer_.stepped(progress); });
}
void Observed::evaluated(int64_t done, int64_t all) {
  tell([&] { observer_.evaluated(done, all); });
}
bool Observed::should_stop() {
  bool stops = false;
  tell([&] { stops = observer_.should_stop(); });
  return stops || has_thrown();
}

}  // namespace training
}  // namespace mw
