// Tests of Session: outputs, states, control flow, lists, plans and bindings, concurrency, limits.
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cpu/testing.h"
#include "ir/builder.h"

namespace mw::cpu {
namespace {

TEST(Session, returns_inputs_constants_and_views_as_outputs) {
  const TestProgram program("tensor<fp32, [2, 3]> x", R"(
    tensor<fp32, [2]> c = const()[val = tensor<fp32, [2]>([5, 6])];
    tensor<fp32, [3, 2]> t = transpose(x = x, perm = tensor<int32, [2]>([1, 0]));
    tensor<fp32, [6]> r = reshape(x = t, shape = tensor<int32, [1]>([6]));
    tensor<fp32, [2, 3]> e = exp(x = x);)",
                            "x, c, t, r, e");
  const auto session = program.session();
  const TensorMap inputs{{"x", floats({1, 2, 3, 4, 5, 6}, {2, 3})}};
  const exec::RunResult result = session->run(inputs);
  for (const auto& [name, want] : program.expected(inputs)) {
    expect_near(result.outputs.at(name).tensor, want.tensor, 1e-6, name);
  }
  EXPECT_NE(result.outputs.at("x").tensor.raw(), inputs.at("x").raw());
}

TEST(Session, keeps_results_of_earlier_runs_intact) {
  const TestProgram program("tensor<fp32, [4]> x", "tensor<fp32, [4]> y = add(x = x, y = x);", "y");
  const auto session = program.session();
  exec::RunResult result;
  session->run_into({{"x", floats({1, 2, 3, 4}, {4})}}, nullptr, result);
  const Tensor first = result.outputs.at("y").tensor;
  session->run_into({{"x", floats({5, 5, 5, 5}, {4})}}, nullptr, result);
  EXPECT_EQ(first.number_at(0), 2);
  EXPECT_EQ(result.outputs.at("y").tensor.number_at(0), 10);
}

// Eight sums over products, used after 80 other ops.
TEST(Session, does_not_keep_what_a_result_is_made_from_until_it_is_used) {
  std::string text, total = "z79";
  for (int i = 0; i < 8; ++i) {
    text += fmt::format(
        "tensor<fp32, [64, 64]> p{0} = matmul(x = x, y = y{0});\n"
        "tensor<fp32, [64, 1]> s{0} = reduce_sum(x = p{0}, axes = tensor<int32, [1]>([1]), "
        "keep_dims = bool(true));\n",
        i);
  }
  for (int i = 0; i < 80; ++i) {
    text += fmt::format("tensor<fp32, [64, 1]> z{} = cos(x = {});\n", i,
                        i == 0 ? "c" : fmt::format("z{}", i - 1));
  }
  for (int i = 0; i < 8; ++i) {
    text += fmt::format("tensor<fp32, [64, 1]> t{0} = add(x = {1}, y = s{0});\n", i, total);
    total = fmt::format("t{}", i);
  }
  std::string arguments = "tensor<fp32, [64, 64]> x, tensor<fp32, [64, 1]> c";
  TensorMap inputs{{"x", noise({64, 64}, 1)}, {"c", noise({64, 1}, 2)}};
  for (int i = 0; i < 8; ++i) {
    const std::string y = fmt::format("y{}", i);
    arguments += ", tensor<fp32, [64, 64]> " + y;
    inputs[y] = noise({64, 64}, static_cast<uint64_t>(3 + i));
  }
  const TestProgram program(arguments, text, total);
  const auto session = program.session();
  expect_near(session->run(inputs).outputs.at(total).tensor,
              program.expected(inputs).at(total).tensor, 1e-5, total);
  EXPECT_LT(session->arena_bytes(), 4 * 64 * 64 * sizeof(float));
}

constexpr const char* kCounter = R"(
  tensor<fp16, [4]> before = read_state(input = s);
  tensor<fp16, [2]> two = slice_by_index(x = before, begin = tensor<int32, [1]>([1]), end = tensor<int32, [1]>([3]));
  tensor<fp16, [2]> more = add(x = two, y = x);
  tensor<fp16, [4]> updated = slice_update(x = before, update = more, begin = tensor<int32, [1]>([1]), end = tensor<int32, [1]>([3]));
  write_state(input = s, data = updated);
  tensor<fp16, [4]> after = read_state(input = s);
  tensor<fp16, [4]> doubled = mul(x = after, y = fp16(2));)";

