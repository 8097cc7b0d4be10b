// The analysis follows each constant forward through ops that only move data to the positions where
// it is used, and judges it by the best of them.
#include "ops/rewrites/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Value;

using Uses = std::unordered_map<const Value*, std::vector<ir::Use>>;
using Values = std::unordered_set<const Value*>;

const std::map<std::string_view, std::set<std::string_view>>& weight_inputs() {
  static const std::set<std::string_view> kWeightAndBias = {"weight", "bias"};
  static const std::set<std::string_view> kScaleAndShift = {"gamma", "beta"};
  static const std::set<std::string_view> kRecurrent = {
      "weight_ih",      "weight_hh",      "bias",      "input_bias",   "peephole",
      "weight_ih_back", "weight_hh_back", "bias_back", "peephole_back"};
  static const std::map<std::string_view, std::set<std::string_view>> kInputs = {
      {"linear", kWeightAndBias},
      {"conv", kWeightAndBias},
      {"matmul", {"x", "y"}},
      {"conv_transpose", kWeightAndBias},
      {"einsum", {"values"}},
      {"layer_norm", kScaleAndShift},
      {"instance_norm", kScaleAndShift},
      {"batch_norm", kScaleAndShift},
      {"lstm", kRecurrent},
      {"gru", kRecurrent},
      {"rnn", kRecurrent},
      {"prelu", {"alpha"}},
      {"softplus_parametric", {"alpha", "beta"}}};
  return kInputs;
}

bool is_one_of(std::string_view type, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), type) != list.end();
}

bool moves_data(std::string_view type) {
  return is_one_of(type, {"cast", "identity", "reshape", "transpose", "expand_dims", "squeeze",
                          "flatten2d", "concat", "stack", "tile"});
}
bool slices_data(std::string_view type) {
  return is_one_of(
      type, {"slice_by_index", "slice_by_size", "split", "gather_along_axis", "gather_nd", "crop"});
}
bool is_constexpr(const Operation& op) { return op.type.starts_with("constexpr_"); }

// Values whose elements change from run to run.
Values values_from_inputs(const ir::Function& function, const ir::Catalog& catalog) {
  Values values;
  for (const auto& argument : function.body.arguments) values.insert(argument.get());
  ir::for_each_op(function.body, [&](const Operation& op) {
    const ir::OpDef* def = catalog.find(op.type, function.opset);
    bool depends = def != nullptr && def->has_trait(ir::kRandom | ir::kReadsState);
    if (def == nullptr || !def->has_trait(ir::kTypeOnly)) {
      for (const auto& operand : ir::operands(op)) depends |= values.contains(operand.value);
    }
    for (const auto& block : op.blocks) {
      depends = true;
      for (const auto& argument : block->arguments) values.insert(argument.get());
    }
    if (!depends) return;
    for (const auto& output : op.outputs) values.insert(output.get());
  });
  return values;
}

struct Verdict {
  enum Rank : uint8_t { kUnused, kSetting, kNoWeight, kSlice, kNumber, kTable, kZeroBias, kWeight };
  Rank rank = kUnused;
  std::string reason;
  void offer(Rank other, std::string text) {
    if (other <= rank) return;
    rank = other;
    reason = std::move(text);
  }
};

class Judge {
 public:
  Judge(const ir::Function& function, const ir::Catalog& catalog)
      : opset_(function.opset),
        catalog_(catalog),
        uses_(ir::uses_in(function.body)),
        from_inputs_(values_from_inputs(function, catalog)) {}

  Verdict judge(const Value& value, const Tensor* tensor) {
    Verdict verdict;
    Values seen;
    follow(value, tensor, false, verdict, seen);
    return verdict;
  }
  [[nodiscard]] size_t use_count(const Value& value) const {
    const auto found = uses_.find(&value);
    return found == uses_.end() ? 0 : found->second.size();
  }

 private:
  void follow(const Value& value, const Tensor* tensor, bool sliced, Verdict& verdict,
              Values& seen) {
    if (!seen.insert(&value).second) return;
    const auto found = uses_.find(&value);
    if (found == uses_.end()) return;
    for (const ir::Use& use : found->second) {
      if (use.op == nullptr) {
        verdict.offer(Verdict::kNoWeight, "passed to the output of a block");
        continue;
      }
      visit(value, use, tensor, sliced, verdict, seen);
    }
  }

