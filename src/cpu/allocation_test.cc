// That a repeated run allocates nothing, and takes no new pages: this binary counts both.
#include "base/allocation_testing.h"
#include "base/memory_checks.h"
#include "cpu/testing.h"

namespace mw::cpu {
namespace {

using testing::taken_by, testing::taken_by_each, testing::Taken;

int64_t allocations_of(const exec::Session& session, const TensorMap& inputs,
                       exec::States* states) {
  exec::RunResult result;
  const auto runs = [&](int count) {
    for (int i = 0; i < count; ++i) session.run_into(inputs, states, result);
  };
  runs(3);
  return taken_by([&] { runs(10); }).allocations;
}

// One token through an attention layer with a cache: gather, norms, products, softmax, a state.
TEST(Allocation, a_repeated_run_allocates_nothing) {
  const TestProgram program(
      "tensor<int32, [1, 1]> id, tensor<int32, [1]> position, "
      "state<tensor<fp16, [1, 2, 16, 8]>> cache",
      R"(
    tensor<fp32, [4, 16]> table = const()[val = tensor<fp32, [4, 16]>([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]])];
    tensor<fp32, [1, 1, 16]> x = gather(x = table, indices = id, axis = int32(0));
    tensor<fp32, [1, 1, 16]> n = layer_norm(x = x, axes = tensor<int32, [1]>([-1]), epsilon = fp32(0.00001));
    tensor<fp32, [1, 1, 4]> h = linear(x = n, weight = table);
    tensor<fp32, [1, 1, 4]> g = silu(x = h);
    tensor<fp32, [1, 1, 16]> back = matmul(x = g, y = table);
    tensor<fp32, [1, 1, 2, 8]> heads = reshape(x = back, shape = tensor<int32, [4]>([1, 1, 2, 8]));
    tensor<fp32, [1, 2, 1, 8]> q = transpose(x = heads, perm = tensor<int32, [4]>([0, 2, 1, 3]));
    tensor<fp16, [1, 2, 1, 8]> k = cast(x = q, dtype = string("fp16"));
    tensor<int32, [1]> after = add(x = position, y = tensor<int32, [1]>([1]));
    tensor<int32, [1]> zero = const()[val = tensor<int32, [1]>([0])];
    tensor<int32, [4]> begin = concat(values = (zero, zero, position, zero), axis = int32(0));
    tensor<int32, [4]> end = concat(values = (tensor<int32, [1]>([1]), tensor<int32, [1]>([2]), after, tensor<int32, [1]>([8])), axis = int32(0));
    tensor<fp16, [1, 2, 16, 8]> old = read_state(input = cache);
    tensor<fp16, [1, 2, 16, 8]> with = slice_update(x = old, update = k, begin = begin, end = end);
    write_state(input = cache, data = with);
    tensor<fp16, [1, 2, 16, 8]> read = read_state(input = cache);
    tensor<fp32, [1, 2, 16, 8]> keys = cast(x = read, dtype = string("fp32"));
    tensor<fp32, [1, 2, 1, 16]> s = matmul(x = q, y = keys, transpose_y = bool(true));
    tensor<fp32, [1, 2, 1, 16]> p = softmax(x = s, axis = int32(-1));
    tensor<fp32, [1, 2, 1, 8]> y = matmul(x = p, y = keys);)",
      "y");
  for (const int threads : {1, 2}) {
    const auto session = program.session({.threads = threads});
    exec::States states = session->make_states();
    const TensorMap inputs{{"id", Tensor::from<int32_t>({2}, {1, 1})},
                           {"position", Tensor::from<int32_t>({3}, {1})}};
    EXPECT_EQ(allocations_of(*session, inputs, &states), 0) << threads << " threads";
  }
}

// The GEMM library makes a small table per call; nothing in proportion to the data.
TEST(Allocation, a_product_of_many_rows_allocates_only_what_its_library_does) {
  const TestProgram program("tensor<fp32, [64, 4]> x", R"(
    tensor<fp32, [2, 4]> w = const()[val = tensor<fp32, [2, 4]>([[1, 2, 3, 4], [5, 6, 7, 8]])];
    tensor<fp32, [64, 2]> y = linear(x = x, weight = w);)",
                            "y");
  const auto session = program.session({.threads = 1});
  EXPECT_LE(allocations_of(*session, {{"x", noise({64, 4}, 1)}}, nullptr), 10 * 40);
}

// A loop that writes one number after the other into a list, and reads one.
const char* const kListLoop = R"(
    list<fp32, ?> start = make_list(init_length = int32(0), dtype = string("fp32"));
    int32 i_out, list<fp32, ?> all = while_loop(loop_vars = (int32(0), start)) test(int32 i, list<fp32, ?> ls) {
      bool go = less(x = i, y = n);
    } -> (go) body(int32 i, list<fp32, ?> ls) {
      fp32 v = cast(x = i, dtype = string("fp32"));
      list<fp32, ?> longer = list_write(ls = ls, index = i, value = v);
      int32 next = add(x = i, y = int32(1));
    } -> (next, longer);
    int32 last = sub(x = n, y = int32(1));
    fp32 y = list_read(ls = all, index = last);)";