TEST(Session, updates_states_and_keeps_what_was_read_before) {
  const TestProgram program("state<tensor<fp16, [4]>> s, tensor<fp16, [2]> x", kCounter,
                            "before, after, doubled");
  const auto session = program.session({.poison = true});
  exec::States states = session->make_states();
  exec::States plain = session->make_states();
  for (int i = 0; i < 3; ++i) {
    const TensorMap inputs{{"x", floats({1, 10}, {2}).to(DType::kF16)}};
    const exec::RunResult result = session->run(inputs, &states);
    for (const auto& [name, want] : program.expected(inputs, plain.cells())) {
      expect_near(result.outputs.at(name).tensor, want.tensor, 0, name);
    }
    EXPECT_TRUE(bit_equal(states.get("s"), plain.get("s")));
  }
  EXPECT_EQ(states.get("s").number_at(2), 30);
}

TEST(Session, does_not_change_a_tensor_that_the_caller_took_from_a_state) {
  const TestProgram program("state<tensor<fp16, [4]>> s, tensor<fp16, [2]> x", kCounter, "after");
  const auto session = program.session();
  exec::States states = session->make_states();
  const TensorMap inputs{{"x", floats({1, 1}, {2}).to(DType::kF16)}};
  (void)session->run(inputs, &states);
  const Tensor taken = states.get("s");
  (void)session->run(inputs, &states);
  EXPECT_EQ(taken.number_at(1), 1);
  EXPECT_EQ(states.get("s").number_at(1), 2);
  states.reset();
  EXPECT_EQ(states.get("s").number_at(1), 0);
}

TEST(Session, asks_for_a_missing_state_and_input) {
  const TestProgram program("state<tensor<fp16, [4]>> s, tensor<fp16, [2]> x", kCounter, "after");
  const auto session = program.session();
  exec::States states = session->make_states();
  EXPECT_NE(error_of([&] {
              (void)session->run({}, &states);
            }).find("input 'x': expected a tensor, got none"),
            std::string::npos);
  const Tensor x = floats({1, 1}, {2}).to(DType::kF16);
  EXPECT_NE(error_of([&] {
              (void)session->run({{"x", x}});
            }).find("state 's': expected a state"),
            std::string::npos);
}

constexpr const char* kLoop = R"(
  int32 n, tensor<fp32, [2]> y = while_loop(loop_vars = (int32(0), x)) (int32 i, tensor<fp32, [2]> v) {
    bool go = less(x = i, y = limit);
  } -> (go) (int32 i, tensor<fp32, [2]> v) {
    int32 next = add(x = i, y = int32(1));
    tensor<fp32, [2]> grown = cond(pred = flag) {
      tensor<fp32, [2]> a = add(x = v, y = x);
    } -> (a) {
      tensor<fp32, [2]> b = mul(x = v, y = fp32(2));
    } -> (b);
  } -> (next, grown);)";

TEST(Session, runs_nested_blocks_with_captured_values) {
  const TestProgram program("int32 limit, bool flag, tensor<fp32, [2]> x", kLoop, "n, y");
  const auto session = program.session({.poison = true});
  for (const bool flag : {false, true}) {
    const TensorMap inputs{{"limit", Tensor::scalar<int32_t>(5)},
                           {"flag", Tensor::scalar(flag)},
                           {"x", floats({1, 3}, {2})}};
    const exec::RunResult result = session->run(inputs);
    for (const auto& [name, want] : program.expected(inputs)) {
      expect_near(result.outputs.at(name).tensor, want.tensor, 0, name);
    }
  }
}

TEST(Session, stops_a_loop_that_does_not_end) {
  const TestProgram program("int32 limit, bool flag, tensor<fp32, [2]> x", kLoop, "n, y");
  const auto session = program.session({.block_limit = 1000});
  const std::string error = error_of([&] {
    (void)session->run({{"limit", Tensor::scalar<int32_t>(1 << 30)},
                        {"flag", Tensor::scalar(true)},
                        {"x", floats({1, 3}, {2})}});
  });
  EXPECT_NE(error.find("a loop ran more than 1000 times"), std::string::npos) << error;
}

