// avg_pool, max_pool, l2_pool: mean, largest element and root of the sum of squares of each window.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "ops/conv/gradients.h"
#include "ops/conv/window.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

std::vector<int64_t> kernel_of(const OpView& op) {
  return per_axis(op, "kernel_sizes", op.shape("x").size() - 2, 1);
}

Type infer_up_to(const OpView& op, int64_t rank) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, rank);
  const Type x = op.tensor_type("x");
  Shape shape{x.shape()[0], x.shape()[1]};
  for (const Window& w : windows_of(op, kernel_of(op))) shape.push_back(w.out);
  return Type::tensor(x.dtype(), shape);
}

Type infer(const OpView& op) { return infer_up_to(op, 5); }
Type infer_average(const OpView& op) {
  (void)op.flag("exclude_padding_from_average");
  return infer_up_to(op, 5);
}
Type infer_l2(const OpView& op) { return infer_up_to(op, 4); }

// One window position along one axis: the elements of x in it, and their number with padding.
struct Span {
  int64_t begin, end, padded;
};
std::vector<Span> spans_of(const Window& w) {
  std::vector<Span> spans(static_cast<size_t>(w.out));
  for (size_t o = 0; o < spans.size(); ++o) {
    const int64_t start = static_cast<int64_t>(o) * w.stride - w.before;
    const int64_t begin = std::max<int64_t>(start, 0);
    const int64_t end = std::min(start + w.kernel, w.in + w.after);
    spans[o] = {begin, std::max(std::min(end, w.in), begin), end - start};
  }
  return spans;
}

// The spans of the last three axes; axes in front that x does not have are one element long.
struct Grid {
  std::vector<Span> spans[3];
  Three in{1, 1, 1};
};
Grid grid_of(const OpView& op) {
  Grid grid;
  for (auto& spans : grid.spans) spans = {{0, 1, 1}};
  const std::vector<Window> windows = windows_of(op, kernel_of(op));
  for (size_t i = 0; i < windows.size(); ++i) {
    const size_t axis = 3 - windows.size() + i;
    grid.spans[axis] = spans_of(windows[i]);
    grid.in[axis] = windows[i].in;
  }
  return grid;
}

// `Reducer` takes the elements of one window by add(), and gives the result by finish(elements,
// elements with padding).
template <class Reducer, class T>
void pool_plane(const Grid& grid, const Reducer& fresh, const T* x, T* y) {
  for (const Span& a : grid.spans[0]) {
    for (const Span& b : grid.spans[1]) {
      for (const Span& c : grid.spans[2]) {
        Reducer reducer = fresh;
        for (int64_t i = a.begin; i < a.end; ++i) {
          for (int64_t j = b.begin; j < b.end; ++j) {
            const T* row = x + (i * grid.in[1] + j) * grid.in[2];
            for (int64_t k = c.begin; k < c.end; ++k) reducer.add(static_cast<double>(row[k]));
          }
        }
        const auto size = [](const Span& s) { return static_cast<double>(s.end - s.begin); };
        const auto padded = [](const Span& s) { return static_cast<double>(s.padded); };
        *y++ = static_cast<T>(
            reducer.finish(size(a) * size(b) * size(c), padded(a) * padded(b) * padded(c)));
      }
    }
  }
}

template <class Reducer>
void pool(Eval& e, const Reducer& fresh) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const Grid grid = grid_of(e);
  const int64_t planes = x.dim(0) * x.dim(1), in = x.count() / planes, out = y.count() / planes;
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(planes, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) pool_plane(grid, fresh, from + p * in, to + p * out);
    });
  });
}

struct Mean {
  bool without_padding = false;
  double sum = 0;
  void add(double value) { sum += value; }
  [[nodiscard]] double finish(double count, double padded) const {
    return count == 0 ? 0 : sum / (without_padding ? count : padded);
  }
};
struct Largest {
  double value = -std::numeric_limits<double>::infinity();
  void add(double other) {
    if (other > value || std::isnan(other)) value = other;
  }
  [[nodiscard]] double finish(double /*count*/, double /*padded*/) const { return value; }
};
struct RootOfSquares {
  double sum = 0;
  void add(double value) { sum += value * value; }
  [[nodiscard]] double finish(double /*count*/, double /*padded*/) const { return std::sqrt(sum); }
};

// --- gradients -------------------------------------------------------------------------------

Shape with_spatial(Shape front, const Shape& from) {
  front.insert(front.end(), from.begin() + 2, from.end());
  return front;
}

// g, of the result's shape, added to each element of x in its window.
Expr spread(const Vjp& v, const Expr& g) {
  const Shape x = v.shape("x");
  const int64_t planes = x[0] * x[1];
  Shape ones{1, 1};
  for (const int64_t extent : kernel_of(v)) ones.push_back(extent);
  const Expr kernel = filled(v.builder(), Type::tensor(g.dtype(), ones), 1);
  const Movement m = movement_of(windows_of(v, kernel_of(v)), 1);
  const Expr images = reshape(g, with_spatial({planes, 1}, g.shape()));
  return reshape(convolved_back(images, kernel, m, with_spatial({planes, 1}, x)), x);
}

