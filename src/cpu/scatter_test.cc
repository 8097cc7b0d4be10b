// Scatters in the memory of their data: where they may lie there, and that threads keep the order.
#include "cpu/testing.h"

namespace mw::cpu {
namespace {

const std::string kArguments =
    "tensor<fp32, [6, 200]> x, tensor<int32, [4]> at, tensor<fp32, [4, 200]> u";

TensorMap inputs_at(const std::vector<int32_t>& at) {
  return {
      {"x", noise({6, 200}, 1)}, {"at", Tensor::from<int32_t>(at, {4})}, {"u", noise({4, 200}, 2)}};
}

// Bit for bit: places are combined in the order of the updates.
void expect_as_naive(const TestProgram& program, const TensorMap& inputs) {
  const auto expected = program.expected(inputs);
  for (const int threads : {1, 2}) {
    const auto session = program.session({.threads = threads, .poison = true});
    for (int run = 0; run < 2; ++run) {
      const auto result = session->run(inputs);
      for (const auto& [name, datum] : expected) {
        EXPECT_TRUE(bit_equal(result.outputs.at(name).tensor, datum.tensor)) << name;
      }
    }
  }
}

TEST(Scatter, takes_the_memory_of_data_that_dies) {
  for (const std::string mode : {"add", "update"}) {
    const TestProgram program(kArguments,
                              R"(
    tensor<fp32, [6, 200]> r = relu(x = x);
    tensor<fp32, [6, 200]> s = scatter(data = r, indices = at, updates = u, axis = int32(0), mode = string(")" +
                                  mode + R"("));
    tensor<fp32, [6, 200]> y = relu(x = s);)",
                              "y");
    expect_as_naive(program, inputs_at({2, 5, 2, -4}));
    const std::string plan =
        program.session()->plan_text({{"x", {6, 200}}, {"at", {4}}, {"u", {4, 200}}});
    EXPECT_NE(plan.find("scatter  of scatter"), std::string::npos) << plan;
    EXPECT_NE(plan.find(" in a"), std::string::npos) << plan;
  }
}

TEST(Scatter, leaves_data_that_is_read_later) {
  const TestProgram program(kArguments, R"(
    tensor<fp32, [6, 200]> r = relu(x = x);
    tensor<fp32, [6, 200]> s = scatter(data = r, indices = at, updates = u, axis = int32(0), mode = string("add"));
    tensor<fp32, [6, 200]> y = mul(x = s, y = r);)",
                            "y");
  expect_as_naive(program, inputs_at({0, 0, 1, 0}));
}

// What is written would be read as an update.
TEST(Scatter, of_a_part_of_its_own_data_lies_elsewhere) {
  const TestProgram program(kArguments, R"(
    tensor<fp32, [6, 200]> r = relu(x = x);
    tensor<fp32, [4, 200]> part = slice_by_size(x = r, begin = tensor<int32, [2]>([2, 0]), size = tensor<int32, [2]>([4, 200]));
    tensor<fp32, [6, 200]> s = scatter(data = r, indices = at, updates = part, axis = int32(0), mode = string("add"));
    tensor<fp32, [6, 200]> y = relu(x = s);)",
                            "y");
  expect_as_naive(program, inputs_at({3, 4, 5, 2}));
}

TEST(Scatter, goes_into_what_was_filled) {
  const TestProgram program(kArguments, R"(
    tensor<fp32, [900, 200]> zeros = fill(shape = tensor<int32, [2]>([900, 200]), value = fp32(0));
    tensor<fp32, [900, 200]> ones = fill(shape = tensor<int32, [2]>([900, 200]), value = fp32(1));
    tensor<fp32, [900, 200]> s = scatter(data = zeros, indices = at, updates = u, axis = int32(0), mode = string("add"));
    tensor<fp32, [900, 200]> y = sub(x = s, y = ones);)",
                            "y");
  expect_as_naive(program, inputs_at({899, 0, 899, 7}));
}

TEST(Scatter, refuses_positions_outside) {
  const TestProgram program(kArguments, R"(
    tensor<fp32, [6, 200]> y = scatter(data = x, indices = at, updates = u, axis = int32(0), mode = string("add"));)",
                            "y");
  const auto session = program.session();
  EXPECT_NE(error_of([&] {
              (void)session->run(inputs_at({0, 1, 6, 2}));
            }).find("indices: expected values in [-6, 5], got 6"),
            std::string::npos);
}

}  // namespace
}  // namespace mw::cpu
