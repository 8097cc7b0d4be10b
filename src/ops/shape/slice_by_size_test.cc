// Cases for slice_by_size.
#include <gtest/gtest.h>

#include "ops/op_case.h"

namespace mw::ops {

OP_CASES(slice_by_size) {
  const Tensor x = values({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {3, 4});
  add("a block", {{"x", x}, {"begin", ints({1, 1})}, {"size", ints({2, 3})}})
      .expect({values({6, 7, 8, 10, 11, 12}, {2, 3})});
  add("to the end", {{"x", x}, {"begin", ints({2, 2})}, {"size", ints({-1, -1})}})
      .expect({values({11, 12}, {1, 2})});
  add("from the end", {{"x", x}, {"begin", ints({-2, -1})}, {"size", ints({1, -1})}})
      .expect({values({8}, {1, 1})});
  add("nothing", {{"x", x}, {"begin", ints({3, 0})}, {"size", ints({-1, 4})}})
      .expect({values({}, {0, 4})});
  add("run-time positions", {{"x", x}, {"begin", ints({0, 3})}, {"size", ints({3, 1})}})
      .constant({"x"})
      .expect({values({4, 8, 12}, {3, 1})});
  add("a block from a run-time position",
      {{"x", x}, {"begin", ints({1, 1})}, {"size", ints({2, 3})}})
      .constant({"size"})
      .expect({values({6, 7, 8, 10, 11, 12}, {2, 3})});
  add("columns from a run-time position, counted from the end",
      {{"x", x}, {"begin", ints({0, -2})}, {"size", ints({3, 1})}})
      .constant({"size"})
      .expect({values({3, 7, 11}, {3, 1})});
  add("flags", {{"x", bools({1, 0, 1}, {3})}, {"begin", ints({1})}, {"size", ints({2})}})
      .expect({bools({0, 1}, {2})});
  reject("begin beyond the end", {{"x", x}, {"begin", ints({4, 0})}, {"size", ints({-1, 4})}},
         "begin: expected a value in [-3, 3] on axis 0, got 4");
  reject("size beyond the end", {{"x", x}, {"begin", ints({2, 0})}, {"size", ints({2, 4})}},
         "size: expected at most 1 elements on axis 0, got 2");
  reject("size below -1", {{"x", x}, {"begin", ints({2, 0})}, {"size", ints({-2, 4})}},
         "size: expected sizes of at least -1, got -2");
  reject("size of another length", {{"x", x}, {"begin", ints({2, 0})}, {"size", ints({1})}},
         "size: expected shape [2], got [1]");
}

}  // namespace mw::ops
