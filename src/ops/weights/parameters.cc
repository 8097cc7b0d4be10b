// The analysis follows each constant forward through ops that only move data to the positions where
// it is used, and judges it by the best of them.
#include "ops/weights/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ir/parameter.h"
#include "ops/known.h"
#include "ops/weights/storage.h"

namespace mw::ops {
namespace {

using ir::InputSpec;
using ir::OpDef;
using ir::Operation;
using ir::Value;

using Uses = std::unordered_map<const Value*, std::vector<ir::Use>>;
using Values = std::unordered_set<const Value*>;

// A function, and what of it changes from run to run.
class Surroundings {
 public:
  Surroundings(const ir::Function& function, const ir::Catalog& catalog)
      : opset_(function.opset), catalog_(catalog), uses_(ir::uses_in(function.body)) {
    for (const auto& argument : function.body.arguments) varying_.insert(argument.get());
    ir::for_each_op(function.body, [&](const Operation& op) { add(op); });
  }

  [[nodiscard]] const OpDef* def_of(const Operation& op) const {
    return catalog_.find(op.type, opset_);
  }
  [[nodiscard]] bool has_trait(const Operation& op, uint32_t trait) const {
    const OpDef* def = def_of(op);
    return def != nullptr && def->has_trait(trait);
  }
  [[nodiscard]] const std::vector<ir::Use>& uses_of(const Value& value) const {
    static const std::vector<ir::Use> kNone;
    const auto found = uses_.find(&value);
    return found == uses_.end() ? kNone : found->second;
  }
  // Whether one of these operands changes from run to run.
  template <class Operands>
  [[nodiscard]] bool vary(const Operands& operands) const {
    return std::any_of(operands.begin(), operands.end(), [&](const ir::Operand& operand) {
      return varying_.contains(operand.value);
    });
  }

 private:
  void add(const Operation& op) {
    for (const auto& block : op.blocks) {
      for (const auto& argument : block->arguments) varying_.insert(argument.get());
    }
    const bool reads = !has_trait(op, ir::kTypeOnly) && vary(ir::operands(op));
    if (!reads && op.blocks.empty() && !has_trait(op, ir::kRandom | ir::kReadsState)) return;
    for (const auto& output : op.outputs) varying_.insert(output.get());
  }

  ir::Opset opset_;
  const ir::Catalog& catalog_;
  Uses uses_;
  Values varying_;
};

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

// Extents other than 1; several where the rank is not known.
int64_t wide_extents(const Value& value) {
  if (!value.type.is_tensor() || !value.type.has_rank()) return 2;
  const Shape& shape = value.type.shape();
  return std::count_if(shape.begin(), shape.end(), [](int64_t extent) { return extent != 1; });
}

// Of one constant.
class Judge {
 public:
  // `numbers`: those of the constant, where they are floats and known; else null.
  Judge(const Surroundings& around, const Value& value, const Tensor* numbers)
      : around_(around), value_(value), numbers_(numbers) {
    follow(value, false);
  }
  [[nodiscard]] const Verdict& verdict() const { return verdict_; }

 private:
  void follow(const Value& value, bool sliced) {
    if (!seen_.insert(&value).second) return;
    for (const ir::Use& use : around_.uses_of(value)) {
      if (use.op == nullptr) {
        verdict_.offer(Verdict::kNoWeight, "passed to the output of a block");
      } else {
        visit(value, use, sliced);
      }
    }
  }

  void visit(const Value& value, const ir::Use& use, bool sliced) {
    const Operation& op = *use.op;
    const ir::Input& input = op.inputs[use.input];
    const OpDef* def = around_.def_of(op);
    const InputSpec* spec = def == nullptr ? nullptr : def->find_input(input.name);
    const uint32_t flags = spec == nullptr ? 0 : spec->flags;
    const bool is_weight = (flags & ir::kWeight) != 0;
    if ((flags & ir::kConst) != 0 && !is_weight) {
      return verdict_.offer(Verdict::kSetting, fmt::format("{} of {}", input.name, op.type));
    }
    const bool moves = def != nullptr && def->has_trait(ir::kMovesElements | ir::kSlices);
    if (moves && spec == &def->inputs().front() && !(is_weight && is_looked_up(op))) {
      return visit_move(op, input, sliced);
    }
    if (sliced) return;
    if (!is_weight) {
      return verdict_.offer(Verdict::kNoWeight,
                            fmt::format("{} of {}, which is no weight", input.name, op.type));
    }
    const bool is_bias = (flags & ir::kBias) != 0;
    if (def->has_trait(ir::kElementwise)) return offer_elementwise(value, op, is_bias);
    if (is_bias && all([](double x) { return x == 0; })) return offer_zeros();
    const bool is_factor = (def->inputs().front().flags & ir::kWeight) != 0;
    const std::string what = moves ? "table" : is_factor ? "factor" : input.name;
    verdict_.offer(Verdict::kWeight, fmt::format("{} of {}", what, op.type));
  }

