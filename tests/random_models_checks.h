// Whether what a command says of a random model, and writes, is right.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reference.h"
#include "verbs.h"

namespace mw::testing {

struct Verdict {
  std::string fault;      // "": what the command did is what it may do
  bool compared = false;  // with a number, a tensor or a text that was found in another way
};

// Ids as the words of the tokenizer beside each model.
std::vector<int32_t> text();
std::string text_of(const std::vector<int32_t>& ids);

// The verdicts on one model, command by command in their order.
class Checks {
 public:
  Checks(const RandomModel& model, uint64_t seed, fs::path folder);
  Verdict judge(const Verb& verb, const Outcome& outcome);

 private:
  Verdict judge_answer(const Verb& verb, const Outcome& outcome);
  Verdict judge_loss(const Verb& verb, const Outcome& outcome);
  Verdict judge_result(const Verb& verb);
  Verdict judge_continuation(const Verb& verb, const Outcome& outcome);
  [[nodiscard]] bool may_refuse(const Verb& verb) const;
  [[nodiscard]] std::optional<Sum> expected(const Verb& verb, const FloatOutput& target) const;
  std::string fault_of_slope(const Verb& verb, const FloatOutput& target);
  struct Moved {
    RandomModel model;
    std::unique_ptr<Reference> reference;
  };
  Moved& moved(const std::set<std::string>& names, double step);

  const RandomModel& model_;
  uint64_t seed_;
  fs::path folder_;
  Reference reference_;
  std::map<std::string, Moved> moved_;
};

}  // namespace mw::testing