TEST(Session, carries_data_dependent_shapes_through_later_steps) {
  const TestProgram program("tensor<fp32, [5]> x", R"(
    tensor<int32, [?, 1]> where = non_zero(x = x);
    tensor<int32, [?, 1]> more = add(x = where, y = int32(1));
    tensor<int32, [2]> extents = shape(x = more);)",
                            "more, extents");
  const auto session = program.session({.poison = true});
  for (const std::vector<float>& values : {std::vector<float>{0, 1, 0, 2, 3}, {0, 0, 0, 0, 0}}) {
    const TensorMap inputs{{"x", floats(values, {5})}};
    const exec::RunResult result = session->run(inputs);
    for (const auto& [name, want] : program.expected(inputs)) {
      EXPECT_TRUE(bit_equal(result.outputs.at(name).tensor, want.tensor)) << name;
    }
  }
}

TEST(Session, keeps_list_items_beyond_the_steps_that_made_them) {
  const TestProgram program("tensor<fp32, [2]> x", R"(
    list<tensor<fp32, [2]>, ?> l = make_list(init_length = int32(1), dynamic_length = bool(true), elem_shape = tensor<int32, [1]>([2]), dtype = string("fp32"));
    tensor<fp32, [2]> a = add(x = x, y = fp32(1));
    list<tensor<fp32, [2]>, ?> l1 = list_write(ls = l, index = int32(0), value = a);
    tensor<fp32, [2]> b = exp(x = a);
    list<tensor<fp32, [2]>, ?> l2 = list_write(ls = l1, index = int32(1), value = b);
    tensor<fp32, [2]> c = exp(x = b);
    tensor<fp32, [?, 2]> y = list_gather(ls = l2, indices = tensor<int32, [2]>([0, 1]));)",
                            "y, c");
  const auto session = program.session({.poison = true});
  const TensorMap inputs{{"x", floats({0.5, -1}, {2})}};
  const exec::RunResult result = session->run(inputs);
  for (const auto& [name, want] : program.expected(inputs)) {
    expect_near(result.outputs.at(name).tensor, want.tensor, 1e-6, name);
  }
}

TEST(Session, returns_tapped_values_by_glob) {
  const TestProgram program("tensor<fp32, [4]> x", R"(
    tensor<fp32, [4]> hidden_1 = exp(x = x);
    tensor<fp32, [4]> hidden_2 = add(x = hidden_1, y = x);
    tensor<fp32, [4]> y = tanh(x = hidden_2);)",
                            "y");
  const TensorMap inputs{{"x", floats({0, 1, 2, 3}, {4})}};
  for (const bool naive : {false, true}) {
    const auto session = program.session({.naive = naive, .taps = {"hidden_*"}});
    const exec::RunResult result = session->run(inputs);
    ASSERT_EQ(result.taps.size(), 2u);
    EXPECT_NEAR(result.taps.at("hidden_1").number_at(1), std::exp(1.0), 1e-6);
    EXPECT_NEAR(result.taps.at("hidden_2").number_at(0), 1, 1e-6);
  }
}

// --- plans ------------------------------------------------------------------------------------

constexpr const char* kFlexible = R"(
  tensor<fp32, [8, 4]> w = const()[val = tensor<fp32, [8, 4]>([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7,
    0.8], [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8],
    [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])];
  tensor<fp32, [1, ?, 8]> h = linear(x = x, weight = w);
  tensor<fp32, [1, ?, 8]> a = gelu(x = h);
  tensor<fp32, [1, 8, ?]> t = transpose(x = a, perm = tensor<int32, [3]>([0, 2, 1]));
  tensor<fp32, [1, 8, 8]> y = matmul(x = t, y = a);
  tensor<fp32, [1, 8, 8]> p = softmax(x = y, axis = int32(-1));)";