  void visit_move(const Operation& op, const ir::Input& input, bool sliced) {
    const bool cuts = around_.has_trait(op, ir::kSlices);
    if (!cuts && around_.vary(input.operands)) {
      if (!sliced) offer_joined(op);
      return;
    }
    if (sliced || cuts) {
      verdict_.offer(Verdict::kSlice, "only reached through slices; name it to train it");
    }
    for (const auto& output : op.outputs) follow(*output, sliced || cuts);
  }

  // Where one operand of several changes from run to run, what comes out is no longer the constant.
  void offer_joined(const Operation& op) {
    const int64_t wide = wide_extents(value_);
    if (wide == 0) return offer_number();
    if (numbers_ != nullptr && ir::is_one_number(*numbers_)) {
      return verdict_.offer(Verdict::kTable, "filled with one number; name it to train it");
    }
    if (wide > 1) {
      return verdict_.offer(Verdict::kTable,
                            fmt::format("a table in {}; name it to train it", op.type));
    }
    verdict_.offer(Verdict::kWeight, fmt::format("token of {}", op.type));
  }

  void offer_elementwise(const Value& value, const Operation& op, bool is_bias) {
    if (!around_.vary(ir::operands(op))) {
      return verdict_.offer(Verdict::kNoWeight, "computed with other constants only");
    }
    const int64_t wide = wide_extents(value);
    if (wide == 0) return offer_number();
    // A vector is a scale in whatever shape it is put, as by group norms.
    if (!is_bias && wide > 1 && wide_extents(value_) > 1) {
      return verdict_.offer(Verdict::kTable, "a table of factors; name it to train it");
    }
    if (is_bias && all([](double x) { return x == 0; })) return offer_zeros();
    if (is_bias && all([](double x) { return x == 0 || x <= -1e3; })) {
      return verdict_.offer(Verdict::kTable, "a mask; name it to train it");
    }
    verdict_.offer(Verdict::kWeight, is_bias ? "elementwise bias" : "elementwise scale");
  }

  void offer_number() { verdict_.offer(Verdict::kNumber, "a single number; name it to train it"); }
  void offer_zeros() { verdict_.offer(Verdict::kZeroBias, "all-zero bias; name it to train it"); }

  // Which elements of a table are taken depends on what the model is given.
  [[nodiscard]] bool is_looked_up(const Operation& op) const {
    const bool first = op.find_input("axis") == nullptr || number_in(op, "axis") == 0;
    return first && around_.vary(ir::operands(op));
  }

  template <class Predicate>
  [[nodiscard]] bool all(const Predicate& predicate) const {
    if (numbers_ == nullptr) return false;
    for (int64_t i = 0; i < numbers_->count(); ++i) {
      if (!predicate(numbers_->number_at(i))) return false;
    }
    return true;
  }

  const Surroundings& around_;
  const Value& value_;
  const Tensor* numbers_;
  Verdict verdict_;
  Values seen_;
};

ParameterInfo describe(const Operation& op, const Value& value, const Surroundings& around) {
  ParameterInfo info{.op = &op, .value = &value, .name = value.name};
  info.uses = around.uses_of(value).size();
  const ir::ConstantPtr constant = ir::constant_of(&value);
  const bool known = constant != nullptr && constant->is_tensor() && constant->has_value();
  const bool floats = value.type.is_tensor() && is_float(value.type.dtype());
  const Verdict verdict =
      Judge(around, value, known && floats ? &constant->value() : nullptr).verdict();
  info.compressed = !op.is_const();
  info.bytes = stored_bytes(value);
  info.storage = storage_of(value);
  info.reason = verdict.reason;
  if (verdict.rank == Verdict::kSetting) {
    info.reason.clear();
  } else if (verdict.rank == Verdict::kUnused) {
    info.reason = "not used";
  } else if (!floats) {
    info.reason = "not of floats";
  } else if (info.compressed) {
    info.reason = "compressed";
  } else {
    info.trainable = verdict.rank == Verdict::kWeight;
    info.selectable = verdict.rank >= Verdict::kSlice && !info.trainable;
  }
  return info;
}

}  // namespace

std::vector<ParameterInfo> parameters_of(const ir::Function& function, const ir::Catalog& catalog) {
  const Surroundings around(function, catalog);
  const auto is_part = [&](const auto& output) {
    const std::vector<ir::Use>& uses = around.uses_of(*output);
    return !uses.empty() && std::all_of(uses.begin(), uses.end(), [&](const ir::Use& use) {
      return use.op != nullptr && around.has_trait(*use.op, ir::kConstexpr);
    });
  };
  std::vector<ParameterInfo> result;
  std::set<std::string> names;
  ir::for_each_op(function.body, [&](const Operation& op) {
    if ((!op.is_const() && !around.has_trait(op, ir::kConstexpr)) || op.outputs.empty()) return;
    if (std::all_of(op.outputs.begin(), op.outputs.end(), is_part)) return;
    ParameterInfo info = describe(op, *op.outputs.back(), around);
    if (info.reason.empty()) return;
    // Blocks beside each other may use a name twice.
    if (!names.insert(info.name).second && (info.trainable || info.selectable)) {
      info.trainable = info.selectable = false;
      info.reason = "another constant has its name";
    }
    result.push_back(std::move(info));
  });
  return result;
}

}  // namespace mw::ops
