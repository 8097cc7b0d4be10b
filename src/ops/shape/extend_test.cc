// Cases for the ops that repeat, extend, turn round or mask a tensor, and for those that make one:
// tile, pad, reverse, sliding_windows, band_part, fill, fill_like, range_1d, reshape_like.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/op_case.h"

namespace mw::ops {

OP_CASES(tile) {
  const Tensor x = values({1, 2, 3, 4}, {2, 2});
  add("columns", {{"x", x}, {"reps", ints({1, 2})}})
      .expect({values({1, 2, 1, 2, 3, 4, 3, 4}, {2, 4})});
  add("rows", {{"x", x}, {"reps", ints({2, 1})}})
      .expect({values({1, 2, 3, 4, 1, 2, 3, 4}, {4, 2})});
  add("both", {{"x", values({1, 2}, {1, 2})}, {"reps", ints({2, 2})}})
      .expect({values({1, 2, 1, 2, 1, 2, 1, 2}, {2, 4})});
  add("no copies", {{"x", x}, {"reps", ints({0, 2})}}).expect({values({}, {0, 4})});
  add("an empty operand", {{"x", normal({0, 2})}, {"reps", ints({3, 1})}})
      .expect({values({}, {0, 2})});
  add("run-time counts", {{"x", values({1, 2}, {2})}, {"reps", ints({3})}})
      .constant({"x"})
      .expect({values({1, 2, 1, 2, 1, 2}, {6})});
  add("constant counts", {{"x", ints({7})}, {"reps", ints({3})}})
      .constant({"reps"})
      .expect({ints({7, 7, 7})});
  reject("too few counts", {{"x", x}, {"reps", ints({2})}}, "reps: expected shape [2], got [1]");
  reject("a negative count", {{"x", x}, {"reps", ints({2, -1})}},
         "reps: expected counts of at least 0, got -1");
  reject("an extent beyond int64",
         {{"x", normal({4})}, {"reps", ints({INT64_MAX}, {1}, DType::kI64)}}, "overflows");
}

OP_CASES(pad) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("zeros", {{"x", x}, {"pad", ints({1, 0, 0, 2})}})
      .expect({values({0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 4, 5, 6, 0, 0}, {3, 5})});
  add("a constant on the last axis",
      {{"x", x}, {"pad", ints({1, 1})}, {"constant_val", number(-7)}})
      .expect({values({-7, 1, 2, 3, -7, -7, 4, 5, 6, -7}, {2, 5})});
  add("minus infinity",
      {{"x", values({1}, {1})}, {"pad", ints({0, 1})}, {"constant_val", number(-INFINITY)}})
      .expect({values({1, -INFINITY}, {2})});
  add("reflected", {{"x", x}, {"pad", ints({1, 1, 2, 2})}, {"mode", text("reflect")}})
      .expect({values(
          {6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1, 6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1},
          {4, 7})});
  add("replicated", {{"x", x}, {"pad", ints({0, 1, 2, 1})}, {"mode", text("replicate")}})
      .expect({values({1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 6, 4, 4, 4, 5, 6, 6}, {3, 6})});
  add("replicated beyond the extent",
      {{"x", values({1, 2}, {2})}, {"pad", ints({3, 0})}, {"mode", text("replicate")}})
      .expect({values({1, 1, 1, 1, 2}, {5})});
  add("a leading axis", {{"x", values({1, 2}, {1, 2})}, {"pad", ints({1, 1, 0, 0})}})
      .expect({values({0, 0, 1, 2, 0, 0}, {3, 2})});
  add("nothing", {{"x", x}, {"pad", ints({0, 0})}, {"mode", text("reflect")}}).expect({x});
  add("an empty operand", {{"x", normal({0, 2})}, {"pad", ints({1, 0, 0, 0})}})
      .expect({values({0, 0}, {1, 2})});
  add("run-time counts", {{"x", x}, {"pad", ints({0, 0, 1, 0})}})
      .constant({"mode"})
      .expect({values({0, 1, 2, 3, 0, 4, 5, 6}, {2, 4})});
  add("constant counts", {{"x", x}, {"pad", ints({0, 0, 1, 0})}})
      .constant({"pad"})
      .expect({values({0, 1, 2, 3, 0, 4, 5, 6}, {2, 4})});
  reject("an odd number of counts", {{"x", x}, {"pad", ints({1, 0, 0})}},
         "pad: expected an even number of counts up to 4, two per axis, got 3");
  reject("too many counts", {{"x", x}, {"pad", ints({1, 0, 0, 0, 1, 1})}},
         "pad: expected an even number of counts up to 4");
  reject("a negative count", {{"x", x}, {"pad", ints({1, -1})}},
         "pad: expected counts of at least 0, got -1");
  reject("a reflection beyond the extent",
         {{"x", x}, {"pad", ints({3, 0})}, {"mode", text("reflect")}},
         "pad: expected less than the extent 3 to reflect, got 3");
  reject("nothing to replicate",
         {{"x", normal({0})}, {"pad", ints({1, 0})}, {"mode", text("replicate")}},
         "pad: expected an element to replicate");
  reject("another mode", {{"x", x}, {"pad", ints({1, 0})}, {"mode", text("wrap")}},
         "mode: expected constant, reflect or replicate, got 'wrap'");
}

