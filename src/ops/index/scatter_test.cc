// Cases for scatter, scatter_along_axis and scatter_nd.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/op_case.h"

namespace mw::ops {

OP_CASES(scatter) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor two = values({10, 20, 30, 40, 50, 60}, {2, 3});
  const Tensor row = values({2, 5, 1}, {1, 3});
  add("add is the default", {{"data", x}, {"indices", ints({1, 0})}, {"updates", two}})
      .expect({values({41, 52, 63, 14, 25, 36}, {2, 3})});
  add("twice the same row",
      {{"data", x}, {"indices", ints({0, 0})}, {"updates", two}, {"mode", text("add")}})
      .expect({values({51, 72, 93, 4, 5, 6}, {2, 3})});
  add("the last update stays",
      {{"data", x}, {"indices", ints({-1, 1})}, {"updates", two}, {"mode", text("update")}})
      .expect({values({1, 2, 3, 40, 50, 60}, {2, 3})});
  add("sub", {{"data", x}, {"indices", ints({1})}, {"updates", row}, {"mode", text("sub")}})
      .expect({values({1, 2, 3, 2, 0, 5}, {2, 3})});
  add("mul", {{"data", x}, {"indices", ints({0})}, {"updates", row}, {"mode", text("mul")}})
      .expect({values({2, 10, 3, 4, 5, 6}, {2, 3})});
  add("div", {{"data", x}, {"indices", ints({1})}, {"updates", row}, {"mode", text("div")}})
      .expect({values({1, 2, 3, 2, 1, 6}, {2, 3})});
  add("max", {{"data", x}, {"indices", ints({0})}, {"updates", row}, {"mode", text("max")}})
      .expect({values({2, 5, 3, 4, 5, 6}, {2, 3})});
  add("min", {{"data", x}, {"indices", ints({0})}, {"updates", row}, {"mode", text("min")}})
      .expect({values({1, 2, 1, 4, 5, 6}, {2, 3})});
  add("NaN wins", {{"data", values({1, NAN}, {2})},
                   {"indices", ints({0, 1})},
                   {"updates", values({NAN, 3}, {2})},
                   {"mode", text("max")}})
      .expect({values({NAN, NAN}, {2})});
  add("columns", {{"data", x},
                  {"indices", ints({2})},
                  {"updates", values({7, 8}, {2, 1})},
                  {"axis", integer(-1)},
                  {"mode", text("update")}})
      .expect({values({1, 2, 7, 4, 5, 8}, {2, 3})});
  add("integers", {{"data", ints({7, -7, 7, 2147483647})},
                   {"indices", ints({0, 1, 2, 3})},
                   {"updates", ints({2, 2, 0, -1})},
                   {"mode", text("div")}})
      .expect({ints({3, -3, 0, -2147483647})});
  add("integers that wrap",
      {{"data", ints({2147483647})}, {"indices", ints({0})}, {"updates", ints({1})}})
      .expect({ints({-2147483648})});
  add("flags", {{"data", bools({0, 1}, {2})},
                {"indices", ints({1})},
                {"updates", bools({0}, {1})},
                {"mode", text("update")}})
      .expect({bools({0, 0}, {2})});
  add("nothing", {{"data", x}, {"indices", ints({})}, {"updates", normal({0, 3})}}).expect({x});
  const Tensor three = values({1, 2, 3}, {3}), often = ints({1, 1, -2, 2});
  const auto combine = [&](const char* mode, const std::vector<double>& updates) {
    return std::vector<CaseInput>{{"data", three},
                                  {"indices", often},
                                  {"updates", values(updates, {4})},
                                  {"mode", text(mode)}};
  };
  add("update of one place, often", combine("update", {4, 5, 6, 7}))
      .expect({values({1, 6, 7}, {3})});
  add("sub from one place, often", combine("sub", {4, 5, 6, 7}))
      .expect({values({1, -13, -4}, {3})});
  add("mul of one place, often", combine("mul", {4, 5, 6, 7})).expect({values({1, 240, 21}, {3})});
  add("mul of one place, twice", {{"data", three},
                                  {"indices", ints({2, -1})},
                                  {"updates", values({4, 5}, {2})},
                                  {"mode", text("mul")}})
      .expect({values({1, 2, 60}, {3})});
  add("mul of one place, once by 0", combine("mul", {4, 0, 6, 0})).expect({values({1, 0, 0}, {3})});
  add("mul of one place, twice by 0", combine("mul", {0, 0, 6, 5}))
      .expect({values({1, 0, 15}, {3})});
  add("div of one place, often", combine("div", {4, 0.5, 2, -1.5}))
      .expect({values({1, 0.5, -2}, {3})});
  add("max of one place, often", combine("max", {4, 7, 6, 2})).expect({values({1, 7, 3}, {3})});
  add("max of equal ones", combine("max", {4, 4, 1, 3})).expect({values({1, 4, 3}, {3})});
  add("min of one place, often", combine("min", {1, -4, 3, 5})).expect({values({1, -4, 3}, {3})});
  add("a matrix of indices along the last axis",
      {{"data", x},
       {"indices", ints({2, 0, 1, 2}, {2, 2})},
       {"updates", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
       {"axis", integer(1)},
       {"mode", text("update")}})
      .expect({values({2, 3, 4, 6, 7, 8}, {2, 3})});
  reject("index", {{"data", x}, {"indices", ints({2})}, {"updates", row}},
         "indices: expected values in [-2, 1], got 2");
  reject("negative although validated",
         {{"data", x}, {"indices", ints({-1})}, {"updates", row}, {"validate_indices", flag(true)}},
         "indices: expected values in [0, 1], got -1");
  reject("mode", {{"data", x}, {"indices", ints({0})}, {"updates", row}, {"mode", text("pow")}},
         "mode: expected update, add, sub, mul, div, max or min, got 'pow'");
  reject("updates", {{"data", x}, {"indices", ints({0, 1})}, {"updates", row}},
         "updates: expected shape [2, 3], got [1, 3]");
  reject("dtypes", {{"data", x}, {"indices", ints({0})}, {"updates", ints({1, 2, 3}, {1, 3})}},
         "updates: expected dtype fp32, got int32");
  reject("sums of flags",
         {{"data", bools({0}, {1})}, {"indices", ints({0})}, {"updates", bools({1}, {1})}},
         "data: expected numbers to combine, got dtype bool");
  reject("float indices", {{"data", x}, {"indices", values({0}, {1})}, {"updates", row}},
         "indices: expected integers");
}

OP_CASES(scatter_along_axis) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("columns", {{"data", x},
                  {"indices", ints({2, 0, 1, 1}, {2, 2})},
                  {"updates", values({10, 20, 30, 40}, {2, 2})},
                  {"axis", integer(1)}})
      .expect({values({21, 2, 13, 4, 75, 6}, {2, 3})});
  add("rows", {{"data", x},
               {"indices", ints({1, 0, -1}, {1, 3})},
               {"updates", values({7, 8, 9}, {1, 3})},
               {"mode", text("update")}})
      .expect({values({1, 8, 3, 7, 5, 9}, {2, 3})});
  add("a middle axis", {{"data", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})},
                        {"indices", ints({1, 0, 0, 1}, {2, 1, 2})},
                        {"updates", values({10, 20, 30, 40}, {2, 1, 2})},
                        {"axis", integer(-2)}})
      .expect({values({1, 22, 13, 4, 35, 6, 7, 48}, {2, 2, 2})});
  const auto twice = [&](const char* mode) {
    return std::vector<CaseInput>{{"data", x},
                                  {"indices", ints({2, 2, 0, -2}, {2, 2})},
                                  {"updates", values({10, 20, 30, 40}, {2, 2})},
                                  {"axis", integer(1)},
                                  {"mode", text(mode)}};
  };
  add("update, twice the same", twice("update")).expect({values({1, 2, 20, 30, 40, 6}, {2, 3})});
  add("mul, twice the same", twice("mul")).expect({values({1, 2, 600, 120, 200, 6}, {2, 3})});
  add("mul, once and twice by 0", {{"data", x},
                                   {"indices", ints({2, 2, 0, 0, 0, 1}, {2, 3})},
                                   {"updates", values({10, 0, 30, 0, 0, 50}, {2, 3})},
                                   {"axis", integer(1)},
                                   {"mode", text("mul")}})
      .expect({values({30, 2, 0, 0, 250, 6}, {2, 3})});
  add("max, twice the same", twice("max")).expect({values({1, 2, 20, 30, 40, 6}, {2, 3})});
  reject("index",
         {{"data", x},
          {"indices", ints({3, 0}, {2, 1})},
          {"updates", normal({2, 1})},
          {"axis", integer(1)}},
         "indices: expected values in [-3, 2], got 3");
  reject("rank", {{"data", x}, {"indices", ints({0})}, {"updates", normal({1})}},
         "indices: expected rank 2");
  reject("extents",
         {{"data", x},
          {"indices", ints({0, 0, 0}, {3, 1})},
          {"updates", normal({3, 1})},
          {"axis", integer(1)}},
         "indices: expected shape [2, 1], got [3, 1]");
  reject("updates",
         {{"data", x},
          {"indices", ints({0, 0}, {2, 1})},
          {"updates", normal({2, 2})},
          {"axis", integer(1)}},
         "updates: expected shape [2, 1], got [2, 2]");
}

