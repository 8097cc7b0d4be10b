// What the elementwise op files share: dtype dispatch, loops over broadcast operands, scalar
// parameters.
#pragma once

#include <cmath>
#include <string_view>
#include <type_traits>

#include "ops/support.h"

namespace mw::ops {

// Result type of an op on floats that keeps dtype and shape.
Type float_like_x(const OpView& op);
// The same for any number.
Type number_like_x(const OpView& op);
// A parameter that must hold one number, known or not; absent ones pass when the op has a default.
void expect_scalar(const OpView& op, std::string_view input);
// The value of such a parameter. A default is rounded to the precision the program computes in.
double scalar_of(Eval& e, std::string_view input);

// Calls f(T{}) with float, double, int32_t or int64_t; see computable().
template <class F>
decltype(auto) dispatch_number(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    case DType::kI32:
      return f(int32_t{});
    case DType::kI64:
      return f(int64_t{});
    default:
      fail(ErrorCode::kUnsupported, "dtype {} is not computed with", mw::name_of(dtype));
  }
}
// The tensor in a dtype of dispatch_number: bool and the other integers become int64.
Tensor computable(const Tensor& tensor);
// Whether a number is negative or -0.
template <class T>
bool has_sign(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::signbit(x);
  return x < 0;
}
// Sets result 0, narrowed from the dtype of computable() where that was wider.
void set_narrowed(Eval& e, Tensor value);

// y[i] = f(x[i]) for floats.
template <class F>
void map_floats(Eval& e, const F& f) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  dispatch_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < x.count(); ++i) to[i] = f(from[i]);
  });
}

// y[i] = f(x[i]) for any number.
template <class F>
void map_numbers(Eval& e, const F& f) {
  const Tensor x = computable(e.in("x"));
  Tensor y(x.dtype(), x.shape());
  dispatch_number(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < x.count(); ++i) to[i] = f(from[i]);
  });
  set_narrowed(e, std::move(y));
}

// out = f(x, y) over the shape of `out`, to which x and y broadcast.
template <class T, class R, class F>
void zip(const Tensor& x, const Tensor& y, Tensor& out, const F& f) {
  const T *a = x.data<T>(), *b = y.data<T>();
  R* to = out.mutable_data<R>();
  if (out.count() == 0) return;
  if (out.rank() == 0) {
    to[0] = f(a[0], b[0]);
    return;
  }
  std::vector<int64_t> sa = broadcast_strides(x.shape(), out.shape());
  std::vector<int64_t> sb = broadcast_strides(y.shape(), out.shape());
  const int64_t step_a = sa.back(), step_b = sb.back(), row = out.shape().back();
  sa.pop_back();
  sb.pop_back();
  const Shape rows(out.shape().begin(), out.shape().end() - 1);
  for (Walk<2> w(rows, {sa, sb}); !w.done(); w.next()) {
    const T *p = a + w.at(0), *q = b + w.at(1);
    R* r = to + w.flat() * row;
    for (int64_t i = 0; i < row; ++i) r[i] = f(p[i * step_a], q[i * step_b]);
  }
}

// Integer arithmetic that wraps, as two's complement hardware does.
template <class T, class F>
T wrapping(T a, T b, const F& f) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return f(a, b);
  }
}

}  // namespace mw::ops