OP_CASES(reverse) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("all", {{"x", x}}).expect({values({6, 5, 4, 3, 2, 1}, {2, 3})});
  add("columns", {{"x", x}, {"axes", ints({-1})}}).expect({values({3, 2, 1, 6, 5, 4}, {2, 3})});
  add("rows", {{"x", x}, {"axes", ints({0})}}).expect({values({4, 5, 6, 1, 2, 3}, {2, 3})});
  add("none", {{"x", x}, {"axes", ints({})}}).expect({x});
  add("a scalar", {{"x", number(2)}}).expect({number(2)});
  add("empty", {{"x", normal({0, 3})}}).expect({values({}, {0, 3})});
  reject("axis too large", {{"x", x}, {"axes", ints({2})}},
         "axes: expected values in [-2, 1], got 2");
}

OP_CASES(sliding_windows) {
  add("a vector", {{"x", values({1, 2, 3, 4}, {4})}, {"axis", integer(0)}, {"size", integer(2)}})
      .expect({values({1, 2, 2, 3, 3, 4}, {3, 2})});
  add("a stride that leaves a rest", {{"x", values({1, 2, 3, 4, 5, 6}, {6})},
                                      {"axis", integer(-1)},
                                      {"size", integer(3)},
                                      {"stride", integer(2)}})
      .expect({values({1, 2, 3, 3, 4, 5}, {2, 3})});
  add("rows",
      {{"x", values({1, 2, 3, 4, 5, 6}, {3, 2})}, {"axis", integer(0)}, {"size", integer(2)}})
      .expect({values({1, 2, 3, 4, 3, 4, 5, 6}, {2, 2, 2})});
  reject("a window beyond the extent",
         {{"x", normal({3})}, {"axis", integer(0)}, {"size", integer(4)}},
         "size: expected at most the extent 3, got 4");
  reject("an empty window", {{"x", normal({3})}, {"axis", integer(0)}, {"size", integer(0)}},
         "size: expected a value in [1, 2147483647], got 0");
  reject("stride 0",
         {{"x", normal({3})}, {"axis", integer(0)}, {"size", integer(1)}, {"stride", integer(0)}},
         "stride: expected a value in");
}

