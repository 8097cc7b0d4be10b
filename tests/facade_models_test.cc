// The façade on models of several kinds against what PyTorch and a greedy loop gave for them.
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/impl.h"
#include "base/tensor_file.h"
#include "facade_testing.h"
#include "lm/language_model.h"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

json read_json(const std::filesystem::path& path) { return json::parse(std::ifstream(path)); }

struct Row {
  int32_t best;
  float margin;  // to the second best
};
Row top_of(const float* row, int64_t count) {
  const int32_t best = argmax(row, count);
  float second = -INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    if (i != best) second = std::max(second, row[i]);
  }
  return {best, row[best] - second};
}

TEST(SharedModels, shakespeare_gives_the_reference_logits) {
  MW_SHARED_MODEL(path, "shakespeare-fp32.mlpackage");
  MW_SHARED_MODEL(reference_path, "shakespeare-reference.safetensors");
  const TensorMap reference = read_tensors(reference_path);
  const auto model = CoreMLModelWrapper::load(path);
  EXPECT_LT(largest_difference(model.forward(reference.at("input_ids")), reference.at("logits")),
            2e-4);
}

TEST(SharedModels, shakespeare_writes_the_reference_text) {
  MW_SHARED_MODEL(path, "shakespeare-fp32.mlpackage");
  MW_SHARED_MODEL(trajectories, "shakespeare-trajectories.json");
  MW_SHARED_MODEL(tokenizer, "shakespeare-tokenizer.json");
  const json greedy = read_json(trajectories)["greedy"];
  const auto model = CoreMLModelWrapper::load(path, {.tokenizer = tokenizer});
  const lm::LanguageModel lm(model.impl());
  lm::LanguageModel::Stream stream(lm);
  std::vector<int32_t> ids = model.tokenizer().encode(greedy["prompt"].get<std::string>());
  EXPECT_EQ(ids, greedy["prompt_ids"].get<std::vector<int32_t>>());
  std::vector<float> logits = stream.extend(ids);
  const auto expected = greedy["ids"].get<std::vector<int32_t>>();
  while (ids.size() < expected.size()) {
    ids.push_back(argmax(logits.data(), static_cast<int64_t>(logits.size())));
    logits = stream.extend({ids.back()});
  }
  EXPECT_EQ(ids, expected);
  EXPECT_EQ(model.tokenizer().decode(ids), greedy["text"].get<std::string>());
}

TEST(SharedModels, the_key_value_cache_gives_the_same_tokens) {
  MW_SHARED_MODEL(path, "shakespeare-stateful-ios18.mlpackage");
  MW_SHARED_MODEL(plain_path, "shakespeare-fp32.mlpackage");
  MW_SHARED_MODEL(trajectories, "shakespeare-trajectories.json");
  const auto ids = read_json(trajectories)["greedy"]["ids"].get<std::vector<int32_t>>();
  const Tensor plain = CoreMLModelWrapper::load(plain_path).forward(ids);
  const auto model = CoreMLModelWrapper::load(path);
  ASSERT_EQ(model.states().size(), 2U);
  const lm::LanguageModel lm(model.impl());
  EXPECT_TRUE(lm.has_cache());
  lm::LanguageModel::Stream stream(lm);
  int compared = 0;
  constexpr size_t kPrompt = 2;
  for (size_t i = kPrompt - 1; i + 1 < ids.size(); ++i) {
    const std::vector<int32_t> part = i + 1 == kPrompt
                                          ? std::vector<int32_t>(ids.begin(), ids.begin() + kPrompt)
                                          : std::vector<int32_t>{ids[i]};
    const std::vector<float> logits = stream.extend(part);
    const Row expected = top_of(plain.data<float>() + static_cast<int64_t>(i) * 1024, 1024);
    if (expected.margin <= 1e-2F) continue;
    ++compared;
    EXPECT_EQ(argmax(logits.data(), 1024), expected.best) << "token " << i;
  }
  EXPECT_GE(compared, 55);
}

TEST(SharedModels, states_are_read_written_and_reset) {
  MW_SHARED_MODEL(path, "shakespeare-stateful-ios18.mlpackage");
  const auto model = CoreMLModelWrapper::load(path);
  State state = model.make_state(), other = model.make_state();
  const TensorMap inputs = {{"input_ids", Tensor::from<int32_t>({5, 6}, {1, 2})},
                            {"causal_mask", Tensor(DType::kF16, {1, 1, 2, 2})}};
  const Tensor first = model.predict(inputs, state).at("logits");
  const std::vector<std::string> names = {"k_cache", "v_cache"};
  EXPECT_EQ(state.names(), names);
  EXPECT_FALSE(bit_equal(state.get("k_cache"), other.get("k_cache")));
  other.set("k_cache", state.get("k_cache"));
  EXPECT_TRUE(bit_equal(state.get("k_cache"), other.get("k_cache")));
  state.reset();
  EXPECT_TRUE(bit_equal(model.predict(inputs, state).at("logits"), first));
  error_of([&] { other.set("k_cache", Tensor(DType::kF16, {1})); }, ErrorCode::kInvalidArgument);
  error_of([&] { (void)other.get("nothing"); }, ErrorCode::kInvalidArgument);
  error_of([&] { (void)model.predict(inputs); }, ErrorCode::kInvalidArgument);
}

