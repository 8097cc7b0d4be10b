// Cases for slice_update.
#include <gtest/gtest.h>

#include "ops/op_case.h"

namespace mw::ops {

OP_CASES(slice_update) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("a column range", {{"x", x},
                         {"update", values({10, 20, 30, 40}, {2, 2})},
                         {"begin", ints({0, 1})},
                         {"end", ints({2, 3})}})
      .expect({values({1, 10, 20, 4, 30, 40}, {2, 3})});
  add("backwards", {{"x", x},
                    {"update", values({10, 20}, {1, 2})},
                    {"begin", ints({-1, 2})},
                    {"end", ints({2, 0})},
                    {"stride", ints({1, -1})}})
      .expect({values({1, 2, 3, 4, 20, 10}, {2, 3})});
  add("masks", {{"x", x},
                {"update", values({7, 8, 9}, {1, 3})},
                {"begin", ints({0, 2})},
                {"end", ints({1, 0})},
                {"begin_mask", bools({0, 1}, {2})},
                {"end_mask", bools({0, 1}, {2})}})
      .expect({values({7, 8, 9, 4, 5, 6}, {2, 3})});
  add("a squeezed row", {{"x", x},
                         {"update", values({7, 8, 9}, {3})},
                         {"begin", ints({1, 0})},
                         {"end", ints({0, 3})},
                         {"squeeze_mask", bools({1, 0}, {2})}})
      .expect({values({1, 2, 3, 7, 8, 9}, {2, 3})});
  add("one element through a scalar", {{"x", x},
                                       {"update", number(9)},
                                       {"begin", ints({1, 1})},
                                       {"end", ints({0, 0})},
                                       {"squeeze_mask", bools({1, 1}, {2})}})
      .expect({values({1, 2, 3, 4, 9, 6}, {2, 3})});
  add("nothing",
      {{"x", x}, {"update", values({}, {0, 3})}, {"begin", ints({1, 0})}, {"end", ints({1, 3})}})
      .expect({x});
  add("run-time positions",
      {{"x", x}, {"update", values({7}, {1, 1})}, {"begin", ints({0, 2})}, {"end", ints({1, 3})}})
      .constant({"x"})
      .expect({values({1, 2, 7, 4, 5, 6}, {2, 3})});
  reject(
      "update of another shape",
      {{"x", x}, {"update", values({7, 8}, {2})}, {"begin", ints({0, 0})}, {"end", ints({1, 3})}},
      "update: expected shape [1, 3], got [2] for [0:1, 0:3] of [2, 3]")
      .constant({"begin", "end"});
  reject("update of another dtype",
         {{"x", x}, {"update", ints({7})}, {"begin", ints({0, 0})}, {"end", ints({1, 3})}},
         "update: expected dtype fp32, got int32");
}

}  // namespace mw::ops
