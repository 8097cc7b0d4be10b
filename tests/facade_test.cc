// The façade on the model in examples/: loading, describing, predicting, threads, and its errors.
#include <thread>

#include "facade_testing.h"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

const CoreMLModelWrapper& model() {
  static const auto loaded = CoreMLModelWrapper::load(example("model.mlpackage"));
  return loaded;
}

Tensor some_ids(int64_t batch, int64_t time) {
  Tensor ids(DType::kI32, {batch, time});
  for (int64_t i = 0; i < ids.count(); ++i) ids.set_integer(i, (i * 37 + 11) % 1024);
  return ids;
}

void expect_error(const std::function<void()>& body, ErrorCode code, const std::string& part) {
  const std::string text = error_of(body, code);
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Facade, describes_inputs_and_outputs) {
  const auto inputs = model().inputs();
  ASSERT_EQ(inputs.size(), 1U);
  EXPECT_EQ(inputs[0].name, "input_ids");
  EXPECT_EQ(inputs[0].kind, "MultiArray");
  EXPECT_EQ(inputs[0].dtype, DType::kI32);
  const std::vector<std::pair<int64_t, int64_t>> ranges = {{1, 64}, {1, 128}};
  EXPECT_EQ(inputs[0].ranges, ranges);
  ASSERT_EQ(model().outputs().size(), 1U);
  EXPECT_EQ(model().outputs()[0].name, "logits");
  EXPECT_TRUE(model().states().empty());
  EXPECT_EQ(model().functions(), std::vector<std::string>{model().function()});
}

TEST(Facade, forward_gives_logits_for_every_token) {
  const Tensor logits = model().forward(model().tokenizer().encode("To be, or not"));
  EXPECT_EQ(logits.dtype(), DType::kF32);
  ASSERT_EQ(logits.rank(), 3);
  EXPECT_EQ(logits.dim(0), 1);
  EXPECT_EQ(logits.dim(2), 1024);
  for (const float x : logits.values<float>()) ASSERT_TRUE(std::isfinite(x));
}

TEST(Facade, predict_and_forward_agree) {
  const Tensor ids = some_ids(2, 9);
  EXPECT_TRUE(bit_equal(model().predict({{"input_ids", ids}}).at("logits"), model().forward(ids)));
}

TEST(Facade, a_wider_integer_is_taken_when_the_values_fit) {
  const Tensor ids = some_ids(1, 5);
  const TensorMap wide = model().predict({{"input_ids", ids.to(DType::kI64)}});
  EXPECT_TRUE(bit_equal(wide.at("logits"), model().forward(ids)));
}

TEST(Facade, whole_floats_are_taken_for_integers) {
  const Tensor ids = some_ids(2, 5), expected = model().forward(ids);
  for (const DType dtype : {DType::kF16, DType::kF32, DType::kF64}) {
    EXPECT_TRUE(bit_equal(model().predict({{"input_ids", ids.to(dtype)}}).at("logits"), expected))
        << name_of(dtype);
  }
  EXPECT_TRUE(bit_equal(model().forward(ids.to(DType::kF32)), expected));
}

TEST(Facade, earlier_positions_do_not_depend_on_later_ones) {
  const Tensor all = model().forward(some_ids(1, 12)), part = model().forward(some_ids(1, 5));
  for (int64_t i = 0; i < part.count(); ++i) {
    ASSERT_NEAR(all.number_at(i), part.number_at(i), 1e-4) << i;
  }
}

TEST(Facade, the_plan_agrees_with_the_reference_implementations) {
  const auto naive = CoreMLModelWrapper::load(example("model.mlpackage"), {.naive = true});
  const auto exact =
      CoreMLModelWrapper::load(example("model.mlpackage"), {.compute = Compute::kFp64});
  const Tensor ids = some_ids(1, 6), logits = model().forward(ids);
  EXPECT_LT(largest_difference(logits, naive.forward(ids)), 1e-4);
  EXPECT_LT(largest_difference(logits, exact.forward(ids)), 1e-4);
}

TEST(Facade, taps_come_out_beside_the_outputs) {
  const TensorMap plain = model().predict({{"input_ids", some_ids(1, 4)}});
  const TensorMap tapped = model().predict({{"input_ids", some_ids(1, 4)}}, nullptr, {"*"});
  EXPECT_GT(tapped.size(), plain.size() + 10);
  EXPECT_LT(largest_difference(tapped.at("logits"), plain.at("logits")), 1e-4);
}

TEST(Facade, the_tokenizer_beside_the_model_is_found) {
  const Tokenizer& tokenizer = model().tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 1024);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ROMEO:\nBut soft!")), "ROMEO:\nBut soft!");
}

