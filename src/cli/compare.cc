// Comparison of two models: interface, operations, weights, metadata.
#include "cli/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "cli/describe.h"

namespace mw::cli {
namespace {

using ir::Operation;
using ir::Value;

// Constants larger than this are weights; smaller ones are told as part of their operation.
constexpr int64_t kSettingCount = 16;

std::string constant_text(const ir::ConstantPtr& constant) {
  if (constant == nullptr) return "nothing";
  if (!constant->is_tensor() || !constant->has_value()) return constant->type().str();
  const Tensor& value = constant->value();
  if (value.rank() == 0) return first_values(value, 1);
  return fmt::format("[{}]", first_values(value, 8));
}

bool same_constant(const ir::ConstantPtr& a, const ir::ConstantPtr& b) {
  if (a == nullptr || b == nullptr) return a == b;
  if (a->is_tensor() && b->is_tensor() && a->has_value() && b->has_value() &&
      a->value().raw() == b->value().raw()) {
    return a->type() == b->type();
  }
  return equal(*a, *b);
}

std::vector<const Operation*> ops_of(const ir::Function& function) {
  std::vector<const Operation*> ops;
  ir::for_each_op(function.body, [&](const Operation& op) {
    if (!op.is_const()) ops.push_back(&op);
  });
  return ops;
}

class FunctionCompare {
 public:
  FunctionCompare(const ir::Function& a, const ir::Function& b, Differences& out)
      : a_(a), b_(b), name_(a.name), out_(out) {}

  void run() {
    if (a_.opset != b_.opset) {
      out_.interface.push_back(fmt::format("function {}: opset {} -> {}", name_,
                                           ir::name_of(a_.opset), ir::name_of(b_.opset)));
    }
    match_arguments();
    const auto ops_a = ops_of(a_), ops_b = ops_of(b_);
    const bool same =
        std::equal(ops_a.begin(), ops_a.end(), ops_b.begin(), ops_b.end(), [](auto* x, auto* y) {
          return x->type == y->type && x->outputs.size() == y->outputs.size() &&
                 x->blocks.size() == y->blocks.size();
        });
    if (same) {
      for (size_t i = 0; i < ops_a.size(); ++i) match(*ops_a[i], *ops_b[i]);
      for (size_t i = 0; i < ops_a.size(); ++i) compare_ops(*ops_a[i], *ops_b[i]);
    } else {
      by_name(ops_a, ops_b);
    }
    compare_outputs(a_.body.outputs, b_.body.outputs, fmt::format("function {}", name_));
  }

 private:
  // By name, since containers order them differently; a renamed one by its place.
  void match_arguments() {
    const auto &from = a_.body.arguments, &to = b_.body.arguments;
    for (size_t i = 0; i < from.size(); ++i) {
      const Value* found = b_.find_argument(from[i]->name);
      if (found == nullptr && i < to.size() && a_.find_argument(to[i]->name) == nullptr) {
        found = to[i].get();
      }
      map_[from[i].get()] = found;
    }
  }

  void match(const Operation& a, const Operation& b) {
    for (size_t i = 0; i < std::min(a.outputs.size(), b.outputs.size()); ++i) {
      map_[a.outputs[i].get()] = b.outputs[i].get();
      out_.renamed += a.outputs[i]->name != b.outputs[i]->name ? 1 : 0;
    }
    for (size_t i = 0; i < std::min(a.blocks.size(), b.blocks.size()); ++i) {
      const auto &x = a.blocks[i]->arguments, &y = b.blocks[i]->arguments;
      for (size_t j = 0; j < std::min(x.size(), y.size()); ++j) map_[x[j].get()] = y[j].get();
    }
  }

  void by_name(const std::vector<const Operation*>& ops_a,
               const std::vector<const Operation*>& ops_b) {
    const auto key = [](const Operation& op) {
      return op.outputs.empty() ? op.name() : op.outputs[0]->name;
    };
    std::multimap<std::string, const Operation*> in_b;
    for (const Operation* op : ops_b) in_b.emplace(key(*op), op);
    std::vector<std::pair<const Operation*, const Operation*>> pairs;
    for (const Operation* op : ops_a) {
      const auto found = in_b.find(key(*op));
      if (found == in_b.end()) {
        out_.operations.push_back(
            fmt::format("{}: {} '{}' is in A only", name_, op->type, key(*op)));
        continue;
      }
      pairs.emplace_back(op, found->second);
      match(*op, *found->second);
      in_b.erase(found);
    }
    std::set<const Operation*> left;
    for (const auto& [name, op] : in_b) left.insert(op);
    for (const Operation* op : ops_b) {
      if (left.contains(op)) {
        out_.operations.push_back(
            fmt::format("{}: {} '{}' is in B only", name_, op->type, key(*op)));
      }
    }
    for (const auto& [x, y] : pairs) compare_ops(*x, *y);
  }

