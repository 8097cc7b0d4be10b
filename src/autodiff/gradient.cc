// The reverse walk: rules called from the last op to the first, contributions summed in one place.
#include "autodiff/gradient.h"

#include <algorithm>

#include "autodiff/activity.h"
#include "base/error.h"

namespace mw::autodiff {
namespace {

using ir::Block;
using ir::NoGradient;
using ir::OpDef;
using ir::Operation;
using ir::Value;

constexpr size_t kNamesShown = 4;

std::string names_of(const std::vector<const Value*>& values) {
  std::string text;
  for (size_t i = 0; i < std::min(values.size(), kNamesShown); ++i) {
    text += (i == 0 ? "'" : ", '") + values[i]->name + "'";
  }
  if (values.size() > kNamesShown) text += fmt::format(" and {} more", values.size() - kNamesShown);
  return text;
}

class Walker : public ir::Vjp::Host, private ir::BlockVjp {
 public:
  Walker(Block& block, const ir::Catalog& catalog, ir::Opset opset, const ir::GradientOps& ops,
         const std::vector<Value*>& wrt)
      : block_(block),
        catalog_(catalog),
        opset_(opset),
        ops_(ops),
        wrt_(wrt),
        builder_(block, catalog, opset) {}

  // Gradients by `wrt`, null where there is none. `seeds` are of this block or around it.
  std::vector<Value*> run(const std::vector<Seed>& seeds);
  ir::Builder& builder() { return builder_; }

 private:
  void visit(Operation& op);
  [[noreturn]] void refuse(const Operation& op, NoGradient reason, const Value* through) const;
  [[nodiscard]] std::vector<const Value*> behind(const Operation& op) const;
  void check_cut(const Value* wrt) const;
  Value* total(const Value* value);

  [[nodiscard]] bool wants(const Value* operand) const override {
    return activity_->active(operand) && carries_gradient(operand->type);
  }
  void add(Value* operand, Value* gradient) override;
  ir::BlockVjp& blocks() override { return *this; }
  [[nodiscard]] const std::vector<Value*>& captured() const override { return captured_; }
  void differentiate(size_t index, Block& into, const std::vector<Value*>& seeds) override;
  void add_captured(size_t index, Value* gradient) override { add(captured_[index], gradient); }

