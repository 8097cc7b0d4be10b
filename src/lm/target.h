// find_target(): which output of a function a loss, a score or a continuation is taken from.
//
//   const lm::Target target = lm::find_target(description, function, "", [] { return 0; });
//   use(outputs.at(target.name));
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/program.h"
#include "package/feature.h"

namespace mw::lm {

// An output, and what the program gives under its name.
struct TargetPart {
  std::string name;
  const ir::Value* value = nullptr;
};

// The likeliest class of each part of a vocabulary, by its index within the part, and its logit.
struct BestOfParts {
  TargetPart index, logit;
};

struct Target {
  std::string name;  // "logits"; of several parts "logits1 to logits8"
  // What the program gives under that name (of several parts the first): a tensor of floats, or the
  // dictionary from the classes of a classifier to their probabilities (of dict type; at run time
  // the list [keys, values]).
  const ir::Value* value = nullptr;
  bool is_dictionary = false;
  bool is_logits = false;  // it is called so; see is_logits_name()
  // Outputs that hold it, one after another along the classes.
  std::vector<TargetPart> parts;
  std::optional<BestOfParts> best;  // instead of the logits; `name` and `value` are the index
};

// `Logits`, `logits`, `LOGITS`: case and underscores do not count.
bool is_logits_name(const std::string& name);

// The one answer to "which output", for every command and binding; docs/training.md has it for
// users. Of the outputs that hold floats (tensors, and dictionaries of classifiers):
//
//   1. `wanted`, unless it is empty;
//   2. else the one that is called logits, the exact spelling before others;
//   3. else those that are called so and numbered, logits1 and so on, together;
//   4. else argmax_val, with argmax_idx beside it: the likeliest tokens alone;
//   5. else the only one;
//   6. else the only one with an extent of `vocabulary()`, which is asked only then; 0: not known.
//
// `wanted` may be "logits" where the model has numbered ones. Throws invalid_argument, with the
// names to choose from, where that leaves none or several. `description` and `function` are of one
// function, which outlives the result.
Target find_target(const package::FunctionDescription& description, const ir::Function& function,
                   const std::string& wanted, const std::function<int64_t()>& vocabulary);

}  // namespace mw::lm