TEST(Session, plans_once_per_shape_and_rebinds_growing_extents) {
  const TestProgram program("tensor<fp32, [1, ?, 4]> x", kFlexible, "p");
  exec::SessionOptions options;
  options.poison = true;
  options.largest_shapes = {{"x", {1, 100, 4}}};
  const auto session = program.session(options);
  for (int64_t extent = 1; extent <= 100; ++extent) {
    const TensorMap inputs{{"x", noise({1, extent, 4}, 3)}};
    const Tensor got = session->run(inputs).outputs.at("p").tensor;
    expect_near(got, program.expected(inputs).at("p").tensor, 1e-5, std::to_string(extent));
    EXPECT_TRUE(bit_equal(session->run(inputs).outputs.at("p").tensor, got));
  }
  // One plan for the first extent of a power of two, one at the bound for all others.
  EXPECT_LE(session->plans_made(), 16u);
}

TEST(Session, takes_an_input_of_any_rank_with_any_shape) {
  const TestProgram program(
      "tensor<fp32, ?> x, tensor<fp32, [?]> v",
      "tensor<fp32, ?> e = exp(x = x); tensor<fp32, ?> y = add(x = e, y = v);", "y");
  const auto session = program.session({.poison = true});
  const auto naive = program.session({.naive = true});
  for (int round = 0; round < 2; ++round) {
    for (const Shape& shape : std::vector<Shape>{
             {3}, {}, {2, 3}, {5, 3}, {7, 3}, {1, 3}, {4, 3, 3}, {5}, {2, 2, 2, 5}, {0, 3}}) {
      const TensorMap inputs{{"x", noise(shape, 1)},
                             {"v", noise({shape.empty() ? 3 : shape.back()}, 2)}};
      const Tensor want = program.expected(inputs).at("y").tensor;
      expect_near(session->run(inputs).outputs.at("y").tensor, want, 1e-6, to_string(shape));
      expect_near(naive->run(inputs).outputs.at("y").tensor, want, 1e-6, to_string(shape));
    }
  }
}

TEST(Session, forgets_plans_beyond_its_cache) {
  const TestProgram program("tensor<fp32, [1, ?, 4]> x", kFlexible, "p");
  const auto session = program.session({.plan_cache = 1});
  const auto run = [&](int64_t extent) {
    (void)session->run({{"x", noise({1, extent, 4}, 3)}});
    return session->plans_made();
  };
  EXPECT_EQ(run(3), 1u);
  EXPECT_EQ(run(3), 1u);
  EXPECT_EQ(run(40), 2u);
  EXPECT_GT(run(3), 2u);
}

TEST(Session, runs_concurrently_on_independent_memory) {
  const TestProgram program("tensor<fp32, [1, ?, 4]> x", kFlexible, "p");
  const auto session = program.session({.threads = 1});
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        const TensorMap inputs{{"x", noise({1, 5 + (t + i) % 3, 4}, static_cast<uint64_t>(t))}};
        const Tensor want = program.expected(inputs).at("p").tensor;
        const Tensor got = session->run(inputs).outputs.at("p").tensor;
        for (int64_t k = 0; k < want.count(); ++k) {
          if (std::fabs(got.number_at(k) - want.number_at(k)) > 1e-5) ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, counts_calls_and_operations_in_its_profile) {
  const TestProgram program("tensor<fp32, [1, ?, 4]> x", kFlexible, "p");
  const auto session = program.session({.profile = true});
  for (int i = 0; i < 3; ++i) (void)session->run({{"x", noise({1, 16, 4}, 1)}});
  const exec::Profile profile = session->profile();
  const double products = 3 * 2.0 * (16 * 8 * 4 + 8 * 8 * 16);
  EXPECT_NEAR(profile.flop_share("gemm") * profile.flops(), products, 1e-6 * products);
  for (const exec::ProfileRow& row : profile.rows) EXPECT_EQ(row.calls, 3) << row.name;
  EXPECT_GT(profile.seconds(), 0);
}

TEST(Session, fails_when_a_weight_file_was_truncated) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("mw_session_" + std::to_string(::getpid()) + ".bin");
  std::ofstream(path, std::ios::binary) << std::string(1 << 16, '\0');
  const auto file = MappedFile::open(path);
  ir::Function function;
  function.name = "main";
  function.opset = ir::Opset::kIos18;
  ir::Builder b(function.body, ops::catalog(), function.opset);
  ir::Value* x = function.body.add_argument("x", ir::Type::tensor(DType::kF32, {1, 128}));
  const Tensor mapped(DType::kF32, {128, 128}, file, file->bytes().data());
  ir::Value* w = b.constant(ir::Constant::tensor(mapped), "w");
  function.body.outputs = {b.op("matmul", {{"x", x}, {"y", w}}, "y")};
  exec::SessionOptions options;
  options.files = {file};
  const exec::Session session(
      function, [&](const auto&) { return ir::clone(function).function; }, devices::platform("cpu"),
      options);
  const TensorMap inputs{{"x", noise({1, 128}, 1)}};
  EXPECT_NO_THROW((void)session.run(inputs));
  std::filesystem::resize_file(path, 0);
  const std::string error = error_of([&] { (void)session.run(inputs); });
  EXPECT_NE(error.find("truncated"), std::string::npos) << error;
  std::filesystem::remove(path);
}

