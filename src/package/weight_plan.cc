// WeightPlan: constants in program order to slots, slots in offset order to layouts.
#include "package/weight_plan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/output_file.h"

namespace mw::package {
namespace {

constexpr std::string_view kFolder = "@model_path/weights/";
constexpr const char* kDefaultFile = "weight.bin";
constexpr int64_t kLarge = 10;  // elements; as converters decide
constexpr int kIos18 = 9;

bool is_large(const ir::Constant& constant, int spec_version) {
  const DType dtype = constant.type().dtype();
  const bool any_version =
      dtype == DType::kF16 || dtype == DType::kF32 || dtype == DType::kI8 || dtype == DType::kU8;
  return constant.value().count() >= kLarge && blob_code_of(dtype) &&
         (any_version || spec_version >= kIos18);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.nbytes() != b.nbytes() || a.count() != b.count()) return false;
  return a.raw() == b.raw() || a.nbytes() == 0 ||
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace

WeightPlan::WeightPlan(const ir::Program& program, int spec_version) {
  for (const auto& function : program.functions) {
    ir::for_each_op(function->body, [&](const ir::Operation& op) { collect(op, spec_version); });
  }
  assign();
}

void WeightPlan::collect(const ir::Operation& op, int spec_version) {
  const bool may_be_large = op.is_const() || op.type.starts_with("constexpr_");
  for (const auto& [name, value] : op.attributes) {
    take(*value, may_be_large && name != "name", spec_version);
  }
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.literal) take(*operand.literal, may_be_large, spec_version);
  }
}

void WeightPlan::take(const ir::Constant& constant, bool may_be_large, int spec_version) {
  for (const ir::ConstantPtr& child : constant.children()) take(*child, false, spec_version);
  if (!constant.is_tensor() || !blob_code_of(constant.type().dtype()) ||
      slot_of_.contains(&constant)) {
    return;
  }
  if (constant.blob_ref() || (may_be_large && is_large(constant, spec_version))) add(constant);
}

void WeightPlan::add(const ir::Constant& constant) {
  const std::optional<ir::BlobRef>& ref = constant.blob_ref();
  Slot slot{
      .file = ref ? file_for(ref->path) : "", .value = constant.value(), .users = {&constant}};
  if (ref) {
    std::vector<size_t>& tied = by_source_[{ref->path, ref->offset}];
    for (const size_t index : tied) {
      if (!same_bytes(slots_[index].value, constant.value())) continue;
      slots_[index].users.push_back(&constant);
      slot_of_.emplace(&constant, index);
      return;
    }
    if (tied.empty()) slot.offset = ref->offset;
    tied.push_back(slots_.size());
  }
  slot_of_.emplace(&constant, slots_.size());
  slots_.push_back(std::move(slot));
}

const std::string& WeightPlan::file_for(const std::string& source) {
  const auto [found, fresh] = files_.try_emplace(source);
  if (!fresh) return found->second;
  std::string name = std::filesystem::path(source).filename().string();
  if (name.empty() || name == "." || name == "..") name = kDefaultFile;
  const auto is_taken = [&](const std::string& wanted) {
    return std::any_of(files_.begin(), files_.end(),
                       [&](const auto& row) { return row.second == wanted; });
  };
  const std::string base = name;
  for (int i = 1; is_taken(name); ++i) name = std::to_string(i) + "_" + base;
  found->second = name;
  return found->second;
}

void WeightPlan::assign() {
  const std::string fallback = files_.empty() ? kDefaultFile : files_.begin()->second;
  std::vector<size_t> order;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].file.empty()) slots_[i].file = fallback;
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto& x = slots_[a].offset;
    const auto& y = slots_[b].offset;
    return x && y ? *x < *y : x.has_value() && !y.has_value();
  });
  for (const size_t index : order) {
    const Slot& slot = slots_[index];
    const ir::BlobRef ref{std::string(kFolder) + slot.file, layouts_[slot.file].add(slot.value)};
    for (const ir::Constant* user : slot.users) refs_.emplace(user, ref);
  }
}

std::optional<ir::BlobRef> WeightPlan::blob_of(const ir::Constant& constant) const {
  const auto found = refs_.find(&constant);
  if (found == refs_.end()) return std::nullopt;
  return found->second;
}

void WeightPlan::write(const std::filesystem::path& model_folder) const {
  if (empty()) return;
  std::filesystem::create_directory(model_folder / "weights");
  for (const auto& [name, layout] : layouts_) {
    OutputFile file(model_folder / "weights" / name);
    layout.write(file);
    file.close();
  }
}

}  // namespace mw::package
