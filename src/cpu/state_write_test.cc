// Tests of results that are written where a state lies: right in every order of reads and writes,
// and without memory of their own where nothing needs the old content.
#include "cpu/testing.h"
#include "passes/pipeline.h"

namespace mw::cpu {
namespace {

constexpr int64_t kCount = 65536;
constexpr const char* kArguments =
    "state<tensor<fp32, [65536]>> p, state<tensor<fp32, [65536]>> m, tensor<fp32, [65536]> g";

// Runs it three times, and says how much memory intermediate results take.
int64_t check(const std::string& statements, const std::string& outputs) {
  const TestProgram program(kArguments, statements, outputs);
  exec::SessionOptions options;
  options.poison = true;
  exec::Session session(program.function(), program.specialiser(), devices::platform("cpu"),
                        options);
  exec::States states = session.make_states(), plain = session.make_states();
  for (uint64_t i = 1; i < 4; ++i) {
    const TensorMap inputs{{"g", noise({kCount}, i)}};
    const exec::RunResult result = session.run(inputs, &states);
    for (const auto& [name, want] : program.expected(inputs, plain.cells())) {
      expect_near(result.outputs.at(name).tensor, want.tensor, 1e-6, name);
    }
    for (const char* name : {"p", "m"}) expect_near(states.get(name), plain.get(name), 1e-6, name);
  }
  return static_cast<int64_t>(session.arena_bytes());
}

TEST(StateWrite, an_update_takes_no_memory) {
  const int64_t arena = check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> m0 = read_state(input = m);
    tensor<fp32, [65536]> kept = mul(x = m0, y = fp32(0.9));
    tensor<fp32, [65536]> m1 = add(x = kept, y = g);
    tensor<fp32, [65536]> move = mul(x = m1, y = fp32(0.1));
    tensor<fp32, [65536]> p1 = sub(x = p0, y = move);
    write_state(input = m, data = m1);
    write_state(input = p, data = p1);)",
                              "g");
  // What a kernel works in is small.
  EXPECT_LT(arena, kCount);
}

// As a step writes: what is made of the new content is computed with it, before either is written.
TEST(StateWrite, an_update_of_two_states_with_a_condition_takes_no_memory) {
  const int64_t arena = check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> m0 = read_state(input = m);
    fp32 sum = reduce_sum(x = g, keep_dims = bool(false));
    bool sound = less(x = sum, y = fp32(1e9));
    tensor<fp32, [65536]> kept = mul(x = m0, y = fp32(0.9));
    tensor<fp32, [65536]> m1 = add(x = kept, y = g);
    tensor<fp32, [65536]> p1 = sub(x = p0, y = m1);
    tensor<fp32, [65536]> p2 = select(cond = sound, a = p1, b = p0);
    tensor<fp32, [65536]> m2 = select(cond = sound, a = m1, b = m0);
    write_state(input = p, data = p2);
    write_state(input = m, data = m2);)",
                              "g");
  EXPECT_LT(arena, kCount);
}

// The kernel that makes p1 could make m1, too, but m is read once more before it is written.
TEST(StateWrite, what_is_computed_early_is_not_written_early) {
  check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> m0 = read_state(input = m);
    tensor<fp32, [65536]> p1 = add(x = p0, y = m0);
    tensor<fp32, [65536]> m1 = mul(x = p1, y = fp32(0.5));
    write_state(input = p, data = p1);
    tensor<fp32, [65536]> m3 = read_state(input = m);
    tensor<fp32, [1]> total = reduce_sum(x = m3, keep_dims = bool(true));
    tensor<fp32, [65536]> p2 = mul(x = p1, y = total);
    write_state(input = p, data = p2);
    write_state(input = m, data = m1);
    tensor<fp32, [65536]> m4 = read_state(input = m);
    tensor<fp32, [65536]> both = sub(x = m4, y = m3);)",
        "total, both");
}

// The sums of rows, without the axis that they are over, are added along columns.
TEST(StateWrite, what_meets_the_rows_otherwise_is_computed_after_them) {
  const TestProgram program("state<tensor<fp32, [4, 4]>> p, tensor<fp32, [4, 4]> g", R"(
    tensor<fp32, [4, 4]> p0 = read_state(input = p);
    tensor<fp32, [4, 4]> p1 = add(x = p0, y = g);
    tensor<fp32, [4]> sums = reduce_sum(x = p1, axes = tensor<int32, [1]>([1]),
        keep_dims = bool(false));
    tensor<fp32, [4, 4]> p2 = add(x = p1, y = sums);
    write_state(input = p, data = p2);)",
                            "sums");
  const auto session = program.session();
  exec::States states = session->make_states(), plain = session->make_states();
  const TensorMap inputs{{"g", noise({4, 4}, 1)}};
  const exec::RunResult result = session->run(inputs, &states);
  const auto expected = program.expected(inputs, plain.cells());
  expect_near(result.outputs.at("sums").tensor, expected.at("sums").tensor, 1e-6, "sums");
  expect_near(states.get("p"), plain.get("p"), 1e-6, "p");
}

TEST(StateWrite, the_old_content_is_there_for_those_who_read_it) {
  check(R"(
    tensor<fp32, [65536]> before = read_state(input = p);
    tensor<fp32, [65536]> after = add(x = before, y = g);
    write_state(input = p, data = after);
    tensor<fp32, [65536]> change = sub(x = after, y = before);
    tensor<fp32, [65536]> again = read_state(input = p);
    tensor<fp32, [65536]> twice = mul(x = again, y = fp32(2));)",
        "change, twice");
}