TEST(SharedModels, a_fixed_length_is_padded_and_cut_back) {
  MW_SHARED_MODEL(path, "shakespeare-fp16-ios18.mlpackage");
  MW_SHARED_MODEL(plain_path, "shakespeare-fp16.mlpackage");
  const std::vector<int32_t> ids = {3, 141, 59, 26, 535};
  const Tensor cut = CoreMLModelWrapper::load(path).forward(ids);
  const Tensor plain = CoreMLModelWrapper::load(plain_path).forward(ids);
  EXPECT_LT(largest_difference(cut, plain), 2e-2);
}

TEST(SharedModels, every_function_of_a_package_runs) {
  MW_SHARED_MODEL(path, "shakespeare-multifunction-ios18.mlpackage");
  const auto base = CoreMLModelWrapper::load(path);
  EXPECT_EQ(base.function(), "base");
  auto functions = base.functions();
  std::sort(functions.begin(), functions.end());
  const std::vector<std::string> expected = {"adapter_one", "adapter_two", "base"};
  EXPECT_EQ(functions, expected);
  const std::vector<int32_t> ids = {3, 141, 59, 26};
  std::vector<Tensor> logits;
  for (const std::string& function : functions) {
    const auto model = CoreMLModelWrapper::load(path, {.function = function});
    EXPECT_EQ(model.function(), function);
    logits.push_back(model.forward(ids));
  }
  EXPECT_GT(largest_difference(logits[0], logits[2]), 1e-2);
  EXPECT_GT(largest_difference(logits[1], logits[2]), 1e-2);
  EXPECT_TRUE(bit_equal(logits[2], base.forward(ids)));
}

TEST(SharedModels, compressed_weights_stay_close_to_the_plain_model) {
  MW_SHARED_MODEL(plain_path, "shakespeare-fp32.mlpackage");
  const std::vector<int32_t> ids = {3, 141, 59, 26, 535, 8, 97};
  const Tensor plain = CoreMLModelWrapper::load(plain_path).forward(ids);
  // The largest change of a logit that each scheme makes, with room: they range over 30 or so.
  const std::pair<const char*, double> kSchemes[] = {
      {"shakespeare-fp16.mlpackage", 0.1},
      {"shakespeare-int8.mlpackage", 1},
      {"shakespeare-lut4-ios16.mlpackage", 6},
      {"shakespeare-lut3-grouped-ios18.mlpackage", 12},
      {"shakespeare-int4-block32-ios18.mlpackage", 6},
      {"shakespeare-sparse-ios18.mlpackage", 12}};
  for (const auto& [name, limit] : kSchemes) {
    const auto path = shared_model(name);
    ASSERT_TRUE(path) << name;
    EXPECT_LT(largest_difference(CoreMLModelWrapper::load(*path).forward(ids), plain), limit)
        << name;
  }
}

TEST(SharedModels, mini_lm_encodes_sentences_as_the_reference) {
  MW_SHARED_MODEL(path, "minilm/minilm-fp16-flex.mlpackage");
  MW_SHARED_MODEL(tensors, "minilm/minilm-reference.safetensors");
  MW_SHARED_MODEL(facts_path, "minilm/minilm-reference.json");
  const json facts = read_json(facts_path);
  const TensorMap reference = read_tensors(tensors);
  const auto model = CoreMLModelWrapper::load(path);
  for (size_t i = 0; i < facts["sentences"].size(); ++i) {
    EXPECT_EQ(model.tokenizer().encode(facts["sentences"][i].get<std::string>()),
              facts["ids"][i].get<std::vector<int32_t>>());
  }
  const TensorMap outputs = model.predict({{"input_ids", reference.at("input_ids")},
                                           {"attention_mask", reference.at("attention_mask")}});
  const Tensor got = outputs.at("embedding"), want = reference.at("embedding");
  EXPECT_LT(largest_difference(got, want), 1e-4);
  for (int64_t row = 0; row < want.dim(0); ++row) {
    double dot = 0, a = 0, b = 0;
    for (int64_t i = row * want.dim(1); i < (row + 1) * want.dim(1); ++i) {
      dot += got.number_at(i) * want.number_at(i);
      a += got.number_at(i) * got.number_at(i);
      b += want.number_at(i) * want.number_at(i);
    }
    EXPECT_GE(dot / std::sqrt(a * b), 0.99999) << "sentence " << row;
  }
}

TEST(SharedModels, the_convolutional_classifier_gives_the_reference_logits) {
  MW_SHARED_MODEL(path, "digits-cnn-fp32.mlpackage");
  MW_SHARED_MODEL(tensors, "digits-cnn-reference.safetensors");
  const TensorMap reference = read_tensors(tensors);
  const TensorMap outputs =
      CoreMLModelWrapper::load(path).predict({{"image", reference.at("image")}});
  EXPECT_LT(largest_difference(outputs.at("logits"), reference.at("logits")), 1e-4);
}

TEST(SharedModels, the_recurrent_classifier_gives_the_reference_logits) {
  MW_SHARED_MODEL(path, "lstm-fp32.mlpackage");
  MW_SHARED_MODEL(tensors, "lstm-reference.safetensors");
  const TensorMap reference = read_tensors(tensors);
  const TensorMap outputs = CoreMLModelWrapper::load(path).predict({{"x", reference.at("x")}});
  EXPECT_LT(largest_difference(outputs.at("logits"), reference.at("logits")), 1e-4);
}

}  // namespace
}  // namespace mw