OP_CASES(scatter_nd) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("elements", {{"data", x},
                   {"indices", ints({1, 2, 0, 0, 1, 2}, {3, 2})},
                   {"updates", values({10, 20, 30}, {3})}})
      .expect({values({21, 2, 3, 4, 5, 46}, {2, 3})});
  add("slices", {{"data", x},
                 {"indices", ints({-1}, {1, 1})},
                 {"updates", values({7, 8, 9}, {1, 3})},
                 {"mode", text("update")}})
      .expect({values({1, 2, 3, 7, 8, 9}, {2, 3})});
  const auto twice = [&](const char* mode) {
    return std::vector<CaseInput>{{"data", x},
                                  {"indices", ints({1, -1}, {2, 1})},
                                  {"updates", values({7, 8, 9, 10, 2, 12}, {2, 3})},
                                  {"mode", text(mode)}};
  };
  add("update, twice the same", twice("update")).expect({values({1, 2, 3, 10, 2, 12}, {2, 3})});
  add("mul, twice the same", twice("mul")).expect({values({1, 2, 3, 280, 80, 648}, {2, 3})});
  add("mul, once and twice by 0", {{"data", x},
                                   {"indices", ints({1, -1}, {2, 1})},
                                   {"updates", values({7, 0, 0, 10, 2, 0}, {2, 3})},
                                   {"mode", text("mul")}})
      .expect({values({1, 2, 3, 280, 0, 0}, {2, 3})});
  add("min, twice the same", twice("min")).expect({values({1, 2, 3, 4, 2, 6}, {2, 3})});
  add("one element",
      {{"data", x}, {"indices", ints({0, 1})}, {"updates", number(9)}, {"mode", text("max")}})
      .expect({values({1, 9, 3, 4, 5, 6}, {2, 3})});
  reject("index", {{"data", x}, {"indices", ints({2, 0})}, {"updates", number(9)}},
         "indices: expected values in [-2, 1], got 2");
  reject("too deep", {{"data", x}, {"indices", ints({0, 0, 0})}, {"updates", number(9)}},
         "indices: expected a last extent of 2 at most");
  reject("updates", {{"data", x}, {"indices", ints({0}, {1, 1})}, {"updates", normal({1, 2})}},
         "updates: expected shape [1, 3], got [1, 2]");
}

}  // namespace mw::ops