// Handlers used to run on what a product's kernel had for a stack, and to write below it.
TEST(Session, computes_the_same_while_signals_arrive) {
  const TestProgram program("tensor<fp32, [2, 16, 1024]> x, tensor<fp32, [1, 1024, 64]> y", R"(
    tensor<fp32, [2, 16, 1024]> a = exp(x = x);
    tensor<fp32, [2, 16, 64]> p = matmul(x = a, y = y);
    tensor<fp32, [2, 16, 64]> q = tanh(x = p);
    tensor<fp32, [2, 64, 1024]> r = matmul(x = q, y = a, transpose_x = bool(true));
    tensor<fp32, [2, 64]> s = reduce_sum(x = r, axes = tensor<int32, [1]>([2]));
    tensor<fp32, [2, 16]> t = reduce_sum(x = a, axes = tensor<int32, [1]>([2]));)",
                            "q, s, t");
  TensorMap inputs{{"x", Tensor(DType::kF32, {2, 16, 1024})},
                   {"y", Tensor(DType::kF32, {1, 1024, 64})}};
  for (auto& [name, tensor] : inputs) {
    for (int64_t i = 0; i < tensor.count(); ++i) {
      tensor.set_number(i, static_cast<double>(i % 7) / 8 - 0.4);
    }
  }
  const auto session = program.session({.threads = 1});
  const exec::RunResult expected = session->run(inputs);
  static volatile std::sig_atomic_t caught;
  caught = 0;
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) { caught = caught + 1; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, &before);
  const itimerval often{{0, 50}, {0, 50}}, never{};
  setitimer(ITIMER_REAL, &often, nullptr);
  int64_t different = 0;
  for (int runs = 0; runs < 500 || (caught < 100 && runs < 100000); ++runs) {
    const exec::RunResult result = session->run(inputs);
    for (const auto& [name, output] : expected.outputs) {
      const Tensor &want = output.tensor, &got = result.outputs.at(name).tensor;
      const auto bytes = static_cast<size_t>(want.nbytes());
      different += std::memcmp(got.raw(), want.raw(), bytes) == 0 ? 0 : 1;
    }
  }
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(different, 0);
  EXPECT_GT(caught, 0);
}

TEST(Session, products_of_repeated_rows_and_columns_are_right) {
  const TestProgram program("tensor<fp32, [1, 6]> row, tensor<fp32, [6, 1]> column", R"(
    tensor<fp32, [9, 6]> rows = tile(x = row, reps = tensor<int32, [2]>([9, 1]));
    tensor<fp32, [6, 7]> columns = tile(x = column, reps = tensor<int32, [2]>([1, 7]));
    tensor<fp32, [9, 7]> y = matmul(x = rows, y = columns);
    tensor<fp32, [7, 9]> z = matmul(x = columns, y = rows, transpose_x = bool(true), transpose_y = bool(true));
    tensor<fp32, [3, 6]> w = const()[val = tensor<fp32, [3, 6]>([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [0, 1, 0, 1, 0, 1]])];
    tensor<fp32, [9, 3]> v = linear(x = rows, weight = w);)",
                            "y, z, v");
  const TensorMap inputs{{"row", noise({1, 6}, 1)}, {"column", noise({6, 1}, 2)}};
  const exec::RunResult result = program.session()->run(inputs);
  for (const auto& [name, want] : program.expected(inputs)) {
    expect_near(result.outputs.at(name).tensor, want.tensor, 1e-5, name);
  }
}

}  // namespace
}  // namespace mw::cpu