// Copies of a whole list at each write would make this four times as much.
TEST(Allocation, a_loop_that_writes_a_list_takes_memory_in_proportion_to_its_length) {
  const TestProgram program("int32 n", kListLoop, "y");
  const auto session = program.session();
  const auto inputs = [](int32_t n) { return TensorMap{{"n", Tensor::scalar(n)}}; };
  const auto planned = [&](int32_t n) {
    const auto body = [&] {
      EXPECT_EQ(session->run(inputs(n)).outputs.at("y").tensor.number_at(0), n - 1);
    };
    return taken_by(body).bytes;
  };
  const auto naive = [&](int32_t n) {
    const auto body = [&] {
      EXPECT_EQ(program.expected(inputs(n)).at("y").tensor.number_at(0), n - 1);
    };
    return taken_by(body).bytes;
  };
  (void)planned(10);
  EXPECT_LT(planned(2000), 2.5 * static_cast<double>(planned(1000)));
  EXPECT_LT(naive(2000), 2.5 * static_cast<double>(naive(1000)));
}

// Results of 2 MiB: in new memory each would be 512 pages.
constexpr int64_t kMostFaults = 50;
const Shape kLarge = {512, 1024};

class LargeResults : public ::testing::Test {
 protected:
  void SetUp() override {
    if (poison_mode() != Poison::kNone || guard_mode() != Guard::kNone) {
      GTEST_SKIP() << "each tensor has memory of its own where memory is checked";
    }
  }
  static void expect_nothing_new(const Taken& taken) {
    EXPECT_LT(taken.faults, kMostFaults);
    EXPECT_EQ(taken.large, 0);
  }
};

TEST_F(LargeResults, that_are_dropped_come_back) {
  const TestProgram program("tensor<fp32, [512, 1024]> x",
                            "tensor<fp32, [512, 1024]> y = relu(x = x);", "y");
  const auto session = program.session();
  const TensorMap inputs{{"x", noise(kLarge, 1)}};
  expect_nothing_new(taken_by_each([&] { (void)session->run(inputs); }));
  exec::RunResult kept;
  expect_nothing_new(taken_by_each([&] { kept = session->run(inputs); }));
  EXPECT_EQ(kept.outputs.at("y").tensor.owner().use_count(), 1);
  // What is held longer than a run stays what it was.
  const Tensor held = kept.outputs.at("y").tensor, copy = held.clone();
  (void)session->run({{"x", noise(kLarge, 2)}});
  EXPECT_TRUE(bit_equal(held, copy));
}

// A cache that goes in and comes out.
TEST_F(LargeResults, that_are_the_next_runs_inputs_take_turns) {
  const TestProgram program(
      "tensor<fp32, [512, 1024]> past, tensor<fp32, [1, 1024]> x, tensor<int32, [1]> at", R"(
    tensor<int32, [1]> zero = const()[val = tensor<int32, [1]>([0])];
    tensor<int32, [1]> after = add(x = at, y = tensor<int32, [1]>([1]));
    tensor<int32, [2]> begin = concat(values = (at, zero), axis = int32(0));
    tensor<int32, [2]> end = concat(values = (after, tensor<int32, [1]>([1024])), axis = int32(0));
    tensor<fp32, [512, 1024]> present = slice_update(x = past, update = x, begin = begin, end = end);)",
      "present");
  const auto session = program.session();
  TensorMap inputs{{"past", noise(kLarge, 1)}, {"x", noise({1, 1024}, 2)}};
  int32_t at = 0;
  expect_nothing_new(taken_by_each([&] {
    inputs["at"] = Tensor::from<int32_t>({at++}, {1});
    inputs["past"] = std::move(session->run(inputs).outputs.at("present").tensor);
  }));
  EXPECT_EQ(inputs.at("past").number_at(int64_t{at - 1} * 1024), inputs.at("x").number_at(0));
}

TEST_F(LargeResults, of_reference_steps_are_computed_where_they_belong) {
  const TestProgram program(
      "tensor<fp32, [512, 1024]> x, tensor<int32, [2]> at, tensor<fp32, [2, 1024]> u", R"(
    tensor<fp32, [512, 1024]> r = relu(x = x);
    tensor<fp32, [512, 1024]> m = scatter(data = r, indices = at, updates = u, axis = int32(0), mode = string("mul"));
    tensor<fp32, [512, 1024]> y = relu(x = m);)",
      "y");
  const auto session = program.session();
  const TensorMap inputs{{"x", noise(kLarge, 1)},
                         {"at", Tensor::from<int32_t>({5, 3}, {2})},
                         {"u", noise({2, 1024}, 2)}};
  exec::RunResult result;
  expect_nothing_new(taken_by_each([&] { session->run_into(inputs, nullptr, result); }));
  expect_near(result.outputs.at("y").tensor, program.expected(inputs).at("y").tensor, 0, "y");
}

TEST_F(LargeResults, of_other_shapes_come_back_as_well) {
  const TestProgram program("tensor<fp32, [?, 1024]> x", "tensor<fp32, [?, 1024]> y = relu(x = x);",
                            "y");
  const auto session = program.session();
  for (const int64_t rows : {512, 600, 512}) {
    const TensorMap inputs{{"x", noise({rows, 1024}, 1)}};
    expect_nothing_new(taken_by_each([&] { (void)session->run(inputs); }));
  }
}

}  // namespace
}  // namespace mw::cpu
