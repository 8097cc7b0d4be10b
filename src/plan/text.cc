// text(): sections of items, wrapped; steps with what their accounts say.
#include "plan/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/printable.h"
#include "plan/account.h"

namespace mw::plan {
namespace {

constexpr size_t kWidth = 100;

// Items two spaces apart, in lines that begin with the indentation.
class Lines {
 public:
  explicit Lines(size_t indent) : indent_(indent) {}
  void add(const std::string& item) {
    if (item.empty()) return;
    if (line_.empty()) {
      line_ = fmt::format("{:{}}{}", "", indent_, item);
    } else if (line_.size() + 2 + item.size() <= kWidth) {
      line_ += fmt::format("  {}", item);
    } else {
      end();
      add(item);
    }
  }
  void end() {
    if (!line_.empty()) text_ += fmt::format("{}\n", line_);
    line_.clear();
  }
  std::string str() {
    end();
    return std::move(text_);
  }

 private:
  size_t indent_;
  std::string line_, text_;
};

char letter(Buffer::Kind kind) {
  constexpr char kLetters[] = {'a', 'c', 'i', 'o', 's', 'w'};
  return kLetters[static_cast<size_t>(kind)];
}

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

class Writer {
 public:
  Writer(const Plan& plan, size_t indent) : plan_(plan), indent_(indent) {}

  std::string str() {
    totals();
    inputs();
    outputs();
    buffers();
    for (size_t s = 0; s < plan_.steps.size(); ++s) step(s);
    return std::move(text_);
  }

 private:
  void line(const std::string& text) { text_ += fmt::format("{:{}}{}\n", "", indent_, text); }

  [[nodiscard]] const Buffer& buffer(int index) const {
    return plan_.buffers[static_cast<size_t>(index)];
  }
  [[nodiscard]] std::string name(int index) const {
    return fmt::format("{}{}", letter(buffer(index).kind), index);
  }
  [[nodiscard]] std::string at(const Ref& ref) const {
    return ref.offset == 0 ? name(ref.buffer) : fmt::format("{}+{}", name(ref.buffer), ref.offset);
  }
  [[nodiscard]] std::string at(const Place& place) const {
    std::string text =
        fmt::format("{} {}{}", at(place.ref), name_of(place.dtype), shape_text(place.shape));
    if (!place.dense()) text += fmt::format("{{{}}}", fmt::join(place.strides, ","));
    return text;
  }
  [[nodiscard]] std::string at(const Where& where) const {
    switch (where.kind) {
      case Where::Kind::kPlace:
        return at(where.place);
      case Where::Kind::kSlot:
        return fmt::format("slot {}", where.slot);
      case Where::Kind::kConstant:
        return fmt::format("constant {}{}", name_of(where.constant.dtype()),
                           shape_text(where.constant.shape()));
      case Where::Kind::kNone:
        break;
    }
    return "nothing";
  }

  void totals() {
    int64_t constants = 0;
    for (const Buffer& b : plan_.buffers) {
      if (b.kind == Buffer::Kind::kConstant) constants += b.bytes;
    }
    std::map<std::string, int> kinds;
    for (const Step& step : plan_.steps) ++kinds[step.kind];
    std::string counts;
    for (const auto& [kind, count] : kinds) {
      counts += fmt::format("{}{} {}", counts.empty() ? ": " : ", ", count, kind);
    }
    line(fmt::format("{} steps{}", plan_.steps.size(), counts));
    line(fmt::format("{} bytes in the arena, {} bytes of constants", plan_.layout->arena_bytes,
                     constants));
  }

  void inputs() {
    line("inputs");
    for (size_t i = 0; i < plan_.inputs.size(); ++i) {
      const Input& input = plan_.inputs[i];
      std::string text = fmt::format("  {} = {}", printable(input.value->name), at(input.where));
      if (input.is_state) text += fmt::format("  {}", input.value->type.str());
      if (input.state_buffer >= 0) {
        text += fmt::format(" in {}{}", name(input.state_buffer), input.written ? ", written" : "");
      }
      if (i >= plan_.argument_count) text += "  captured";
      line(text);
    }
  }

  void outputs() {
    line("outputs");
    for (const Output& output : plan_.outputs) {
      line(fmt::format("  {} = {}", printable(output.name), at(output.where)));
    }
  }

