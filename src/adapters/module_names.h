// Names of modules, as frameworks have them, matched with names of weights in a program.
//
//   model.layers.0.self_attn.q_proj        model_layers_0_self_attn_q_proj_weight_to_fp16
#pragma once

#include <string>
#include <vector>

namespace mw::adapters {

// Letters, digits and single underscores; all else becomes an underscore.
std::string plain_name(const std::string& name);
// The module that a weight belongs to, as a plain name: what stands before `weight` and what
// converters append.
std::string module_of_weight(const std::string& name);

struct NameMatches {
  std::vector<size_t> places;  // in `known`, per wanted name
  std::string problem;         // empty: all were found
};
// Plain names are the same when they are equal, or when all on one side begin with one and the same
// prefix that the other side lacks: a wrapper's name, without a number in it. A known name may
// stand several times, by the place it means.
struct KnownName {
  std::string plain;
  size_t place;
};
NameMatches match_names(const std::vector<std::string>& wanted,
                        const std::vector<KnownName>& known);

}  // namespace mw::adapters