  Block& block_;
  const ir::Catalog& catalog_;
  ir::Opset opset_;
  const ir::GradientOps& ops_;
  const std::vector<Value*>& wrt_;
  ir::Builder builder_;
  std::vector<Value*> ends_;
  std::unique_ptr<Activity> activity_;
  std::unordered_map<const Value*, std::vector<Value*>> contributions_;
  const Operation* current_ = nullptr;
  std::vector<Value*> captured_;
};

std::vector<Value*> Walker::run(const std::vector<Seed>& seeds) {
  for (const Seed& seed : seeds) ends_.push_back(seed.value);
  activity_ = std::make_unique<Activity>(block_, wrt_, ends_);
  std::vector<Operation*> forward;
  for (const auto& op : block_.ops) forward.push_back(op.get());
  for (const Seed& seed : seeds) {
    MW_CHECK(carries_gradient(seed.value->type) && seed.value->type.is_static());
    if (!activity_->active(seed.value)) continue;
    Value* gradient =
        seed.gradient != nullptr ? seed.gradient : ops_.filled(builder_, seed.value->type, 1);
    MW_CHECK(gradient->type == seed.value->type);
    contributions_[seed.value].push_back(gradient);
  }
  for (auto op = forward.rbegin(); op != forward.rend(); ++op) visit(**op);
  std::vector<Value*> results;
  for (const Value* value : wrt_) {
    results.push_back(total(value));
    if (results.back() == nullptr) check_cut(value);
  }
  return results;
}

// Sums what has been contributed so far and remembers the sum.
Value* Walker::total(const Value* value) {
  const auto found = contributions_.find(value);
  if (found == contributions_.end()) return nullptr;
  std::vector<Value*>& parts = found->second;
  Value* sum = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) sum = ops_.add(builder_, sum, parts[i]);
  parts = {sum};
  return sum;
}

void Walker::visit(Operation& op) {
  if (op.is_const()) return;
  std::vector<Value*> gradients;
  const Value* through = nullptr;
  for (const auto& output : op.outputs) {
    const bool list = output->type.is_list() && activity_->active(output.get());
    if (list) through = output.get();
    gradients.push_back(carries_gradient(output->type) ? total(output.get()) : nullptr);
    if (gradients.back() != nullptr) through = output.get();
  }
  const std::vector<Value*> read = values_read_by(op);
  const bool active =
      std::any_of(read.begin(), read.end(), [&](const Value* v) { return activity_->varied(v); });
  if (through == nullptr || !active) return;
  const OpDef& def = catalog_.at(op, opset_);
  if (!def.vjp()) refuse(op, def.no_vjp(), through);
  current_ = &op;
  captured_.clear();
  for (Value* value : read) {
    if (wants(value)) captured_.push_back(value);
  }
  ir::Vjp rule(op, def, opset_, builder_, std::move(gradients), *this);
  in_context([&] { return fmt::format("gradient of {}", rule.where()); }, [&] { def.vjp()(rule); });
}

void Walker::add(Value* operand, Value* gradient) {
  if (!wants(operand)) return;
  const ir::Type& type = operand->type;
  MW_CHECK(gradient->type.dtype() == type.dtype());
  if (gradient->type.shape() != type.shape()) {
    gradient = ops_.sum_to(builder_, gradient, type.shape());
  }
  MW_CHECK(gradient->type == type);
  contributions_[operand].push_back(gradient);
}

std::vector<const Value*> Walker::behind(const Operation& op) const {
  const std::vector<Value*> read = values_read_by(op);
  std::vector<const Value*> found;
  for (const Value* value : wrt_) {
    if (std::find(read.begin(), read.end(), value) != read.end() || reaches(block_, value, read)) {
      found.push_back(value);
    }
  }
  return found;
}

void Walker::refuse(const Operation& op, NoGradient reason, const Value* through) const {
  fail(ErrorCode::kUnsupported,
       "{} '{}': no gradient passes through its result '{}' ({}); behind it {} {}; train other "
       "parameters, or another output",
       op.type, op.name(), through->name, text_of(reason), behind(op).size() == 1 ? "lies" : "lie",
       names_of(behind(op)));
}

// A value without a gradient on which the result does depend, through integers alone, is an error.
void Walker::check_cut(const Value* wrt) const {
  if (!reaches(block_, wrt, ends_)) return;
  const std::vector<Value*> alone{const_cast<Value*>(wrt)};
  const Activity activity(block_, alone, ends_);
  for (const auto& op : block_.ops) {
    const std::vector<Value*> read = values_read_by(*op);
    if (std::none_of(read.begin(), read.end(),
                     [&](const Value* v) { return activity.varied(v); })) {
      continue;
    }
    for (const auto& output : op->outputs) {
      if (carries_gradient(output->type) || !output->type.is_tensor()) continue;
      if (reaches(block_, output.get(), ends_)) {
        refuse(*op, NoGradient::kIntegerOutput, output.get());
      }
    }
  }
}

void Walker::differentiate(size_t index, Block& into, const std::vector<Value*>& seeds) {
  const Block& nested = *current_->blocks.at(index);
  MW_CHECK(nested.arguments.empty() && seeds.size() == nested.outputs.size());
  ir::ValueMap map;
  for (const auto& op : nested.ops) ir::clone_into(*op, into, map);
  std::vector<Seed> ends;
  for (size_t i = 0; i < seeds.size(); ++i) {
    if (seeds[i] == nullptr) continue;
    const auto copy = map.find(nested.outputs[i]);
    ends.push_back({copy != map.end() ? copy->second : nested.outputs[i], seeds[i]});
  }
  Walker walker(into, catalog_, opset_, ops_, captured_);
  std::vector<Value*> gradients = walker.run(ends);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] == nullptr) {
      gradients[i] = ops_.filled(walker.builder(), captured_[i]->type, 0);
    }
  }
  into.outputs = gradients;
}

}  // namespace

std::vector<Value*> gradients(ir::Function& function, const ir::Catalog& catalog,
                              const ir::GradientOps& ops, const std::vector<Seed>& seeds,
                              const std::vector<Value*>& wrt) {
  return in_context(
      [&] { return fmt::format("function '{}'", function.name); },
      [&] { return Walker(function.body, catalog, function.opset, ops, wrt).run(seeds); });
}

}  // namespace mw::autodiff
