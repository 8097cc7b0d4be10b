// StepGraph: numbering, the order of ops that a choice leads to, and the program it becomes.
#include "autodiff/step_graph.h"

#include <algorithm>
#include <unordered_set>

#include "autodiff/activity.h"
#include "base/error.h"
#include "ir/apart.h"

namespace mw::autodiff {
namespace {

// As a plan has it: what is made of constants alone is made once, unless that is large for them.
constexpr int64_t kSmallConstant = int64_t{1} << 20;
constexpr int64_t kGrowth = 4;
// Of the bytes that the backward pass reads, the part that a candidate has at least.
constexpr int64_t kSmallestPart = 4096;
constexpr size_t kMostCandidates = 512;
constexpr uint32_t kKept = ir::kReadsState | ir::kWritesState | ir::kControlFlow | ir::kListOp;

int64_t bytes_of_type(const ir::Type& type) {
  return type.is_tensor() && type.is_static() ? bytes_of(type.dtype(), count_of(type.shape())) : 0;
}

int64_t elements_of(const ir::Type& type) {
  return type.is_tensor() && type.is_static() ? count_of(type.shape()) : 0;
}

// A random op whose seed is known draws the same numbers again; -1 takes them from the system.
bool draws_again(const ir::Operation& op) {
  const ir::Input* seed = op.find_input("seed");
  if (seed == nullptr || seed->operands.size() != 1) return false;
  const ir::ConstantPtr known = ir::constant_of(seed->operands[0]);
  return known != nullptr && known->is_tensor() && known->value().count() == 1 &&
         known->value().integer_at(0) != -1;
}

bool can_repeat(const ir::Operation& op, const ir::OpDef& def) {
  if (def.has_trait(kKept) || !op.blocks.empty()) return false;
  if (def.has_trait(ir::kRandom) && !draws_again(op)) return false;
  return std::all_of(op.outputs.begin(), op.outputs.end(), [](const auto& output) {
    return output->type.is_tensor() && output->type.is_static();
  });
}

// Replaces what an op reads, nested blocks included.
void redirect(ir::Operation& op, const ir::ValueMap& map) {
  const auto current = [&](ir::Value*& value) {
    if (const auto found = map.find(value); found != map.end()) value = found->second;
  };
  for (ir::Operand& operand : ir::operands(op)) current(operand.value);
  for (const auto& block : op.blocks) {
    for (const auto& nested : block->ops) redirect(*nested, map);
    for (ir::Value*& output : block->outputs) current(output);
  }
}

}  // namespace

StepGraph::StepGraph(const ir::Function& function, const ir::Catalog& catalog,
                     const std::vector<const ir::Value*>& ends, const RecomputeHints& hints)
    : function_(function) {
  for (const auto& argument : function.body.arguments) {
    numbers_[argument.get()] = values_.size();
    values_.emplace_back();
    constant_.push_back(false);
  }
  number_ops(catalog, hints);
  find_turn(ends);
  find_candidates();
}

void StepGraph::number_ops(const ir::Catalog& catalog, const RecomputeHints& hints) {
  for (const auto& operation : function_.body.ops) {
    const ir::OpDef& def = catalog.at(*operation, function_.opset);
    Op op;
    op.op = operation.get();
    for (const ir::Value* value : values_read_by(*operation)) {
      op.reads.push_back(numbers_.at(value));
      op.elements = std::max(op.elements, elements_of(value->type));
    }
    op.again = can_repeat(*operation, def);
    op.chains = hints.chains(*operation);
    op.work = operation->is_const() ? 0 : hints.work(*operation);
    add_results(op, ops_.size(), def, hints);
    ops_.push_back(std::move(op));
  }
  for (const ir::Value* output : function_.body.outputs) {
    const int buffer = values_[numbers_.at(output)].buffer;
    if (buffer != kFree) buffers_[static_cast<size_t>(buffer)].output = true;
  }
}

void StepGraph::add_results(Op& op, size_t index, const ir::OpDef& def,
                            const RecomputeHints& hints) {
  const ir::Operation& operation = *op.op;
  int64_t read = 0, made = 0;
  for (const ir::Value* value : values_read_by(operation)) read += bytes_of_type(value->type);
  for (const auto& output : operation.outputs) made += bytes_of_type(output->type);
  const bool constant =
      operation.is_const() ||
      (!def.has_trait(kKept | ir::kRandom) &&
       std::all_of(op.reads.begin(), op.reads.end(), [&](size_t v) { return constant_[v]; }) &&
       (def.has_trait(ir::kConstexpr) || made <= kSmallConstant || made / kGrowth <= read));
  const ir::Value* viewed = hints.viewed(operation);
  for (const auto& output : operation.outputs) {
    const ir::Type& type = output->type;
    Value value;
    value.op = static_cast<int>(index);
    op.elements = std::max(op.elements, elements_of(type));
    if (viewed != nullptr) {
      value.buffer = values_[numbers_.at(viewed)].buffer;
    } else if (!constant && type.is_tensor() && type.is_static() &&
               (!def.has_trait(ir::kReadsState) || def.has_trait(ir::kWritesState))) {
      value.buffer = static_cast<int>(buffers_.size());
      op.makes.push_back(buffers_.size());
      buffers_.push_back({bytes_of_type(type), index});
    }
    op.results.push_back(values_.size());
    numbers_[output.get()] = values_.size();
    values_.push_back(value);
    constant_.push_back(constant);
  }
}

void StepGraph::find_turn(const std::vector<const ir::Value*>& ends) {
  std::vector<bool> needed(values_.size(), false);
  for (const ir::Value* end : ends) needed[numbers_.at(end)] = true;
  for (size_t i = ops_.size(); i-- > 0;) {
    const Op& op = ops_[i];
    if (std::none_of(op.results.begin(), op.results.end(), [&](size_t v) { return needed[v]; })) {
      continue;
    }
    turn_ = std::max(turn_, i + 1);
    for (const size_t value : op.reads) needed[value] = true;
  }
}

void StepGraph::find_candidates() {
  int64_t total = 0;
  for (size_t i = turn_; i < ops_.size(); ++i) {
    for (const size_t value : ops_[i].reads) {
      const int buffer = values_[value].buffer;
      if (buffer == kFree) continue;
      Buffer& read = buffers_[static_cast<size_t>(buffer)];
      if (read.op >= turn_ || read.read_back) continue;
      read.read_back = true;
      total += read.bytes;
    }
  }
  for (size_t b = 0; b < buffers_.size(); ++b) {
    const Buffer& buffer = buffers_[b];
    if (!buffer.read_back || !ops_[buffer.op].again || buffer.output) continue;
    if (buffer.bytes > 0 && buffer.bytes >= total / kSmallestPart) candidates_.push_back(b);
  }
  std::stable_sort(candidates_.begin(), candidates_.end(),
                   [&](size_t a, size_t b) { return buffers_[a].bytes > buffers_[b].bytes; });
  if (candidates_.size() > kMostCandidates) candidates_.resize(kMostCandidates);
}

bool StepGraph::is_gone(const Choice& choice, const Value& value) const {
  if (value.buffer == kFree) return false;
  const Buffer& buffer = buffers_[static_cast<size_t>(value.buffer)];
  if (buffer.op >= turn_ || !ops_[buffer.op].again) return false;
  return choice[static_cast<size_t>(value.buffer)] || !buffer.read_back;
}

void StepGraph::close(const Choice& choice, std::vector<size_t> values, std::vector<bool>& again,
                      std::vector<size_t>& closure) const {
  const size_t first = closure.size();
  while (!values.empty()) {
    const Value& value = values_[values.back()];
    values.pop_back();
    if (!is_gone(choice, value)) continue;
    const auto op = static_cast<size_t>(value.op);
    if (op >= turn_ || again[op]) continue;
    again[op] = true;
    closure.push_back(op);
    values.insert(values.end(), ops_[op].reads.begin(), ops_[op].reads.end());
  }
  std::sort(closure.begin() + static_cast<int64_t>(first), closure.end());
}

StepGraph::Order StepGraph::order(const Choice& choice) const {
  Order order;
  order.again.assign(ops_.size(), false);
  std::vector<size_t> closure;
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (i >= turn_) {
      closure.clear();
      close(choice, ops_[i].reads, order.again, closure);
      for (const size_t op : closure) order.entries.push_back({op, true});
    }
    order.entries.push_back({i, false});
  }
  return order;
}

