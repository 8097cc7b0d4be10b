// Cases for gather, gather_along_axis and gather_nd.
#include <gtest/gtest.h>

#include "ops/op_case.h"

namespace mw::ops {

OP_CASES(gather) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("rows", {{"x", x}, {"indices", ints({1, 0, 1})}})
      .expect({values({4, 5, 6, 1, 2, 3, 4, 5, 6}, {3, 3})});
  add("columns, negative axis", {{"x", x}, {"indices", ints({2, 0})}, {"axis", integer(-1)}})
      .expect({values({3, 1, 6, 4}, {2, 2})});
  add("a scalar index", {{"x", x}, {"indices", integer(1)}, {"axis", integer(1)}})
      .expect({values({2, 5}, {2})});
  add("a scalar of a vector", {{"x", values({7, 8}, {2})}, {"indices", integer(-1)}})
      .expect({number(8)});
  add("a matrix of indices",
      {{"x", values({1, 2, 3}, {3})}, {"indices", ints({0, 2, -1, 1}, {2, 2})}})
      .expect({values({1, 3, 3, 2}, {2, 2})});
  add("negative indices", {{"x", x}, {"indices", ints({-1, -2})}})
      .at(ir::Opset::kIos15)
      .expect({values({4, 5, 6, 1, 2, 3}, {2, 3})});
  add("no indices", {{"x", x}, {"indices", ints({})}}).expect({values({}, {0, 3})});
  add("an empty slice", {{"x", normal({2, 0})}, {"indices", ints({1})}})
      .expect({values({}, {1, 0})});
  add("batches", {{"x", x},
                  {"indices", ints({2, 0, 1, 1}, {2, 2})},
                  {"axis", integer(1)},
                  {"batch_dims", integer(1)}})
      .expect({values({3, 1, 5, 5}, {2, 2})});
  add("batches before another axis", {{"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
                                      {"indices", ints({1, 0}, {2, 1})},
                                      {"axis", integer(2)},
                                      {"batch_dims", integer(1)}})
      .expect({values({2, 4, 5, 7}, {2, 2, 1})});
  add("batches with axes between, negative and repeated indices",
      {{"x", values({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {2, 2, 3})},
       {"indices", ints({-1, 2, 0, 1, -3, -2}, {2, 3})},
       {"axis", integer(-1)},
       {"batch_dims", integer(1)}})
      .expect({values({3, 3, 1, 6, 6, 4, 8, 7, 8, 11, 10, 11}, {2, 2, 3})});
  add("one index per batch",
      {{"x", x}, {"indices", ints({2, 0})}, {"axis", integer(1)}, {"batch_dims", integer(1)}})
      .expect({values({3, 4}, {2})});
  add("uint16 indices", {{"x", x}, {"indices", ints({1}, {1}, DType::kU16)}})
      .expect({values({4, 5, 6}, {1, 3})});
  add("constant indices", {{"x", ints({5, 6, 7})}, {"indices", ints({2})}})
      .constant({"x", "indices"})
      .expect({ints({7})});
  reject("index too large", {{"x", x}, {"indices", ints({0, 2})}},
         "indices: expected values in [-2, 1], got 2");
  reject("index too small", {{"x", x}, {"indices", ints({-3})}},
         "indices: expected values in [-2, 1], got -3");
  reject("negative although validated",
         {{"x", x}, {"indices", ints({-1})}, {"validate_indices", flag(true)}},
         "indices: expected values in [0, 1], got -1");
  reject("into nothing", {{"x", normal({0, 2})}, {"indices", ints({0})}},
         "indices: expected no index into an empty axis, got 0");
  reject("float indices", {{"x", x}, {"indices", values({0}, {1})}},
         "indices: expected integers, got dtype fp32");
  reject("axis", {{"x", x}, {"indices", ints({0})}, {"axis", integer(2)}},
         "axis: expected a value in [-2, 1], got 2");
  reject("batch_dims beyond axis",
         {{"x", x}, {"indices", ints({0, 0})}, {"axis", integer(0)}, {"batch_dims", integer(1)}},
         "batch_dims: expected a value in [0, 0], got 1");
  reject("another batch",
         {{"x", x}, {"indices", ints({0, 0, 0})}, {"axis", integer(1)}, {"batch_dims", integer(1)}},
         "indices: expected the extents of the 1 batch axes of x, [2, 3], got [3]");
  reject("no batch_dims before iOS16",
         {{"x", x}, {"indices", ints({0, 0})}, {"batch_dims", integer(0)}},
         "batch_dims: unknown input")
      .at(ir::Opset::kIos15);
  reject("a scalar", {{"x", number(1)}, {"indices", ints({0})}}, "axis: expected a value in");
}

OP_CASES(gather_along_axis) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("columns", {{"x", x}, {"indices", ints({2, 0, 1, -1}, {2, 2})}, {"axis", integer(1)}})
      .expect({values({3, 1, 5, 6}, {2, 2})});
  add("rows", {{"x", x}, {"indices", ints({1, 0, 1}, {1, 3})}}).expect({values({4, 2, 6}, {1, 3})});
  add("a middle axis", {{"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
                        {"indices", ints({1, 0, 0, 1}, {2, 1, 2})},
                        {"axis", integer(-2)}})
      .expect({values({3, 2, 5, 8}, {2, 1, 2})});
  add("no indices", {{"x", x}, {"indices", ints({}, {2, 0})}, {"axis", integer(1)}})
      .expect({values({}, {2, 0})});
  reject("index", {{"x", x}, {"indices", ints({3, 0}, {2, 1})}, {"axis", integer(1)}},
         "indices: expected values in [-3, 2], got 3");
  reject("rank", {{"x", x}, {"indices", ints({0})}}, "indices: expected rank 2, got shape [1]");
  reject("extents", {{"x", x}, {"indices", ints({0, 0, 0}, {3, 1})}, {"axis", integer(1)}},
         "indices: expected shape [2, 1], got [3, 1]");
}

OP_CASES(gather_nd) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("elements", {{"x", x}, {"indices", ints({0, 1, 1, -1}, {2, 2})}})
      .expect({values({2, 6}, {2})});
  add("slices", {{"x", x}, {"indices", ints({1, 0}, {2, 1})}})
      .expect({values({4, 5, 6, 1, 2, 3}, {2, 3})});
  add("one element", {{"x", x}, {"indices", ints({1, 2})}}).expect({number(6)});
  add("whole tensors", {{"x", x}, {"indices", ints({}, {2, 0})}})
      .expect({values({1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}, {2, 2, 3})});
  add("batches", {{"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
                  {"indices", ints({1, 0}, {2, 1})},
                  {"batch_dims", integer(1)}})
      .expect({values({3, 4, 5, 6}, {2, 2})});
  add("batches, negative and repeated indices", {{"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
                                                 {"indices", ints({-1, 0, -1, 0, 1, 1}, {2, 3, 1})},
                                                 {"batch_dims", integer(1)}})
      .expect({values({3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 7, 8}, {2, 3, 2})});
  add("batches of several",
      {{"x", x}, {"indices", ints({2, 0, 1, 1}, {2, 2, 1})}, {"batch_dims", integer(1)}})
      .expect({values({3, 1, 5, 5}, {2, 2})});
  add("no indices", {{"x", x}, {"indices", ints({}, {0, 2})}}).expect({values({}, {0})});
  reject("index", {{"x", x}, {"indices", ints({0, 3})}},
         "indices: expected values in [-3, 2], got 3");
  reject("too deep", {{"x", x}, {"indices", ints({0, 0, 0})}},
         "indices: expected a last extent of 2 at most, one per axis of x, got [3]");
  reject("too deep for the batch",
         {{"x", x}, {"indices", ints({0, 0, 0, 0}, {2, 2})}, {"batch_dims", integer(1)}},
         "indices: expected a last extent of 1 at most");
  reject("batch_dims", {{"x", x}, {"indices", ints({0, 0})}, {"batch_dims", integer(1)}},
         "batch_dims: expected a value in [0, 0], got 1");
  reject("another batch",
         {{"x", x}, {"indices", ints({0, 0, 0}, {3, 1})}, {"batch_dims", integer(1)}},
         "indices: expected the extents of the 1 batch axes");
  reject("a scalar", {{"x", x}, {"indices", integer(0)}}, "indices: expected rank 1 to 16");
}

}  // namespace mw::ops