  // Buffers of a kind; the arena's with their offsets and the steps between which they live.
  void buffers() {
    constexpr const char* kTitles[] = {"arena",   "constants", "inputs",
                                       "outputs", "states",    "windows"};
    for (const auto kind : {Buffer::Kind::kInput, Buffer::Kind::kState, Buffer::Kind::kOutput,
                            Buffer::Kind::kConstant, Buffer::Kind::kArena, Buffer::Kind::kWindow}) {
      Lines lines(indent_ + 2);
      for (size_t b = 0; b < plan_.buffers.size(); ++b) {
        if (plan_.buffers[b].kind == kind) lines.add(buffer_text(static_cast<int>(b)));
      }
      const std::string items = lines.str();
      if (items.empty()) continue;
      line(fmt::format("buffers: {}", kTitles[static_cast<size_t>(kind)]));
      text_ += items;
    }
  }

  [[nodiscard]] std::string buffer_text(int index) const {
    const Buffer& b = buffer(index);
    std::string text = fmt::format("{} {}", name(index), b.bytes);
    if (b.kind == Buffer::Kind::kConstant) {
      text += fmt::format(" {}{}", name_of(b.constant.dtype()), shape_text(b.constant.shape()));
    }
    if (b.kind == Buffer::Kind::kWindow) text += fmt::format(" in {}", name(b.within));
    if (b.kind == Buffer::Kind::kState) text += fmt::format(" of input {}", b.index);
    if (b.kind == Buffer::Kind::kArena) {
      const auto offset = plan_.layout->items[static_cast<size_t>(index)].offset;
      text += b.first < 0     ? " unused"
              : b.shares >= 0 ? fmt::format(" in {}", name(b.shares))
                              : fmt::format(" @{}", offset);
      if (b.first >= 0) text += fmt::format(" {}-{}", b.first, b.last);
    }
    return text;
  }

  // --- steps ---

  void step(size_t index) {
    const Step& step = plan_.steps[index];
    line(fmt::format("{:3} {}{}", index, step.kind, ops_text(step)));
    Lines lines(indent_ + 6);
    shown_.clear();
    if (step.account != nullptr) account(*step.account, lines);
    if (step.call != nullptr) call(*step.call, lines);
    if (step.locating != nullptr) lines.add(fmt::format("from {}", at(step.locating->first)));
    rest("reads", step.reads, lines);
    rest("writes", step.writes, lines);
    text_ += lines.str();
    if (step.call != nullptr) blocks(*step.call);
  }

  [[nodiscard]] std::string ops_text(const Step& step) const {
    std::vector<const ir::Operation*> ops;
    if (step.account != nullptr) ops = step.account->ops;
    if (ops.empty() && step.op != nullptr) ops = {step.op};
    std::string text;
    size_t column = indent_ + 4 + std::string_view(step.kind).size();
    for (const ir::Operation* op : ops) {
      const std::string item = fmt::format("{} '{}'", op->type, printable(op->name()));
      const bool first = text.empty(), wraps = !first && column + item.size() + 3 > kWidth;
      if (wraps) column = indent_ + 4;
      const std::string gap = wraps ? fmt::format(",\n{:{}}", "", indent_ + 6) : ", ";
      text += fmt::format("{}{}", first ? "  of " : gap, item);
      column += item.size() + 2;
    }
    return text;
  }

  std::string shown(const Place& place) {
    shown_.push_back(place.ref.buffer);
    return at(place);
  }

  void account(const Account& account, Lines& lines) {
    if (account.rows) lines.add(walk_text(*account.rows));
    for (const auto& item : account.operands) {
      lines.add(fmt::format("{}={}", printable(item.name), shown(item.place)));
    }
    for (const Place& place : account.constants) lines.add(fmt::format("holds {}", shown(place)));
    for (const std::string& note : account.notes) lines.add(note);
    for (const auto& item : account.results) lines.add(fmt::format("-> {}", shown(item.place)));
    for (const int b : account.workspaces) {
      shown_.push_back(b);
      lines.add(fmt::format("works in {}", name(b)));
    }
    if (account.rows) program(*account.rows, lines);
  }