OP_CASES(band_part) {
  add("everything", {{"x", normal({2, 3, 4})}});
  add("the upper triangle", {{"x", normal({4, 3})}, {"lower", integer(0)}});
  add("the lower triangle", {{"x", normal({3, 4})}, {"upper", integer(0)}});
  add("the diagonal", {{"x", normal({3, 3})}, {"lower", integer(0)}, {"upper", integer(0)}});
  add("a band in batches",
      {{"x", normal({2, 5, 6})}, {"lower", integer(1)}, {"upper", integer(2)}});
  add("a wide band",
      {{"x", normal({2, 3})}, {"lower", integer(2147483647)}, {"upper", integer(2147483647)}});
  add("NaN outside the band", {{"x", values({1, NAN, 3, 4}, {2, 2})}, {"upper", integer(0)}})
      .expect({values({1, 0, 3, 4}, {2, 2})});
  add("empty", {{"x", normal({2, 0})}});
  add("integers", {{"x", ints({1, 2, 3, 4}, {2, 2})}, {"lower", integer(0)}})
      .expect({ints({1, 2, 0, 4}, {2, 2})});
  reject("a vector", {{"x", normal({2})}}, "x: expected rank 2 to 16");
  reference([](const OpCase& c) {
    const auto lower = static_cast<int64_t>(c.number("lower", -1)),
               upper = static_cast<int64_t>(c.number("upper", -1));
    const Tensor& x = c["x"];
    Tensor y(x.dtype(), x.shape());
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t n = i % x.dim(-1), m = i / x.dim(-1) % x.dim(-2);
      if ((lower < 0 || m - n <= lower) && (upper < 0 || n - m <= upper))
        y.set_number(i, x.number_at(i));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(fill) {
  add("floats", {{"shape", ints({2, 2})}, {"value", number(1.5)}})
      .expect({values({1.5, 1.5, 1.5, 1.5}, {2, 2})});
  add("integers", {{"shape", ints({3})}, {"value", integer(-4)}}).expect({ints({-4, -4, -4})});
  add("flags", {{"shape", ints({2})}, {"value", flag(true)}}).expect({bools({1, 1}, {2})});
  add("default value", {{"shape", ints({2})}}).expect({values({0, 0}, {2})});
  add("a scalar", {{"shape", ints({})}, {"value", number(3)}}).expect({number(3)});
  add("empty", {{"shape", ints({0, 2})}, {"value", number(3)}}).expect({values({}, {0, 2})});
  add("a constant shape", {{"shape", ints({2})}, {"value", number(3)}})
      .constant({"shape", "value"})
      .expect({values({3, 3}, {2})});
  reject("a negative extent", {{"shape", ints({2, -1})}},
         "shape: expected extents of at least 0, got -1");
  reject("two values", {{"shape", ints({2})}, {"value", values({1, 2}, {2})}},
         "value: expected one value, got shape [2]");
  reject("a string", {{"shape", ints({2})}, {"value", text("a")}},
         "value: expected elements of whole bytes");
  reject("too many extents", {{"shape", ints({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})}},
         "shape: expected at most 16 extents, got 17");
}

OP_CASES(fill_like) {
  add("another dtype", {{"ref_tensor", ints({1, 2, 3}, {1, 3})}, {"value", number(2.5)}})
      .expect({values({2.5, 2.5, 2.5}, {1, 3})});
  add("default value", {{"ref_tensor", normal({2})}}).expect({values({0, 0}, {2})});
  reject("two values", {{"ref_tensor", normal({2})}, {"value", values({1, 2}, {2})}},
         "value: expected one value");
}

OP_CASES(range_1d) {
  add("integers", {{"start", integer(2)}, {"end", integer(9)}, {"step", integer(3)}})
      .expect({ints({2, 5, 8})});
  add("downwards", {{"start", integer(5)}, {"end", integer(0)}, {"step", integer(-2)}})
      .expect({ints({5, 3, 1})});
  add("nothing", {{"start", integer(5)}, {"end", integer(5)}, {"step", integer(1)}})
      .expect({ints({})});
  add("the wrong direction", {{"start", number(0)}, {"end", number(5)}, {"step", number(-1)}})
      .expect({values({}, {0})});
  add("floats", {{"start", number(0.5)}, {"end", number(2.25)}, {"step", number(0.5)}})
      .expect({values({0.5, 1, 1.5, 2}, {4})});
  add("the end is left out", {{"start", number(0)}, {"end", number(2)}, {"step", number(0.5)}})
      .expect({values({0, 0.5, 1, 1.5}, {4})});
  add("constants", {{"start", integer(0)}, {"end", integer(3)}, {"step", integer(1)}})
      .constant({"start", "end", "step"})
      .expect({ints({0, 1, 2})});
  add("constant floats", {{"start", number(0.5)}, {"end", number(2.25)}, {"step", number(0.5)}})
      .constant({"start", "end", "step"})
      .expect({values({0.5, 1, 1.5, 2}, {4})});
  add("the ends of int32", {{"start", integer(-2147483648)},
                            {"end", integer(2147483647)},
                            {"step", integer(2147483647)}})
      .expect({ints({-2147483648, -1, 2147483646})});
  add("the ends of int64", {{"start", ints({INT64_MIN}, {}, DType::kI64)},
                            {"end", ints({INT64_MAX}, {}, DType::kI64)},
                            {"step", ints({INT64_MAX / 2}, {}, DType::kI64)}})
      .expect({ints({INT64_MIN, -4611686018427387905, -2, 4611686018427387901, 9223372036854775804},
                    {5}, DType::kI64)});
  reject("step 0", {{"start", integer(0)}, {"end", integer(3)}, {"step", integer(0)}},
         "step: expected a step other than 0");
  reject("too many values", {{"start", number(0)}, {"end", number(3e30)}, {"step", number(1e-3)}},
         "end: expected a range of at most 2147483647 values");
  reject("no number", {{"start", number(0)}, {"end", number(NAN)}, {"step", number(1)}},
         "end: expected a range of at most");
  reject("dtypes", {{"start", number(0)}, {"end", integer(3)}, {"step", number(1)}},
         "end: expected dtype fp32, got int32");
  reject("two numbers", {{"start", number(0)}, {"end", values({1, 2}, {2})}, {"step", number(1)}},
         "end: expected one number, got shape [2]");
  reject("flags", {{"start", flag(false)}, {"end", flag(true)}, {"step", flag(true)}},
         "start: expected a number, got dtype bool");
}

OP_CASES(reshape_like) {
  using List = std::vector<Tensor>;
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {6});
  add("parts of two tensors", {{"x", x},
                               {"ref_tensors", List{normal({2, 7}), normal({5, 3, 1})}},
                               {"begins", List{integer(0), integer(-2)}},
                               {"ends", List{integer(1), integer(0)}},
                               {"end_masks", List{flag(false), flag(true)}}})
      .expect({values({1, 2, 3, 4, 5, 6}, {2, 3, 1})});
  add("negative ends", {{"x", x},
                        {"ref_tensors", List{normal({3, 2, 1})}},
                        {"begins", List{integer(0)}},
                        {"ends", List{integer(-1)}},
                        {"end_masks", List{flag(false)}}})
      .expect({values({1, 2, 3, 4, 5, 6}, {3, 2})});
  reject("another count",
         {{"x", x},
          {"ref_tensors", List{normal({2, 7})}},
          {"begins", List{integer(0)}},
          {"ends", List{integer(0)}},
          {"end_masks", List{flag(true)}}},
         "ref_tensors: expected extents of 6 elements in all as x has with [6], got [2, 7]");
  reject("lengths",
         {{"x", x},
          {"ref_tensors", List{normal({2, 3})}},
          {"begins", List{integer(0), integer(0)}},
          {"ends", List{integer(0)}},
          {"end_masks", List{flag(true)}}},
         "begins: expected 1 values, one per reference tensor, got 2");
  reject("a vector of begins",
         {{"x", x},
          {"ref_tensors", List{normal({2, 3})}},
          {"begins", List{ints({0, 1})}},
          {"ends", List{integer(0)}},
          {"end_masks", List{flag(true)}}},
         "begins: expected constant scalars, got tensor<int32, [2]>");
}

}  // namespace mw::ops