  void tell(const Operation& op, const std::string& what, const std::string& a,
            const std::string& b) {
    out_.operations.push_back(
        fmt::format("{}: {} '{}': {} {} -> {}", name_, op.type, op.name(), what, a, b));
  }

  void compare_ops(const Operation& a, const Operation& b) {
    if (a.type != b.type) tell(a, "operation", a.type, b.type);
    for (size_t i = 0; i < std::min(a.outputs.size(), b.outputs.size()); ++i) {
      const ir::Type &x = a.outputs[i]->type, &y = b.outputs[i]->type;
      if (!(x == y)) tell(a, fmt::format("result {}", i), x.str(), y.str());
    }
    std::set<std::string> names;
    for (const ir::Input& input : a.inputs) names.insert(input.name);
    for (const ir::Input& input : b.inputs) names.insert(input.name);
    for (const std::string& name : names) compare_inputs(a, b, name);
    std::set<std::string> attributes;
    for (const auto& row : a.attributes) attributes.insert(row.first);
    for (const auto& row : b.attributes) attributes.insert(row.first);
    attributes.erase("name");
    for (const std::string& name : attributes) {
      compare_constants(a, name, ir::find_attribute(a.attributes, name),
                        ir::find_attribute(b.attributes, name),
                        fmt::format("{}.{}", a.name(), name));
    }
    if (a.blocks.size() != b.blocks.size()) {
      return tell(a, "blocks", std::to_string(a.blocks.size()), std::to_string(b.blocks.size()));
    }
    for (size_t i = 0; i < a.blocks.size(); ++i) {
      compare_outputs(a.blocks[i]->outputs, b.blocks[i]->outputs,
                      fmt::format("{}: block {} of {} '{}'", name_, i, a.type, a.name()));
    }
  }

  void compare_inputs(const Operation& a, const Operation& b, const std::string& name) {
    static const std::vector<ir::Operand> kNone;
    const ir::Input *x = a.find_input(name), *y = b.find_input(name);
    const auto& operands_a = x == nullptr ? kNone : x->operands;
    const auto& operands_b = y == nullptr ? kNone : y->operands;
    if (operands_a.size() != operands_b.size()) {
      return tell(a, name, fmt::format("{} operands", operands_a.size()),
                  fmt::format("{} operands", operands_b.size()));
    }
    for (size_t i = 0; i < operands_a.size(); ++i) {
      const ir::ConstantPtr p = ir::constant_of(operands_a[i]), q = ir::constant_of(operands_b[i]);
      if (p != nullptr && q != nullptr) {
        const Value* value = operands_a[i].value;
        compare_constants(a, name, p, q,
                          value != nullptr ? value->name : fmt::format("{}.{}", a.name(), name));
      } else if (p != nullptr || q != nullptr ||
                 !corresponds(operands_a[i].value, operands_b[i].value)) {
        tell(a, name, operand_text(operands_a[i]), operand_text(operands_b[i]));
      }
    }
  }

  static std::string operand_text(const ir::Operand& operand) {
    const ir::ConstantPtr constant = ir::constant_of(operand);
    return constant != nullptr ? constant_text(constant) : operand.value->name;
  }

  bool corresponds(const Value* a, const Value* b) const {
    const auto found = map_.find(a);
    return found == map_.end() ? a->name == b->name : found->second == b;
  }

  void compare_outputs(const std::vector<Value*>& a, const std::vector<Value*>& b,
                       const std::string& where) {
    if (a.size() != b.size()) {
      out_.operations.push_back(fmt::format("{}: {} outputs -> {}", where, a.size(), b.size()));
      return;
    }
    for (size_t i = 0; i < a.size(); ++i) {
      const ir::ConstantPtr p = ir::constant_of(a[i]), q = ir::constant_of(b[i]);
      const bool same =
          p != nullptr && q != nullptr ? same_constant(p, q) : corresponds(a[i], b[i]);
      if (!same) {
        out_.operations.push_back(
            fmt::format("{}: output {}: {} -> {}", where, i, a[i]->name, b[i]->name));
      }
    }
  }

  void compare_constants(const Operation& op, const std::string& input, const ir::ConstantPtr& a,
                         const ir::ConstantPtr& b, const std::string& weight_name) {
    if (!told_.emplace(a.get(), b.get()).second || same_constant(a, b)) return;
    const auto is_weight = [](const ir::ConstantPtr& c) {
      return c != nullptr && c->is_tensor() && c->has_value() &&
             c->value().dtype() != DType::kString &&
             (c->blob_ref() || c->value().count() > kSettingCount);
    };
    if (!is_weight(a) && !is_weight(b)) return tell(op, input, constant_text(a), constant_text(b));
    WeightChange change{.function = name_, .name = weight_name};
    if (a == nullptr || b == nullptr || !(a->type() == b->type())) {
      change.text = fmt::format("{} -> {}", a == nullptr ? "nothing" : a->type().str(),
                                b == nullptr ? "nothing" : b->type().str());
    }
    if (is_weight(a) && is_weight(b)) measure(a->value(), b->value(), change);
    out_.weights.push_back(std::move(change));
  }

