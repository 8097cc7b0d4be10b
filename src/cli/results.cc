// Choosing outputs by name, and writing tensors as .npz or .safetensors.
#include "cli/results.h"

#include <algorithm>

#include "base/error.h"
#include "base/glob.h"
#include "base/npy_file.h"
#include "base/printable.h"
#include "base/tensor_file.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

void expect_tensor_path(const std::string& option, const std::string& path) {
  if (path.ends_with(".safetensors") || path.ends_with(".npz")) return;
  fail(ErrorCode::kInvalidArgument, "{} {}: expected a path that ends in .safetensors or .npz",
       option, path);
}

Chosen::Chosen(const std::vector<std::string>& only, const std::vector<std::string>& taps,
               const CoreMLModelWrapper& model)
    : only_(only), taps_(taps) {
  for (const FeatureDescription& output : model.outputs()) names_.push_back(output.name);
  for (const std::string& name : only_) {
    if (!holds(names_, name)) {
      fail(ErrorCode::kInvalidArgument, "--only {}: no output of the model, which gives {}", name,
           listed(names_));
    }
  }
}

bool Chosen::keeps(const std::string& name) const {
  if (holds(only_, name) || matches_any(taps_, name)) return true;
  // NAME.keys of a dictionary, NAME.0 and so on of a list.
  return !holds(names_, name) && std::any_of(only_.begin(), only_.end(), [&](const auto& chosen) {
    return name.starts_with(chosen + ".");
  });
}

void Chosen::keep_in(TensorMap& result) const {
  if (only_.empty()) return;
  std::erase_if(result, [&](const auto& row) { return !keeps(row.first); });
}

void save_tensors(const std::string& path, TensorMap tensors) {
  if (path.ends_with(".npz")) return write_npz(path, tensors);
  std::vector<std::string> texts;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dtype() == DType::kString) texts.push_back(name);
  }
  if (!texts.empty() && texts.size() == tensors.size()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: {}: a .safetensors file cannot hold text; write to a path that ends in .npz", path,
         listed(texts));
  }
  for (const std::string& name : texts) tensors.erase(name);
  write_safetensors(path, tensors);
  if (!texts.empty()) {
    inform("note: {} left out: a .safetensors file cannot hold text, an .npz file can\n",
           printable(listed(texts)));
  }
}

}  // namespace mw::cli