double StepGraph::added_work(const Choice& choice, const Order& order, size_t buffer) const {
  Choice with = choice;
  with[buffer] = true;
  std::vector<bool> again = order.again;
  std::vector<size_t> closure;
  close(with, {ops_[buffers_[buffer].op].results}, again, closure);
  double work = 0;
  for (const size_t op : closure) work += ops_[op].work;
  return work;
}

std::unique_ptr<ir::Function> StepGraph::apply(const Choice& choice) const {
  auto [copy, copies] = ir::clone(function_);
  const auto uses = ir::uses_in(function_.body);
  std::unordered_set<std::string> names;
  for (const auto& [value, number] : numbers_) names.insert(value->name);
  ir::ValueMap map;
  auto at = copy->body.ops.begin();
  for (const Entry& entry : order(choice).entries) {
    const Op& op = ops_[entry.op];
    if (!entry.again) {
      if (entry.op >= turn_) redirect(**at, map);
      ++at;
      continue;
    }
    ir::Operation& source = *copies.at(op.op->outputs.front().get())->producer;
    ir::Operation* made = ir::clone_into(source, copy->body, map);
    copy->body.ops.splice(at, copy->body.ops, std::prev(copy->body.ops.end()));
    for (const auto& output : made->outputs) {
      output->name += "_again";
      while (!names.insert(output->name).second) output->name += "_";
    }
    for (const auto& output : op.op->outputs) {
      const auto found = uses.find(output.get());
      if (found == uses.end() || found->second.size() < 2) continue;
      for (ir::Operation* each : {&source, made}) {
        ir::set_attribute(each->attributes, ir::kApart, ir::Constant::boolean(true));
      }
    }
  }
  return std::move(copy);
}

}  // namespace mw::autodiff
