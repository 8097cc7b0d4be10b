// What commands should tell of a random model: losses, scores of a text and likeliest tokens, by
// formulas of their own in double, from what the reference executor gives.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "millwright/millwright.hpp"
#include "random_model.h"

namespace mw::testing {

// A sum over terms, and how far it may be off because the outputs it is taken from are rounded.
struct Sum {
  double sum = 0, slack = 0;
  int64_t count = 0;
  int64_t axis = -1, classes = 0;  // of the classes, where there are some

  void add(const Sum& other);
  [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
  [[nodiscard]] double bound() const { return slack / static_cast<double>(count); }
};

class Reference {
 public:
  explicit Reference(const RandomModel& model);

  // The output that a loss is of, as docs/training.md has it; null where that cannot be told.
  [[nodiscard]] const FloatOutput* target(const std::string& wanted) const;

  // The losses below are nothing where the target and the loss do not go together.
  // Of all that a file of arrays holds, in one call.
  [[nodiscard]] std::optional<Sum> loss(const std::string& kind, const FloatOutput& target,
                                        const std::filesystem::path& file) const;
  // Of the `batch` examples of the first step, in calls as large as the model takes.
  [[nodiscard]] std::optional<Sum> first_step(const std::string& kind, const FloatOutput& target,
                                              const std::filesystem::path& file,
                                              int64_t batch) const;

  // Of a language model and the ids of a text: in the first step of training, and by `eval`.
  [[nodiscard]] std::optional<Sum> first_text_step(const FloatOutput& target,
                                                   const std::vector<int32_t>& ids,
                                                   int64_t batch) const;
  [[nodiscard]] std::optional<Sum> score(const FloatOutput& target,
                                         const std::vector<int32_t>& ids) const;
  // "", or why `more` is not the greedy continuation of `prompt` by at most `limit` tokens.
  [[nodiscard]] std::string fault_of_continuation(const FloatOutput& target,
                                                  const std::vector<int32_t>& prompt,
                                                  const std::vector<int32_t>& more,
                                                  int64_t limit) const;
  // Outputs for inputs by name, dictionaries as NAME and NAME.keys.
  [[nodiscard]] TensorMap outputs(const TensorMap& inputs) const;

 private:
  using Rows = std::vector<std::vector<double>>;
  struct Call {
    int64_t batch = 1, time = 1;
  };
  [[nodiscard]] std::optional<Sum> loss_of(const std::string& kind, const FloatOutput& target,
                                           TensorMap batch) const;
  [[nodiscard]] bool takes_examples(int64_t count) const;  // in one call
  [[nodiscard]] Call most() const;
  [[nodiscard]] Call padded(Call call) const;
  // Logarithms of probabilities by position, for rows of equal length.
  [[nodiscard]] std::vector<Rows> log_probabilities(
      const FloatOutput& target, const std::vector<std::vector<int32_t>>& ids) const;

  const RandomModel& model_;
  CoreMLModelWrapper loaded_;
  FeatureDescription first_;  // its input, of a language model the ids
};

}  // namespace mw::testing
