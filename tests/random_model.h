// Small random models, made from a seed: every rank of output, dictionaries, strings, several
// outputs, class axes in odd places, all ends, states, flexible shapes, ids as inputs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace mw::testing {

constexpr int kTokens = 6;  // of the tokenizer beside each model

// Writes the model of that seed and `tokenizer.json` into the folder; returns the model's path.
std::filesystem::path write_random_model(uint64_t seed, const std::filesystem::path& folder);
// The program of that seed, as text.
std::string random_program(uint64_t seed);

}  // namespace mw::testing
