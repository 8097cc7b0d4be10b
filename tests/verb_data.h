// Small inputs and labels for any model, made from its own description and from what it gives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace mw::testing {

struct VerbData {
  std::string scalar;    // the first output that is one float; "" where none is
  int64_t examples = 2;  // of each file for training, twice as many as the model takes at least
};

// Writes inputs.safetensors and, for each KIND of labels, batch-KIND.safetensors with as many
// examples as inputs.safetensors has, and data-KIND.safetensors with twice as many. KIND is
//   last, second   indices of classes on that axis of the likeliest target, or a classifier's
//                  classes; some are -100
//   shares         numbers from 0 to 1, some are -100
//   floats         any numbers
//   none           no labels
VerbData write_verb_data(const std::filesystem::path& model, const std::filesystem::path& folder);

}  // namespace mw::testing
