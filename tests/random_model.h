// Small random models, made from a seed: every rank of output, dictionaries, strings, several
// outputs, class axes in odd places, all ends, states, lists, flexible shapes, and plain language
// models in every form.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "program_text.h"
#include "random_trunks.h"

namespace mw::testing {

// An output that a loss may be taken of, in the order the program returns them.
struct FloatOutput {
  std::string name;
  Value value;  // of a dictionary the tensor before it
  bool is_dictionary = false;
};

struct RandomModel {
  std::filesystem::path path;
  std::string program;
  std::vector<FloatOutput> outputs;
  bool speaks = false;           // a plain language model, which no command on texts may refuse
  bool last_only = false;        // it gives logits of the last position only
  bool has_kinks = false;        // somewhere its derivative is not defined
  std::set<std::string> traits;  // what is in it, for a count
};

// Writes the model of that seed and `tokenizer.json` into the folder.
RandomModel write_random_model(uint64_t seed, const std::filesystem::path& folder,
                               const Nudge& nudge = {});

}  // namespace mw::testing