  void call(const ReferenceCall& call, Lines& lines) {
    for (const auto& [value, where] : call.operands) {
      if (where.kind == Where::Kind::kPlace) shown_.push_back(where.place.ref.buffer);
      lines.add(fmt::format("{}={}", input_name(*call.op, value), at(where)));
    }
    for (const Where& where : call.results) {
      if (where.kind == Where::Kind::kPlace) shown_.push_back(where.place.ref.buffer);
      lines.add(fmt::format("-> {}", at(where)));
    }
    if (call.infers) lines.add("checks its shapes");
  }

  static std::string input_name(const ir::Operation& op, const ir::Value* value) {
    for (const ir::Input& input : op.inputs) {
      for (const ir::Operand& operand : input.operands) {
        if (operand.value == value) return input.name;
      }
    }
    return fmt::format("'{}'", printable(value->name));
  }

  void rest(const char* what, const std::vector<int>& list, Lines& lines) {
    for (const int b : list) {
      if (std::ranges::find(shown_, b) != shown_.end() || is_around_shown(b)) continue;
      lines.add(fmt::format("{} {}", what, name(b)));
    }
  }

  // Whether a window that the step's lines name is a part of it.
  [[nodiscard]] bool is_around_shown(int index) const {
    return std::ranges::any_of(shown_, [&](int shown) {
      while (shown >= 0 && shown != index) shown = buffer(shown).within;
      return shown == index;
    });
  }

  void blocks(const ReferenceCall& call) {
    for (size_t i = 0; i < call.blocks.size(); ++i) {
      line(fmt::format("      block {}", i));
      text_ += Writer(*call.blocks[i], indent_ + 8).str();
    }
  }

  // --- row programs ---

  // An operand of the row walk: nothing behind it when it lies in the order of the walk.
  std::string walked(const RowProgram& p, const RowProgram::Operand& operand) {
    shown_.push_back(operand.ref.buffer);
    Strides plain = row_major(p.outer);
    const bool per_row = operand.inner == 0 && operand.outer == plain;
    for (int64_t& stride : plain) stride *= p.width;
    const bool in_order = operand.inner == 1 && operand.outer == plain;
    const bool every_row =
        operand.inner == 1 && std::ranges::count(operand.outer, 0) == std::ssize(operand.outer);
    std::string text = fmt::format("{} {}", at(operand.ref), name_of(operand.dtype));
    if (per_row) return fmt::format("{} per row", text);
    if (in_order) return text;
    if (every_row) return fmt::format("{} every row", text);
    return text + fmt::format("{{{};{}}}", fmt::join(operand.outer, ","), operand.inner);
  }

  static std::string value_text(const RowProgram& p, int value) {
    for (const auto& constant : p.constants) {
      if (constant.value != value) continue;
      const bool floats = p.values[static_cast<size_t>(value)].lane == Lane::kF32;
      return floats ? fmt::format("{}", constant.number) : fmt::format("{}", constant.integer);
    }
    return fmt::format("v{}", value);
  }

  static std::string instruction_text(const RowProgram& p, const RowProgram::Instruction& i) {
    std::string text = fmt::format("v{} = {}", i.to, text_of({i.op, i.alpha, i.beta}));
    for (const int operand : i.from) {
      if (operand >= 0) text += fmt::format(" {}", value_text(p, operand));
    }
    return text;
  }

  static std::string walk_text(const RowProgram& p) {
    return fmt::format("{} x {}{}", shape_text(p.outer), p.width,
                       p.whole_rows ? " whole rows" : "");
  }

  void program(const RowProgram& p, Lines& lines) {
    lines.end();
    for (const auto& input : p.inputs) {
      lines.add(fmt::format("v{} = {}", input.value, walked(p, input)));
    }
    for (const auto& instruction : p.code) lines.add(instruction_text(p, instruction));
    for (const auto& output : p.outputs) {
      lines.add(fmt::format("{} = {}", walked(p, output), value_text(p, output.value)));
    }
    lines.end();
  }

  const Plan& plan_;
  size_t indent_;
  std::string text_;
  std::vector<int> shown_;  // buffers that the step's lines name
};

}  // namespace

std::string text_of(const Activation& activation) {
  std::string text(name_of(activation.op));
  if (activation.alpha != 0 || activation.beta != 0 || activation.op == RowOp::kClip ||
      activation.op == RowOp::kAffine) {
    text += fmt::format("({}, {})", activation.alpha, activation.beta);
  }
  return text;
}

std::string text(const Plan& plan) { return Writer(plan, 0).str(); }

}  // namespace mw::plan
