// From the loss back over moves to the product; the moves are then made of what it multiplies.
#include "ops/rewrites/head_loss.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "ops/conv/window.h"
#include "ops/known.h"
#include "ops/loss/linear_cross_entropy.h"
#include "ops/loss/moves.h"
#include "ops/rewrites/live_uses.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

// Fewer rows make a product that waits for the weight, and so few are taken where more would be of
// more than twice as many logits. Rows come in multiples of a library's tiles.
constexpr int64_t kFewRows = 256, kFewestRows = 64;
constexpr int64_t kTile = 16;

// y = x w: the operands of an op as a head, and the axis of x and of the result that w is along.
struct Head {
  Value *x = nullptr, *weight = nullptr;
  Operand bias;
  bool outputs_first = true;
  int64_t axis = 0;
};

const Operand* operand_in(const Operation& op, std::string_view input) {
  const Input* found = op.find_input(input);
  return found == nullptr || found->operands.size() != 1 ? nullptr : &found->operands[0];
}

// Whether a convolution sees each element alone, and all channels.
bool is_of_one_element(const OpView& op) {
  const Shape weight = op.shape("weight");
  const std::vector<Window> windows = windows_of(op, {weight.begin() + 2, weight.end()});
  return op.integer("groups") == 1 && std::ranges::all_of(windows, [](const Window& window) {
           return window.kernel == 1 && window.stride == 1 && window.before == 0 &&
                  window.in == window.out;
         });
}

std::optional<Head> head_of(const OpView& view) {
  const Operation& op = view.operation();
  Head head;
  head.x = op.input("x");
  const bool is_matmul = op.type == "matmul", is_conv = op.type == "conv";
  if (head.x == nullptr || (op.type != "linear" && !is_matmul && !is_conv)) return std::nullopt;
  head.weight = op.input(is_matmul ? "y" : "weight");
  if (head.weight == nullptr || head.weight->type.dtype() != head.x->type.dtype()) {
    return std::nullopt;
  }
  const int64_t rank = head.x->type.rank();
  head.axis = is_conv ? 1 : rank - 1;
  if (is_matmul) {
    if (head.weight->type.rank() != 2 || rank < 2 || says(op, "transpose_x")) return std::nullopt;
    head.outputs_first = says(op, "transpose_y");
  }
  if (is_conv && !is_of_one_element(view)) return std::nullopt;
  if (const Operand* bias = operand_in(op, "bias"); bias != nullptr) {
    const DType dtype =
        bias->value != nullptr ? bias->value->type.dtype() : bias->literal->type().dtype();
    if (dtype != head.x->type.dtype()) return std::nullopt;
    head.bias = *bias;
  }
  return head;
}

// Rows of logits at once: chunks of about the same size.
int64_t rows_at_once(int64_t rows, int64_t classes, int64_t at_once) {
  const int64_t enough = std::min(kFewRows, 2 * at_once / classes);
  const int64_t most = std::max(std::max(at_once / classes, enough) / kTile * kTile, kFewestRows);
  const int64_t chunks = (rows + most - 1) / most;
  return ((rows + chunks - 1) / chunks + kTile - 1) / kTile * kTile;
}

class Joiner {
 public:
  Joiner(Function& function, const Catalog& catalog, const std::vector<const Value*>& wrt,
         int64_t at_once)
      : function_(function),
        catalog_(catalog),
        at_once_(at_once),
        uses_(function, catalog),
        varied_(wrt.begin(), wrt.end()) {
    for (const auto& op : function.body.ops) note_varied(*op);
  }

  void run() {
    ValueMap map;
    for (const auto& op : function_.body.ops) {
      if (op->type == "mw.cross_entropy" && uses_.is_live(*op)) join(*op, map);
    }
    for (Value*& output : function_.body.outputs) {
      const auto found = map.find(output);
      if (found == map.end()) continue;
      std::swap(found->second->name, output->name);
      output = found->second;
    }
    substitute(function_, catalog_, map);
  }

