// What gradient rules share that only move elements: slices, and what puts them back.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ops/expr.h"

namespace mw::ops {

// Of a rule: the inputs of that name that the op has, as arguments of another op.
std::vector<Argument> same_inputs(const Vjp& v, const std::vector<std::string_view>& names);

// A constant of the dtype of `like`.
Expr constant_like(const Expr& like, const Tensor& tensor);
// Constants of int32.
Expr integers(Builder& builder, const std::vector<int64_t>& values, const Shape& shape);
Expr zeros_like(const Expr& like, const Shape& shape);

// x[begin : begin + size] on every axis.
Expr slice(const Expr& x, const std::vector<int64_t>& begin, const Shape& size);
// The reverse: x from `begin` on in zeros of `shape`.
Expr placed(const Expr& x, const std::vector<int64_t>& begin, const Shape& shape);
Expr gather(const Expr& x, const Expr& indices, int64_t axis);
// The reverse: zeros of `shape`, to which `updates` are added at `indices` along `axis`.
Expr scattered(const Expr& updates, const Expr& indices, int64_t axis, const Shape& shape);
// x [.., n, ..] from `first`, an int32 vector of one element, on along `axis` of zeros of `extent`.
Expr placed_at(const Expr& x, const Expr& first, int64_t axis, int64_t extent);
// Element `index` of an integer vector, as an int32 vector of one element.
Expr element(const Expr& vector, int64_t index);

// Rule of an op whose result has the elements of x in their order.
void reshape_back(Vjp& v);
// The sum of everything, in the shape of an input of one element.
Expr sum_for(const Vjp& v, std::string_view input, const Expr& x);

}  // namespace mw::ops
