// argsort and topk: positions (and values) along an axis in order of value. Equal values keep the
// order they have in x; NaN comes last in both directions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>

#include "ops/index/indices.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

template <class T>
bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::isnan(value);
  } else {
    return false;
  }
}

// Calls use(outer offset in x, outer offset in y, order) for every line of x along the axis;
// `order` holds the first `k` positions in sorted order.
template <class T, class Use>
void for_each_line(const Tensor& x, int64_t axis, int64_t k, bool ascending, const Use& use) {
  const AxisCut cut = cut_at(x.shape(), axis);
  const T* values = x.data<T>();
  std::vector<int64_t> order(static_cast<size_t>(cut.extent));
  for (int64_t line = 0; line < cut.outer * cut.inner; ++line) {
    const int64_t outer = line / cut.inner, inner = line % cut.inner;
    const T* from = values + outer * cut.extent * cut.inner + inner;
    std::iota(order.begin(), order.end(), 0);
    const auto before = [&](int64_t a, int64_t b) {
      const T u = from[a * cut.inner], v = from[b * cut.inner];
      if (is_nan(u) || is_nan(v)) return is_nan(u) == is_nan(v) ? a < b : is_nan(v);
      if (u != v) return ascending ? u < v : u > v;
      return a < b;
    };
    std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
    use(from, outer * k * cut.inner + inner, order);
  }
}

void expect_sortable(const OpView& op) {
  const DType dtype = op.dtype("x");
  if (!is_float(dtype) && !is_integer(dtype)) {
    op.reject("x", "expected numbers, got dtype {}", mw::name_of(dtype));
  }
  (void)expect_movable(op, "x");
}

// --- argsort ---------------------------------------------------------------------------------

Type infer_argsort(const OpView& op) {
  expect_sortable(op);
  (void)op.axis("axis", op.rank("x"));
  (void)op.flag("ascending");
  return Type::tensor(DType::kI32, op.shape("x"));
}

void evaluate_argsort(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t axis = e.axis("axis", x.rank());
  const AxisCut cut = cut_at(x.shape(), axis);
  auto* y = e.out().mutable_data<int32_t>();
  dispatch(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_line<T>(x, axis, cut.extent, e.flag("ascending"),
                     [&](const T*, int64_t to, const std::vector<int64_t>& order) {
                       for (int64_t i = 0; i < cut.extent; ++i) {
                         y[to + i * cut.inner] =
                             static_cast<int32_t>(order[static_cast<size_t>(i)]);
                       }
                     });
  });
}

// --- topk ------------------------------------------------------------------------------------

bool flag_or(const OpView& op, std::string_view input, bool otherwise) {
  return op.def().find_input(input) == nullptr ? otherwise : op.flag(input);
}

// The extent of the result along the axis. From iOS17 on, -1 asks for all elements.
int64_t wanted_count(const OpView& op, int64_t extent) {
  const int64_t k = op.integer("k");
  if (k == -1 && op.opset() >= Opset::kIos17) return extent;
  const int64_t highest = extent == kAny ? std::numeric_limits<int32_t>::max() : extent;
  return integer_in(op, "k", 0, highest);
}

DType indices_dtype(const OpView& op, int64_t extent) {
  if (op.def().find_input("output_indices_dtype") == nullptr) return DType::kI32;
  const DType dtype = op.dtype_named_by("output_indices_dtype");
  if (dtype != DType::kI32 && dtype != DType::kU16) {
    op.reject("output_indices_dtype", "expected int32 or uint16, got {}", mw::name_of(dtype));
  }
  if (dtype == DType::kU16 && extent > 65536) {
    op.reject("output_indices_dtype", "expected int32 for an extent of {}, got uint16", extent);
  }
  return dtype;
}

std::vector<Type> infer_topk(const OpView& op) {
  expect_sortable(op);
  const Type x = op.tensor_type("x");
  const auto axis = static_cast<size_t>(op.axis("axis", x.rank()));
  Shape shape = x.shape();
  shape[axis] = wanted_count(op, x.shape()[axis]);
  (void)op.flag("ascending");
  std::vector<Type> results{Type::tensor(x.dtype(), shape)};
  if (flag_or(op, "return_indices", true)) {
    results.push_back(Type::tensor(indices_dtype(op, x.shape()[axis]), shape));
  }
  return results;
}

void evaluate_topk(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t axis = e.axis("axis", x.rank());
  Tensor& y = e.out();
  Tensor* indices = e.result_count() == 2 ? &e.out(1) : nullptr;
  const AxisCut cut = cut_at(y.shape(), axis);
  dispatch(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* values = y.mutable_data<T>();
    for_each_line<T>(x, axis, cut.extent, e.flag("ascending"),
                     [&](const T* from, int64_t to, const std::vector<int64_t>& order) {
                       for (int64_t i = 0; i < cut.extent; ++i) {
                         const int64_t at = order[static_cast<size_t>(i)];
                         values[to + i * cut.inner] = from[at * cut.inner];
                         if (indices != nullptr) indices->set_integer(to + i * cut.inner, at);
                       }
                     });
  });
}

void topk_rule(Vjp& v) {
  const Expr g = grad(v);
  Value* found = v.operation().outputs.size() > 1 ? v.out(1) : nullptr;
  if (found == nullptr) {
    std::vector<Argument> inputs = same_inputs(v, {"x", "k", "axis", "ascending"});
    found = v.builder().op_results("topk", inputs)[1];
  }
  const Expr indices = as({v.builder(), found}, DType::kI32);
  v.add("x", zeros_like(g, v.shape("x"))
                 .op_on("data", "scatter_along_axis",
                        {{"indices", indices.value()},
                         {"updates", g.value()},
                         {"axis", v.axis("axis", v.rank("x"))},
                         {"mode", "add"}}));
}

}  // namespace

OpDef argsort() {
  return OpDef("argsort")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .input("ascending", DType::kBool, kConst | kOptional, false)
      .infer(infer_argsort)
      .eval(evaluate_argsort)
      .no_vjp(NoGradient::kIntegerOutput);
}

OpDef topk() {
  return OpDef("topk")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .types("K", {DType::kI32})
      .input("x", "T")
      .input("k", "K", kConst | kOptional, 1)
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .input("ascending", DType::kBool, kConst | kOptional, false)
      .since(Opset::kIos16,
             [](OpDef& def) {
               def.input("sort", DType::kBool, kConst | kOptional, true)
                   .input("return_indices", DType::kBool, kConst | kOptional, true);
             })
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", {DType::kF16, DType::kF32, DType::kI8, DType::kI16, DType::kI32,
                               DType::kU8, DType::kU16})
                   .types("K", index_dtypes_ios17())
                   .input("output_indices_dtype", DType::kString, kConst | kOptional, "int32");
             })
      .infer(infer_topk)
      .eval(evaluate_topk)
      .vjp(topk_rule);
}

}  // namespace mw::ops
