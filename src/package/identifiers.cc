// with_identifiers(): renames values, the interface first so that it keeps its names.
#include "package/identifiers.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"

namespace mw::package {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

void expect_identifier(std::string_view what, const std::string& name) {
  if (is_identifier(name)) return;
  fail(ErrorCode::kInvalidArgument,
       "{} '{}': expected letters, digits and underscores, as a compiled model needs; "
       "rename it to '{}' or write a .mlpackage",
       what, name, identifier_from(name));
}

class Renamer {
 public:
  explicit Renamer(ir::Function& function) : function_(function) {}

  void run() {
    expect_identifier("function", function_.name);
    for (const auto& argument : function_.body.arguments) keep(*argument, "input");
    for (const ir::Value* output : function_.body.outputs) keep(*output, "output");
    block(function_.body);
  }

 private:
  void keep(const ir::Value& value, std::string_view what) {
    expect_identifier(what, value.name);
    taken_.insert(value.name);
    kept_.insert(&value);
  }

  void block(ir::Block& block) {
    for (const auto& argument : block.arguments) rename(*argument);
    for (const auto& op : block.ops) {
      const std::string original = op->outputs.empty() ? "" : op->outputs[0]->name;
      for (const auto& nested : op->blocks) this->block(*nested);
      for (const auto& output : op->outputs) rename(*output);
      const bool changed = !op->outputs.empty() && op->outputs[0]->name != original;
      if (changed && !ir::find_attribute(op->attributes, "name")) {
        ir::set_attribute(op->attributes, "name", ir::Constant::string(original));
      }
    }
  }

  void rename(ir::Value& value) {
    if (kept_.contains(&value)) return;
    const std::string base = identifier_from(value.name);
    value.name = base;
    for (size_t& suffix = next_[base]; !taken_.insert(value.name).second; ++suffix) {
      value.name = fmt::format("{}_{}", base, suffix);
    }
  }

  ir::Function& function_;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, size_t> next_;
  std::unordered_set<const ir::Value*> kept_;
};

}  // namespace

bool is_identifier(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

std::string identifier_from(std::string_view name) {
  std::string text;
  if (name.empty() || is_digit(name[0])) text += '_';
  for (const char c : name) text += is_letter(c) || is_digit(c) ? c : '_';
  return text;
}

std::unique_ptr<ir::Program> with_identifiers(const ir::Program& program) {
  auto copy = ir::clone(program);
  for (const auto& function : copy->functions) {
    in_context([&] { return fmt::format("function '{}'", function->name); },
               [&] { Renamer(*function).run(); });
  }
  return copy;
}

}  // namespace mw::package