 private:
  template <class Visit>
  static void for_each_read(const Operation& op, const Visit& visit) {
    for (const Operand& operand : operands(op)) visit(operand.value);
    for (const auto& block : op.blocks) {
      for (const auto& inner : block->ops) for_each_read(*inner, visit);
      for (const Value* output : block->outputs) visit(output);
    }
  }

  void note_varied(const Operation& op) {
    bool varied = false;
    for_each_read(op, [&](const Value* value) { varied = varied || varied_.contains(value); });
    for (const auto& output : op.outputs) {
      if (varied) varied_.insert(output.get());
    }
  }

  void join(Operation& loss, ValueMap& map) {
    Value* logits = loss.input("logits");
    if (logits == nullptr || !logits->type.is_static()) return;
    const Shape& shape = logits->type.shape();
    const int64_t classes = shape.back(), rows = count_of(shape) / std::max<int64_t>(classes, 1);
    if (count_of(shape) <= at_once_) return;
    std::vector<const Operation*> moves;
    const Value* made = behind_moves(logits, &moves);
    if (made->producer == nullptr || made->type.dtype() != logits->type.dtype()) return;
    if (!uses_.has_one(made)) return;
    for (const Operation* move : moves) {
      const Value* moved = move->outputs[0].get();
      if (!uses_.has_one(moved) || moved->type.dtype() != logits->type.dtype()) return;
    }
    const OpDef& def = catalog_.at(*made->producer, function_.opset);
    const std::optional<Head> head = head_of(OpView(*made->producer, def, function_.opset));
    if (!head) return;
    const std::optional<int64_t> axis = axis_after(moves, head->axis);
    if (!axis || *axis != static_cast<int64_t>(shape.size()) - 1) return;
    const int64_t at_once = rows_at_once(rows, classes, at_once_);
    if (at_once >= rows) return;
    Builder b(function_.body, catalog_, function_.opset);
    b.insert_before(&loss);
    const std::vector<Value*> results = joined(b, loss, *head, moves, at_once);
    for (size_t i = 0; i < loss.outputs.size(); ++i) map[loss.outputs[i].get()] = results[i];
  }

  std::vector<Value*> joined(Builder& b, const Operation& loss, const Head& head,
                             const std::vector<const Operation*>& moves, int64_t at_once) const {
    std::vector<Argument> inputs = {{"x", moved_alike(b, head.x, moves, head.axis)},
                                    {"weight", head.weight},
                                    {"outputs_first", head.outputs_first},
                                    {"rows_at_once", at_once}};
    const auto also = [&](std::string_view input, const Operand& operand) {
      inputs.emplace_back(input, operand.value);
      inputs.back().operands = {operand};
    };
    const bool has_bias = head.bias.value != nullptr || head.bias.literal != nullptr;
    if (has_bias) also("bias", head.bias);
    for (const char* input : {"labels", "ignore_index", "label_smoothing"}) {
      if (const Operand* given = operand_in(loss, input)) also(input, *given);
    }
    const Value* const values[] = {head.x, head.weight, has_bias ? head.bias.value : nullptr};
    for (size_t i = 0; i < kHeadInputs.size(); ++i) {
      if (values[i] != nullptr && varied_.contains(values[i])) {
        inputs.emplace_back(head_flag(kHeadInputs[i]), true);
      }
    }
    return b.op_results("mw.linear_cross_entropy", inputs, "loss");
  }

  Function& function_;
  const Catalog& catalog_;
  int64_t at_once_;
  LiveUses uses_;
  std::unordered_set<const Value*> varied_;
};

}  // namespace

void join_head_and_loss(Function& function, const Catalog& catalog,
                        const std::vector<const Value*>& wrt, int64_t at_once) {
  Joiner(function, catalog, wrt, at_once).run();
}

}  // namespace mw::ops
