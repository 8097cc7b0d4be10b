// What the normalisations share: the shape of scale and offset, and their values as doubles.
#pragma once

#include <string_view>
#include <vector>

#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {

// That each of `inputs`, where given, is float and of this shape.
void expect_parameters(const OpView& op, std::initializer_list<std::string_view> inputs,
                       const Shape& shape);
// The elements of `input`, or `count` times `fallback` when it is absent.
std::vector<double> parameter(Eval& e, std::string_view input, int64_t count, double fallback);

// Rule of y = gamma * n + beta, n being x with mean 0 and variance 1 over `axes`; gamma and beta
// meet x in the shape `affine`.
void standardised_rule(Vjp& v, const std::vector<int64_t>& axes, const Shape& affine);

}  // namespace mw::ops