TEST(Facade, four_threads_get_the_results_of_one) {
  constexpr int kThreads = 4, kRounds = 6;
  std::vector<Tensor> expected;
  for (int64_t time = 1; time <= kRounds; ++time)
    expected.push_back(model().forward(some_ids(2, time)));
  std::vector<double> worst(kThreads, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        const int time = 1 + (round + t) % kRounds;
        const Tensor got = model().forward(some_ids(2, time));
        worst[static_cast<size_t>(t)] =
            std::max(worst[static_cast<size_t>(t)],
                     largest_difference(got, expected[static_cast<size_t>(time - 1)]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const double difference : worst) EXPECT_LT(difference, 1e-5);
}

TEST(Facade, copies_share_the_model_and_outlive_it) {
  std::optional<CoreMLModelWrapper> first = CoreMLModelWrapper::load(example("student.mlpackage"));
  const CoreMLModelWrapper second = *first;
  first.reset();
  EXPECT_EQ(second.forward({1, 2, 3}).dim(1), 3);
}

TEST(FacadeErrors, name_what_is_wrong_with_an_input) {
  const auto predict = [](const TensorMap& inputs) {
    return [inputs] { (void)model().predict(inputs); };
  };
  constexpr auto kCode = ErrorCode::kInvalidArgument;
  expect_error(predict({}), kCode, "input 'input_ids': expected a tensor, got none");
  expect_error(predict({{"input_ids", some_ids(1, 4)}, {"x", some_ids(1, 4)}}), kCode,
               "input 'x': unknown; the model takes input_ids");
  expect_error(predict({{"input_ids", some_ids(1, 129)}}), kCode,
               "input 'input_ids': expected shape [1..64, 1..128], got [1, 129]");
  expect_error(predict({{"input_ids", some_ids(1, 4).reshaped({4})}}), kCode, "got [4]");
  expect_error(predict({{"input_ids", Tensor::from<int64_t>({1, int64_t{1} << 40}, {1, 2})}}),
               kCode, "input 'input_ids': expected int32, got the value 1099511627776 at [0, 1]");
}

TEST(FacadeErrors, name_the_first_number_that_is_no_integer) {
  constexpr auto kCode = ErrorCode::kInvalidArgument;
  const auto expect = [](const Tensor& ids, const std::string& got) {
    expect_error(
        [&] {
          (void)model().predict({{"input_ids", ids}});
        },
        kCode, "input 'input_ids': expected int32, got " + got + "; round it first");
  };
  expect(Tensor::from<float>({1, 2, 1.5f, 0.5f}, {2, 2}), "fp32 with the value 1.5 at [1, 0]");
  expect(Tensor::from<float>({1, std::nanf("")}, {1, 2}), "fp32 with the value nan at [0, 1]");
  expect(Tensor::from<double>({-HUGE_VAL}, {1, 1}), "fp64 with the value -inf at [0, 0]");
  expect(Tensor::from<double>({2147483648.0}, {1, 1}), "fp64 with the value 2147483648 at [0, 0]");
  expect(Tensor::from<float>({0.5f}, {1, 1}).to(DType::kF16), "fp16 with the value 0.5 at [0, 0]");
  expect_error(
      [] {
        (void)model().forward(Tensor::from<float>({1, 1.5f}, {2}));
      },
      kCode, "input 'input_ids': expected int32, got fp32 with the value 1.5 at [1]");
  expect_error([] { (void)model().forward(Tensor::from<int64_t>({int64_t{1} << 32}, {1})); }, kCode,
               "got the value 4294967296 at [0]");
}

TEST(FacadeErrors, forward_names_the_limits) {
  constexpr auto kCode = ErrorCode::kInvalidArgument;
  expect_error([] { (void)model().forward(std::vector<int32_t>{}); }, kCode, "at least one token");
  expect_error([] { (void)model().forward(some_ids(1, 200)); }, kCode,
               "at most 128 tokens, got 200");
  expect_error([] { (void)model().forward(some_ids(65, 2)); }, kCode, "at most 64, got 65");
}

TEST(FacadeErrors, loading_names_the_file_or_the_function) {
  expect_error([] { (void)CoreMLModelWrapper::load("no/such.mlpackage"); }, ErrorCode::kIo,
               "no/such.mlpackage");
  expect_error(
      [] { (void)CoreMLModelWrapper::load(example("model.mlpackage"), {.function = "other"}); },
      ErrorCode::kInvalidArgument, "function 'other': expected one of ");
}

TEST(FacadeErrors, a_missing_tokenizer_says_where_it_was_looked_for) {
  const auto alone =
      CoreMLModelWrapper::load(example("model.mlpackage"), {.tokenizer = "no/such/folder"});
  expect_error([&] { (void)alone.tokenizer(); }, ErrorCode::kIo, "no/such/folder");
  expect_error([&] { (void)alone.tokenizer(); }, ErrorCode::kIo, "no/such/folder");
}

}  // namespace
}  // namespace mw
