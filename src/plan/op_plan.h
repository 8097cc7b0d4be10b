// OpPlan: how any planner may treat an op, whatever device it plans for: as an alias of an operand,
// as an access to a state, as a part of a row program, as an epilogue. OpPlans: those of all ops.
//
//   plans["transpose"].form = plan::ViewOf{"x", transposed, {}};
//   plans["gelu"].row = plan::RowRule{on_floats, emit_gelu};
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/packed.h"
#include "ir/op_view.h"
#include "plan/place.h"
#include "plan/position.h"
#include "plan/row.h"

namespace mw::plan {

// Reads a compressed weight part by part. Thread-safe.
class WeightReader {
 public:
  virtual ~WeightReader() = default;
  // Rows [first, first + count) along the leading axis, as fp32.
  virtual void read(int64_t first, int64_t count, float* out) const = 0;
  // Of rows [first, first + count) the elements [from, from + length), rows `length` apart.
  virtual void read_part(int64_t first, int64_t count, int64_t from, int64_t length,
                         float* out) const = 0;
  // How the weight lies in memory, as long as this lives: leading axis by all others. Null where it
  // is no packed matrix.
  [[nodiscard]] virtual const PackedMatrix* packed() const { return nullptr; }
};

// nullopt: not as the operand lies.
using ViewRule =
    std::function<std::optional<std::vector<Place>>(const ir::OpView&, const Place& input)>;
// Of an op with one result, where it is not known while planning; nullopt: nor is it such a part.
using MovingRule = std::function<std::optional<MovingPart>(const ir::OpView&, const Place& input)>;

// All results alias the operand.
struct ViewOf {
  std::string input;
  ViewRule results;
  MovingRule moving;  // may be empty
};
// The same, of an op that for other operands computes its result. Constants are left to that.
struct MayView {
  std::string input;
  ViewRule results;
  MovingRule moving;  // may be empty
};
// The result is the operand `input` but for a region of it, which is `update`; nullopt: the region
// is not known while planning.
struct UpdateOf {
  std::string input, update;
  std::function<std::optional<Place>(const ir::OpView&, const Place& input)> region;
  MovingRule moving;  // may be empty
};
// The result is what the state holds.
struct ReadsState {
  std::string state;
};
// The state is to hold the operand `data`.
struct WritesState {
  std::string state, data;
};
// Result `result` is a compressed constant.
struct Decodes {
  std::function<std::shared_ptr<const WeightReader>(const ir::OpView&, size_t result)> reader;
};

// y = f(x), applied by the kernel that computes x.
struct Activation {
  RowOp op = RowOp::kCopy;
  float alpha = 0, beta = 0;
};
// The op as such a function of its operand `x`; nullopt: not with these parameters.
using ActivationRule =
    std::function<std::optional<Activation>(const ir::OpView&, const ir::Value* x)>;

struct OpPlan {
  using Form =
      std::variant<std::monostate, ViewOf, MayView, UpdateOf, ReadsState, WritesState, Decodes>;
  Form form;                   // tried first
  std::optional<RowRule> row;  // as a part of a row program
  ActivationRule activation;   // as the epilogue of a kernel; may be empty
  bool adds = false;           // x + y: a kernel may take one of them as its bias
  // The operand whose elements the result picks, whatever their dtype; empty: none. A view need not
  // say so.
  std::string picks;

  // The operand whose elements the results hold in another order or number; empty: none.
  [[nodiscard]] std::string_view moved() const {
    if (const auto* view = std::get_if<ViewOf>(&form)) return view->input;
    if (const auto* view = std::get_if<MayView>(&form)) return view->input;
    return picks;
  }
};

class OpPlans {
 public:
  OpPlan& operator[](std::string_view op) {
    return plans_.try_emplace(std::string(op)).first->second;
  }
  // Of an op that nothing is known of: an empty one.
  [[nodiscard]] const OpPlan& of(std::string_view op) const {
    static const OpPlan kNone;
    const auto found = plans_.find(op);
    return found == plans_.end() ? kNone : found->second;
  }
  // The form of an op where it is this one, else null.
  template <class Form>
  [[nodiscard]] const Form* form(std::string_view op) const {
    return std::get_if<Form>(&of(op).form);
  }

 private:
  std::map<std::string, OpPlan, std::less<>> plans_;
};

}  // namespace mw::plan