  static void measure(const Tensor& a, const Tensor& b, WeightChange& change) {
    if (a.shape() != b.shape()) return;
    change.count = a.count();
    for (int64_t i = 0; i < a.count(); ++i) {
      const double x = a.number_at(i), y = b.number_at(i);
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      ++change.changed;
      const double difference = std::abs(x - y);
      if (!(difference <= change.max_difference)) change.max_difference = difference;
    }
  }

  const ir::Function &a_, &b_;
  std::string name_;
  Differences& out_;
  std::unordered_map<const Value*, const Value*> map_;
  std::set<std::pair<const ir::Constant*, const ir::Constant*>> told_;
};

using ValueNamed = const Value* (*)(const ir::Function&, const std::string&);

// One kind of features, where descriptions keep them, and what finds their values in a function.
struct FeatureKind {
  const char* name;
  std::vector<package::Feature> package::FunctionDescription::*list;
  ValueNamed value_named;
};
constexpr FeatureKind kInputs = {"input", &package::FunctionDescription::inputs, argument_named};
constexpr FeatureKind kOutputs = {"output", &package::FunctionDescription::outputs, output_named};
constexpr FeatureKind kStates = {"state", &package::FunctionDescription::states, argument_named};

void compare_features(const FeatureKind& kind, const package::FunctionDescription& described_a,
                      const package::FunctionDescription& described_b, const ir::Function& in_a,
                      const ir::Function& in_b, std::vector<std::string>& out) {
  const auto &a = described_a.*kind.list, &b = described_b.*kind.list;
  const std::string where = in_a.name + ": " + kind.name;
  const auto find = [](const std::vector<package::Feature>& list, const std::string& name) {
    const auto found =
        std::find_if(list.begin(), list.end(), [&](const auto& f) { return f.name == name; });
    return found == list.end() ? nullptr : &*found;
  };
  for (const auto& feature : a) {
    const package::Feature* other = find(b, feature.name);
    if (other == nullptr) {
      out.push_back(fmt::format("{} '{}' is in A only", where, feature.name));
    } else if (!(feature == *other)) {
      const std::string x = feature_text(feature, kind.value_named(in_a, feature.name));
      const std::string y = feature_text(*other, kind.value_named(in_b, feature.name));
      out.push_back(x == y ? fmt::format("{} '{}': \"{}\" -> \"{}\"", where, feature.name,
                                         feature.description, other->description)
                           : fmt::format("{} '{}': {} -> {}", where, feature.name, x, y));
    }
  }
  for (const auto& feature : b) {
    if (find(a, feature.name) != nullptr) continue;
    out.push_back(fmt::format("{} '{}' is in B only", where, feature.name));
  }
}

std::map<std::string, std::string> rows_of(const package::Metadata& m) {
  std::map<std::string, std::string> rows = m.user_defined;
  rows["description"] = m.short_description;
  rows["version"] = m.version;
  rows["author"] = m.author;
  rows["license"] = m.license;
  return rows;
}

void compare_metadata(const package::Metadata& a, const package::Metadata& b,
                      std::vector<std::string>& out) {
  auto x = rows_of(a), y = rows_of(b);
  std::set<std::string> names;
  for (const auto& row : x) names.insert(row.first);
  for (const auto& row : y) names.insert(row.first);
  for (const std::string& name : names) {
    if (x[name] != y[name]) {
      out.push_back(fmt::format("{}: \"{}\" -> \"{}\"", name, x[name], y[name]));
    }
  }
}

}  // namespace

Differences compare(const package::Model& a, const package::Model& b) {
  Differences out;
  if (a.default_function != b.default_function) {
    out.interface.push_back(
        fmt::format("default function: {} -> {}", a.default_function, b.default_function));
  }
  for (const auto& function : b.program->functions) {
    if (a.program->find_function(function->name) == nullptr) {
      out.interface.push_back(fmt::format("function {} is in B only", function->name));
    }
  }
  for (const auto& function : a.program->functions) {
    const ir::Function* other = b.program->find_function(function->name);
    if (other == nullptr) {
      out.interface.push_back(fmt::format("function {} is in A only", function->name));
      continue;
    }
    const auto *x = a.find_function(function->name), *y = b.find_function(function->name);
    if (x != nullptr && y != nullptr) {
      compare_features(kInputs, *x, *y, *function, *other, out.interface);
      compare_features(kOutputs, *x, *y, *function, *other, out.interface);
      compare_features(kStates, *x, *y, *function, *other, out.interface);
    }
    FunctionCompare(*function, *other, out).run();
  }
  compare_metadata(a.metadata, b.metadata, out.metadata);
  return out;
}

}  // namespace mw::cli