  void visit(const Value& value, const ir::Use& use, const Tensor* tensor, bool sliced,
             Verdict& verdict, Values& seen) {
    const Operation& op = *use.op;
    const std::string& input = op.inputs[use.input].name;
    if (is_setting(op, input)) {
      return verdict.offer(Verdict::kSetting, fmt::format("{} of {}", input, op.type));
    }
    const bool gather_by_value = op.type == "gather" && input == "x" && gathers_by_input(op);
    if (moves_data(op.type) || slices_data(op.type) ||
        (op.type == "gather" && input == "x" && !gather_by_value)) {
      const bool cut = sliced || !moves_data(op.type);
      if (cut) verdict.offer(Verdict::kSlice, "only reached through slices; name it to train it");
      for (const auto& output : op.outputs) follow(*output, tensor, cut, verdict, seen);
      return;
    }
    if (sliced) return;
    const auto weights = weight_inputs().find(op.type);
    if (weights != weight_inputs().end() && weights->second.contains(input)) {
      return offer_weight(op, input, tensor, verdict);
    }
    if (gather_by_value) return verdict.offer(Verdict::kWeight, "table of gather");
    if (is_one_of(op.type, {"add", "sub", "mul", "real_div"})) {
      return offer_elementwise(value, op, input, tensor, verdict);
    }
    verdict.offer(Verdict::kNoWeight, fmt::format("{} of {}, which is no weight", input, op.type));
  }

  static void offer_weight(const Operation& op, const std::string& input, const Tensor* tensor,
                           Verdict& verdict) {
    const bool bias = input == "bias" || input == "input_bias" || input == "bias_back";
    if (bias && tensor != nullptr && all(*tensor, [](double x) { return x == 0; })) {
      return verdict.offer(Verdict::kZeroBias, "all-zero bias; name it to train it");
    }
    const bool operand = op.type == "matmul" || op.type == "einsum";
    verdict.offer(Verdict::kWeight, fmt::format("{} of {}", operand ? "factor" : input, op.type));
  }

  void offer_elementwise(const Value& value, const Operation& op, const std::string& input,
                         const Tensor* tensor, Verdict& verdict) const {
    const Value* other = op.input(input == "x" ? "y" : "x");
    if (other == nullptr || !from_inputs_.contains(other)) {
      return verdict.offer(Verdict::kNoWeight, "computed with other constants only");
    }
    const Shape& shape = value.type.shape();
    const auto wide =
        std::count_if(shape.begin(), shape.end(), [](int64_t extent) { return extent != 1; });
    if (wide == 0) return verdict.offer(Verdict::kNumber, "a single number; name it to train it");
    const bool scale = op.type == "mul" || op.type == "real_div";
    if (scale && wide > 1) {
      return verdict.offer(Verdict::kTable, "a table of factors; name it to train it");
    }
    if (!scale && tensor != nullptr && all(*tensor, [](double x) { return x == 0 || x <= -1e3; })) {
      return verdict.offer(Verdict::kTable, "a mask; name it to train it");
    }
    verdict.offer(Verdict::kWeight, scale ? "elementwise scale" : "elementwise bias");
  }

  template <class Predicate>
  static bool all(const Tensor& tensor, const Predicate& predicate) {
    for (int64_t i = 0; i < tensor.count(); ++i) {
      if (!predicate(tensor.number_at(i))) return false;
    }
    return true;
  }

  [[nodiscard]] bool gathers_by_input(const Operation& op) const {
    const Value* indices = op.input("indices");
    const ir::Input* axis = op.find_input("axis");
    const ir::ConstantPtr known = axis == nullptr ? nullptr : ir::constant_of(axis->operands[0]);
    const bool first = axis == nullptr || (known != nullptr && known->is_tensor() &&
                                           known->value().integer_at(0) == 0);
    return first && indices != nullptr && from_inputs_.contains(indices);
  }

  [[nodiscard]] bool is_setting(const Operation& op, const std::string& input) const {
    const auto weights = weight_inputs().find(op.type);
    if (weights != weight_inputs().end() && weights->second.contains(input)) return false;
    const ir::OpDef* def = catalog_.find(op.type, opset_);
    const ir::InputSpec* spec = def == nullptr ? nullptr : def->find_input(input);
    return spec != nullptr && (spec->flags & ir::kConst) != 0;
  }

  ir::Opset opset_;
  const ir::Catalog& catalog_;
  Uses uses_;
  Values from_inputs_;
};

uint64_t bytes_of_type(const ir::Type& type) {
  if (!type.is_tensor() || !type.is_static()) return 0;
  return static_cast<uint64_t>(bytes_of(type.dtype(), count_of(type.shape())));
}

// Bytes of everything a constexpr op is made from. A chain shares no parts.
uint64_t bytes_behind(const Operation& op) {
  uint64_t bytes = 0;
  for (const auto& [name, constant] : op.attributes) {
    if (name != "name" && constant->is_tensor()) bytes += bytes_of_type(constant->type());
  }
  for (const auto& operand : ir::operands(op)) {
    if (operand.value != nullptr && operand.value->producer != nullptr &&
        is_constexpr(*operand.value->producer)) {
      if (operand.value->index == 0) bytes += bytes_behind(*operand.value->producer);
    } else if (const ir::ConstantPtr constant = ir::constant_of(operand)) {
      bytes += bytes_of_type(constant->type());
    }
  }
  return bytes;
}