TEST(StateWrite, one_update_may_go_into_two_narrow_states) {
  const TestProgram program(
      "state<tensor<fp16, [4]>> p, state<tensor<fp16, [4]>> m, tensor<fp16, [2]> g", R"(
    tensor<fp16, [2]> u = relu(x = g);
    tensor<fp16, [4]> p0 = read_state(input = p);
    tensor<fp16, [4]> p1 = slice_update(x = p0, update = u, begin = tensor<int32, [1]>([0]), end = tensor<int32, [1]>([2]));
    write_state(input = p, data = p1);
    tensor<fp16, [4]> m0 = read_state(input = m);
    tensor<fp16, [4]> m1 = slice_update(x = m0, update = u, begin = tensor<int32, [1]>([1]), end = tensor<int32, [1]>([3]));
    write_state(input = m, data = m1);)",
      "g");
  exec::SessionOptions options;
  options.watch = std::make_shared<passes::Watch>();
  options.watch->verifies = true;
  int casts = 0;
  options.watch->observer = [&](std::string_view, const ir::Function& after) {
    for (const auto& op : after.body.ops) casts += op->name().starts_with("u_narrow");
  };
  const auto session = program.session(options);
  exec::States states = session->make_states();
  (void)session->run({{"g", Tensor::from<float>({1, 2}, {2}).to(DType::kF16)}}, &states);
  EXPECT_EQ(casts, 2);
  const auto halves = [](const std::vector<float>& values) {
    return Tensor::from<float>(values, {4}).to(DType::kF16);
  };
  EXPECT_TRUE(bit_equal(states.get("p"), halves({1, 2, 0, 0})));
  EXPECT_TRUE(bit_equal(states.get("m"), halves({0, 1, 2, 0})));
}

TEST(StateWrite, a_part_of_a_narrow_state_is_updated_in_place) {
  const TestProgram program("state<tensor<fp16, [65536]>> p, tensor<fp16, [2]> g", R"(
    tensor<fp16, [65536]> p0 = read_state(input = p);
    tensor<fp16, [65536]> p1 = slice_update(x = p0, update = g, begin = tensor<int32, [1]>([0]), end = tensor<int32, [1]>([2]));
    write_state(input = p, data = p1);
    tensor<fp16, [65536]> p2 = read_state(input = p);
    tensor<fp16, [65536]> p3 = slice_update(x = p2, update = g, begin = tensor<int32, [1]>([1]), end = tensor<int32, [1]>([3]));
    write_state(input = p, data = p3);
    tensor<fp16, [65536]> p4 = read_state(input = p);
    tensor<fp16, [4]> first = slice_by_size(x = p4, begin = tensor<int32, [1]>([0]), size = tensor<int32, [1]>([4]));
    tensor<fp16, [4]> twice = mul(x = first, y = fp16(2));)",
                            "twice");
  const auto session = program.session({});
  exec::States states = session->make_states();
  const Tensor g = Tensor::from<float>({1, 2}, {2}).to(DType::kF16);
  const exec::RunResult result = session->run({{"g", g}}, &states);
  const Tensor want = Tensor::from<float>({2, 2, 4, 0}, {4}).to(DType::kF16);
  EXPECT_TRUE(bit_equal(result.outputs.at("twice").tensor, want));
  // Room for what the kernels work in, none for a copy of the state.
  EXPECT_LT(session->arena_bytes(), bytes_of(DType::kF16, kCount));
}

TEST(StateWrite, two_states_may_be_made_of_each_other) {
  check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> m0 = read_state(input = m);
    tensor<fp32, [65536]> p1 = add(x = m0, y = g);
    tensor<fp32, [65536]> m1 = sub(x = p0, y = g);
    write_state(input = p, data = p1);
    write_state(input = m, data = m1);)",
        "g");
}

TEST(StateWrite, a_result_stays_what_it_was_when_the_state_is_written_again) {
  check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> first = add(x = p0, y = g);
    write_state(input = p, data = first);
    tensor<fp32, [65536]> p1 = read_state(input = p);
    tensor<fp32, [65536]> second = mul(x = p1, y = fp32(0.5));
    write_state(input = p, data = second);
    tensor<fp32, [65536]> root = tanh(x = first);
    tensor<fp32, [65536]> difference = sub(x = first, y = second);)",
        "root, difference");
}

TEST(StateWrite, a_result_may_also_be_an_output) {
  check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> p1 = add(x = p0, y = g);
    write_state(input = p, data = p1);
    write_state(input = m, data = p1);)",
        "p1");
}

TEST(StateWrite, a_value_may_go_to_two_states) {
  check(R"(
    tensor<fp32, [65536]> p0 = read_state(input = p);
    tensor<fp32, [65536]> p1 = sub(x = p0, y = g);
    write_state(input = p, data = p1);
    write_state(input = m, data = p1);
    tensor<fp32, [65536]> m1 = read_state(input = m);
    tensor<fp32, [65536]> back = sub(x = m1, y = p1);
    tensor<fp32, [65536]> m2 = add(x = m1, y = fp32(1));
    write_state(input = m, data = m2);)",
        "back");
}

}  // namespace
}  // namespace mw::cpu
