// link(): the parts of a model as one program, and unlink(): that program as parts again.
//
//   Model model = link(*parts_at("folder"), read_one);   // read() does it for such a folder
//
// For each function that the parts have by name (infer, prefill, ...) the linked program has one:
//
//   infer(input_ids, position_ids, ...) = lm_head(chunk_02.infer(chunk_01.infer(embeddings(...))))
//
// Where two parts have values of one name these get the label of their part in front. What plans,
// trains and writes such a program need not know that it came in parts.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "package/package.h"
#include "package/parts.h"

namespace mw::package {

// A function of a part within a function of the whole.
struct Segment {
  size_t part = 0;
  std::string function;
  // Inputs that the results of earlier parts go to, and these by their names in the whole.
  std::vector<std::pair<std::string, std::string>> taken;
};

struct LinkedFunction {
  std::string name;
  std::vector<Segment> segments;  // in order
};

// Where a linked program came from.
struct Parts {
  PartList list;
  std::vector<std::shared_ptr<const Model>> models;  // of list.files
  std::vector<LinkedFunction> functions;
  // Constants with a blob, as the linked program and as their part has them: all weights lie in one
  // weight file there, those of equal bytes once.
  std::unordered_map<ir::ConstantPtr, ir::ConstantPtr> originals;
  std::map<std::pair<size_t, ir::BlobRef>, ir::BlobRef> refs;  // by part and blob of the whole

  // Names of values and operations, by part; those that several have, of different labels.
  std::vector<std::unordered_set<std::string>> names;
  std::unordered_set<std::string> common_names;

  // What a value of a part is called in the whole, and back: nothing where the part has none that
  // is called so.
  [[nodiscard]] std::string linked_name(size_t part, const std::string& name) const;
  [[nodiscard]] std::optional<std::string> own_name(size_t part, const std::string& linked) const;
  // "lm_head (x_lm_head.mlmodelc)"
  [[nodiscard]] std::string title(size_t part) const;
};

// A result goes to the next input of a later part that is named alike (`output_hidden_states` to
// `hidden_states`, too); inputs that no part gives become arguments, those of one name one; states
// of one name are one state; what no part takes is a result. A part with one function belongs to
// every function of the whole, behind the last part with several to the default one and those that
// do not fill the cache only (`prefill`). Throws invalid_model where parts do not fit each other,
// or what the folder says of them. `read` gives the model of a file.
Model link(PartList list, const std::function<Model(const std::filesystem::path&)>& read);

// Throws invalid_model where what PartList::claims says is not true of the linked program.
void check_claims(const Model& linked);

// The parts with the weights that `linked`, a copy of what link() gave, has now; parts that did not
// change are as they were read. Throws invalid_argument where inputs or results have other names.
std::vector<Model> unlink(const Model& linked);

}  // namespace mw::package