// The constant given as input or, before ios18, as attribute; null when another op makes it.
ir::ConstantPtr part_of(const Operation& op, std::string_view name) {
  if (const ir::Input* input = op.find_input(name)) return ir::constant_of(input->operands[0]);
  return ir::find_attribute(op.attributes, name);
}

std::string palette_name(const Operation& op) {
  const ir::ConstantPtr lut = part_of(op, "lut"), indices = part_of(op, "indices");
  int bits = 8;
  if (indices != nullptr && indices->type().dtype() != DType::kU8) {
    bits = bit_width(indices->type().dtype());
  } else if (lut != nullptr && lut->type().rank() > 0) {
    const Shape& shape = lut->type().shape();
    const int64_t entries = shape.size() == 1 ? shape[0] : shape[shape.size() - 2];
    bits = 0;
    while (bits < 8 && (int64_t{1} << bits) < entries) ++bits;
  }
  return fmt::format("{}-bit palette", bits);
}

std::string dtype_in(const Operation& op, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const ir::ConstantPtr part = part_of(op, name);
    if (part != nullptr && part->is_tensor()) return std::string(name_of(part->type().dtype()));
  }
  return "";
}

std::string scheme_of(const Operation& op) {
  std::string own = "cast";
  if (op.type == "constexpr_affine_dequantize") own = dtype_in(op, {"quantized_data"}) + " affine";
  if (op.type == "constexpr_blockwise_shift_scale") own = dtype_in(op, {"data"}) + " blockwise";
  if (op.type == "constexpr_sparse_blockwise_shift_scale") {
    own = dtype_in(op, {"nonzero_data"}) + " blockwise";
  }
  if (op.type.starts_with("constexpr_lut")) own = palette_name(op);
  if (op.type == "constexpr_sparse_to_dense") own = "sparse";
  std::string parts;
  for (const auto& operand : ir::operands(op)) {
    const Value* value = operand.value;
    if (value == nullptr || value->producer == nullptr || !is_constexpr(*value->producer)) {
      continue;
    }
    const std::string part = scheme_of(*value->producer);
    if (part != parts) parts += (parts.empty() ? "" : " + ") + part;
  }
  if (parts.empty()) return own;
  return own.starts_with(' ') ? parts : own + " + " + parts;
}

bool feeds_only_constexpr(const Uses& uses, const Value& value) {
  const auto found = uses.find(&value);
  return found != uses.end() && !found->second.empty() &&
         std::all_of(found->second.begin(), found->second.end(),
                     [](const ir::Use& use) { return use.op != nullptr && is_constexpr(*use.op); });
}

ParameterInfo describe(const Operation& op, const Value& value, Judge& judge) {
  ParameterInfo info{.op = &op, .value = &value, .name = value.name};
  info.uses = judge.use_count(value);
  const ir::ConstantPtr constant = ir::constant_of(&value);
  const bool known = constant != nullptr && constant->is_tensor() && constant->has_value();
  const bool floats = value.type.is_tensor() && is_float(value.type.dtype());
  const Verdict verdict = judge.judge(value, known && floats ? &constant->value() : nullptr);
  info.compressed = is_constexpr(op);
  info.bytes = info.compressed ? bytes_behind(op) : bytes_of_type(value.type);
  info.storage = info.compressed          ? scheme_of(op)
                 : value.type.is_tensor() ? std::string(name_of(value.type.dtype()))
                                          : value.type.str();
  info.reason = verdict.reason;
  if (verdict.rank == Verdict::kSetting) {
    info.reason.clear();
  } else if (verdict.rank == Verdict::kUnused) {
    info.reason = "not used";
  } else if (!floats) {
    info.reason = "not of floats";
  } else if (info.compressed) {
    info.reason = verdict.rank == Verdict::kWeight ? "compressed; LoRA can adapt it" : "compressed";
  } else {
    info.trainable = verdict.rank == Verdict::kWeight;
    info.selectable = verdict.rank >= Verdict::kSlice && !info.trainable;
  }
  return info;
}

}  // namespace

std::vector<ParameterInfo> parameters_of(const ir::Function& function, const ir::Catalog& catalog) {
  Judge judge(function, catalog);
  const Uses uses = ir::uses_in(function.body);
  std::vector<ParameterInfo> result;
  ir::for_each_op(function.body, [&](const Operation& op) {
    if ((!op.is_const() && !is_constexpr(op)) || op.outputs.empty()) return;
    const Value& value = *op.outputs.back();
    if (std::all_of(op.outputs.begin(), op.outputs.end(),
                    [&](const auto& output) { return feeds_only_constexpr(uses, *output); })) {
      return;
    }
    ParameterInfo info = describe(op, value, judge);
    if (!info.reason.empty()) result.push_back(std::move(info));
  });
  return result;
}

}  // namespace mw::ops