void average_rule(Vjp& v) {
  const Expr g = grad(v);
  if (count_of(g.shape()) == 0) return;
  const bool without_padding = v.flag("exclude_padding_from_average");
  const Grid grid = grid_of(v);
  Tensor shares(DType::kF64, with_spatial({1, 1}, g.shape()));
  int64_t at = 0;
  for (const Span& a : grid.spans[0]) {
    for (const Span& b : grid.spans[1]) {
      for (const Span& c : grid.spans[2]) {
        int64_t count = 1;
        for (const Span* s : {&a, &b, &c}) count *= without_padding ? s->end - s->begin : s->padded;
        shares.set_number(at++, 1.0 / static_cast<double>(std::max<int64_t>(count, 1)));
      }
    }
  }
  const auto* first = shares.data<double>();
  const bool even = std::all_of(first, first + at, [&](double share) { return share == *first; });
  v.add("x", spread(v, even ? g * *first : g * constant_like(g, shares)));
}

// Where in a plane of x the elements of each window lie; one past the end: in the padding.
std::vector<int64_t> elements_of_windows(const Vjp& v) {
  const std::vector<Window> windows = windows_of(v, kernel_of(v));
  Shape grid, kernel;
  for (const Window& w : windows) {
    grid.push_back(w.out);
    kernel.push_back(w.kernel);
  }
  std::vector<int64_t> elements;
  for (Walk<0> p(grid, {}); !p.done(); p.next()) {
    for (Walk<0> t(kernel, {}); !t.done(); t.next()) {
      int64_t flat = 0, end = 1;
      bool inside = true;
      for (size_t i = 0; i < windows.size(); ++i) {
        const Window& w = windows[i];
        const int64_t at = p.index()[i] * w.stride - w.before + t.index()[i];
        inside = inside && at >= 0 && at < w.in;
        flat = flat * w.in + at;
        end *= w.in;
      }
      elements.push_back(inside ? flat : end);
    }
  }
  return elements;
}

// The gradient goes to the first of the largest elements of each window.
void largest_rule(Vjp& v) {
  const Shape x = v.shape("x"), y = v.out()->type.shape();
  if (count_of(y) == 0) return;
  const int64_t planes = x[0] * x[1], in = count_of(x) / planes, out = count_of(y) / planes;
  const std::vector<int64_t> elements = elements_of_windows(v);
  const auto taps = static_cast<int64_t>(elements.size()) / out;
  const bool pads = std::find(elements.begin(), elements.end(), in) != elements.end();
  Expr image = reshape(operand(v, "x"), {planes, in});
  if (pads) {
    const double lowest = -std::numeric_limits<double>::infinity();
    image = image.op("pad", {{"pad", std::vector<int64_t>{0, 0, 0, 1}},
                             {"mode", "constant"},
                             {"constant_val", Builder::number_like(image, lowest)}});
  }
  Builder& b = v.builder();
  const Expr seen = gather(image, integers(b, elements, {out, taps}), 1);
  const Expr tap = seen.op("reduce_argmax", {{"axis", -1}, {"keep_dims", false}});
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < out; ++i) starts.push_back(i * taps);
  const Expr table = integers(b, elements, {out * taps});
  const Expr from = gather(table, tap + integers(b, starts, {out}), 0);
  const Expr g = reshape(grad(v), {planes, out});
  const Expr sums =
      zeros_like(g, image.shape())
          .op_on("data", "scatter_along_axis",
                 {{"indices", from.value()}, {"updates", g.value()}, {"axis", 1}, {"mode", "add"}});
  v.add("x", reshape(slice(sums, {0, 0}, {planes, in}), x));
}

// x / y in each window, and 0 where all of it is.
void l2_rule(Vjp& v) {
  const Expr y = result(v);
  if (count_of(y.shape()) == 0) return;
  v.add("x", operand(v, "x") * spread(v, grad(v) / select(y > 0.0, y, 1.0)));
}

OpDef pooling(const char* name) {
  return std::move(OpDef(name)
                       .types("T", {DType::kF16, DType::kF32})
                       .input("x", "T")
                       .input("kernel_sizes", DType::kI32, kConst)
                       .input("strides", DType::kI32, kConst | kOptional)
                       .input("pad_type", DType::kString, kConst)
                       .input("pad", DType::kI32, kConst | kOptional)
                       .input("ceil_mode", DType::kBool, kConst | kOptional, false));
}

}  // namespace

OpDef avg_pool() {
  return pooling("avg_pool")
      .input("exclude_padding_from_average", DType::kBool, kConst | kOptional, false)
      .infer(infer_average)
      .eval([](Eval& e) { pool(e, Mean{e.flag("exclude_padding_from_average")}); })
      .vjp(average_rule);
}

OpDef max_pool() {
  return pooling("max_pool")
      .infer(infer)
      .eval([](Eval& e) { pool(e, Largest{}); })
      .vjp(largest_rule);
}

OpDef l2_pool() {
  return pooling("l2_pool")
      .infer(infer_l2)
      .eval([](Eval& e) { pool(e, RootOfSquares{}); })
      .vjp(l2_rule);
}

}  // namespace mw::ops
