// Places one behind another; bytes are compared where the first ones are equal.
#include "package/one_weight_file.h"

#include <algorithm>
#include <cstring>

namespace mw::package {
namespace {

constexpr uint64_t kAlignment = 64;  // of records and of data
constexpr size_t kKeyBytes = 64;

}  // namespace

void OneWeightFile::take(size_t part, ir::Operation& op) {
  for (auto& [name, value] : op.attributes) value = constant(part, value);
  for (ir::Operand& operand : ir::operands(op)) operand.literal = constant(part, operand.literal);
  for (const auto& block : op.blocks) {
    for (const auto& inner : block->ops) take(part, *inner);
  }
}

ir::ConstantPtr OneWeightFile::constant(size_t part, const ir::ConstantPtr& original) {
  if (original == nullptr || !original->blob_ref() || !original->has_value()) return original;
  ir::ConstantPtr& made = made_[original];
  if (made != nullptr) return made;
  const ir::BlobRef& ref = place(part, *original);
  made = ir::Constant::blob(original->value(), ref);
  parts_.originals.emplace(made, original);
  parts_.refs.emplace(std::pair(part, ref), *original->blob_ref());
  return made;
}

const ir::BlobRef& OneWeightFile::place(size_t part, const ir::Constant& constant) {
  const auto [known, fresh] = places_.try_emplace({part, *constant.blob_ref()});
  if (fresh) known->second = new_place(part, constant.value());
  return known->second;
}

ir::BlobRef OneWeightFile::new_place(size_t part, const Tensor& value) {
  const auto size = static_cast<size_t>(value.nbytes());
  const auto* bytes = static_cast<const char*>(value.raw());
  std::vector<Blob>& alike =
      blobs_[{value.dtype(), value.count(), std::string(bytes, std::min(size, kKeyBytes))}];
  for (const Blob& blob : alike) {
    if (blob.part != part && std::memcmp(blob.value.raw(), bytes, size) == 0) return blob.ref;
  }
  ir::BlobRef ref{"@model_path/weights/weight.bin", end_};
  end_ += kAlignment + (size + kAlignment - 1) / kAlignment * kAlignment;
  alike.push_back({part, value, ref});
  return ref;
}

}  // namespace mw::package
