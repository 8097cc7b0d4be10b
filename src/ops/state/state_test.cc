// Tests of read_state and write_state on small programs.
#include "ops/control/testing.h"

namespace mw::ops {
namespace {

ir::Datum state_of(Tensor value) {
  auto cell = std::make_shared<ir::StateCell>();
  cell->value = std::move(value);
  return {Tensor(), nullptr, cell};
}

TEST(State, is_read_and_written_in_order) {
  SmallRunner program("state<tensor<fp16, [2]>> cache, tensor<fp16, [2]> x", R"(
    tensor<fp16, [2]> before = read_state(input = cache);
    tensor<fp16, [2]> sum = add(x = before, y = x);
    write_state(input = cache, data = sum);
    tensor<fp16, [2]> after = read_state(input = cache);)",
                      "before, after");
  const ir::Datum cache = state_of(floats({1, 2}, {2}).to(DType::kF16));
  const Tensor x = floats({0.5, 0.25}, {2}).to(DType::kF16);
  std::vector<ir::Datum> results = program.run({cache, {x, nullptr, nullptr}});
  EXPECT_TRUE(bit_equal(results[0].tensor, floats({1, 2}, {2}).to(DType::kF16)));
  EXPECT_TRUE(bit_equal(results[1].tensor, floats({1.5, 2.25}, {2}).to(DType::kF16)));
  results = program.run({cache, {x, nullptr, nullptr}});
  EXPECT_TRUE(bit_equal(results[0].tensor, floats({1.5, 2.25}, {2}).to(DType::kF16)));
  EXPECT_TRUE(bit_equal(cache.state->value, floats({2, 2.5}, {2}).to(DType::kF16)));
}

TEST(State, is_copied_both_ways) {
  SmallRunner program("state<tensor<int32, [1]>> cache, tensor<int32, [1]> x", R"(
    tensor<int32, [1]> before = read_state(input = cache);
    write_state(input = cache, data = x);)",
                      "before");
  const ir::Datum cache = state_of(integers({1}));
  Tensor x = integers({2});
  const Tensor before = program.run({cache, {x, nullptr, nullptr}})[0].tensor;
  x.set_integer(0, 3);
  EXPECT_EQ(cache.state->value.integer_at(0), 2);
  cache.state->value.set_integer(0, 4);
  EXPECT_EQ(before.integer_at(0), 1);
}

TEST(State, keeps_its_dtype_when_another_float_is_written) {
  SmallRunner program("state<tensor<fp16, [1]>> cache, tensor<fp32, [1]> x",
                      "write_state(input = cache, data = x);", "x");
  const ir::Datum cache = state_of(Tensor(DType::kF16, {1}));
  program.run({cache, {floats({1.25}, {1}), nullptr, nullptr}});
  EXPECT_TRUE(bit_equal(cache.state->value, floats({1.25}, {1}).to(DType::kF16)));
}

TEST(State, rejects_what_does_not_fit) {
  const std::string write = "write_state(input = cache, data = x);";
  expect_rejected("state<tensor<fp16, [2]>> cache, tensor<fp16, [3]> x", write, "x",
                  "data: expected shape [2], got [3]");
  expect_rejected("state<tensor<fp16, [2]>> cache, tensor<int32, [2]> x", write, "x",
                  "data: expected dtype fp16 as the state has, got int32");
  expect_rejected("tensor<fp16, [2]> cache, tensor<fp16, [2]> x", write, "x",
                  "input: expected a state, got tensor<fp16, [2]>");
  expect_rejected("tensor<fp16, [2]> cache", "tensor<fp16, [2]> y = read_state(input = cache);",
                  "y", "input: expected a state, got tensor<fp16, [2]>");
}

}  // namespace
}  // namespace mw::ops
