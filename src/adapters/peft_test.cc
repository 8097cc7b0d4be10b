// Adapters of Hugging Face PEFT: names, ranks and scales taken over, and what is refused.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "adapters/file.h"
#include "adapters/module_names.h"
#include "adapters/testing.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "base/testing.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;
using ir::Value;
using Json = nlohmann::json;

// Weights as converters name them.
struct Model : Built {
  Model() {
    Value* x = input("x", {2, 4, 8});
    Value* q = b.op("linear", {{"x", x}, {"weight", weight(kQ, {6, 8})}});
    Value* k = b.op("linear", {{"x", x}, {"weight", weight(kK, {6, 8})}});
    Value* up = b.op("linear", {{"x", b.op("add", {{"x", q}, {"y", k}})},
                                {"weight", weight("model_layers_1_mlp_up_weight", {5, 6})}});
    returns({up});
  }
  static constexpr const char* kQ = "model_layers_0_self_attn_q_proj_weight_to_fp16";
  static constexpr const char* kK = "model_layers_0_self_attn_k_proj_weight_palettized";
};

class Peft : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = {{"peft_type", "LORA"},
               {"task_type", "CAUSAL_LM"},
               {"r", 2},
               {"lora_alpha", 8},
               {"lora_dropout", 0.05},
               {"bias", "none"},
               {"fan_in_fan_out", false},
               {"init_lora_weights", true},
               {"megatron_core", "megatron.core"},
               {"use_dora", false},
               {"modules_to_save", nullptr},
               {"rank_pattern", Json::object()},
               {"target_modules", {"q_proj", "up"}}};
    put("base_model.model.model.layers.0.self_attn.q_proj", 2, 8, 6);
    put("base_model.model.model.layers.1.mlp.up", 2, 6, 5);
  }

  void put(const std::string& module, int64_t rank, int64_t inputs, int64_t outputs) {
    tensors_[module + ".lora_A.weight"] = random({rank, inputs}, 1);
    tensors_[module + ".lora_B.weight"] = random({outputs, rank}, 2);
  }
  void save() const {
    write_safetensors(folder_ / "adapter_model.safetensors", tensors_, {{"format", "pt"}});
    std::ofstream(folder_ / "adapter_config.json") << config_.dump();
  }
  [[nodiscard]] AdapterSet read() const {
    save();
    return read_adapters(folder_, model_.function, ops::catalog());
  }
  [[nodiscard]] std::string refusal() const {
    try {
      (void)read();
    } catch (const Error& e) {
      EXPECT_NE(e.code(), ErrorCode::kInternal) << e.what();
      return e.what();
    }
    return "";
  }
  void told(const std::string& part) const {
    const std::string got = refusal();
    EXPECT_NE(got.find(part), std::string::npos) << got << "\nhas no: " << part;
    EXPECT_TRUE(got.starts_with(folder_.string())) << got;
  }
  // The sentence about one changed setting.
  void told_of(const char* key, const Json& value, const std::string& part) {
    const Json before = config_;
    config_[key] = value;
    told(part);
    config_ = before;
  }

  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
  Json config_;
  TensorMap tensors_;
  Model model_;
};

TEST_F(Peft, modules_are_found_by_the_names_of_weights) {
  const AdapterSet set = read();
  ASSERT_EQ(set.adapters.size(), 2U);
  EXPECT_EQ(set.adapters[0].weight, Model::kQ);
  EXPECT_EQ(set.adapters[1].weight, "model_layers_1_mlp_up_weight");
  EXPECT_EQ(set.adapters[0].scale, 4);
  EXPECT_EQ(describe(set), "rank 2, alpha 8");
  EXPECT_TRUE(bit_equal(set.adapters[1].b,
                        tensors_.at("base_model.model.model.layers.1.mlp.up.lora_B.weight")));
}

TEST_F(Peft, the_file_is_taken_as_its_folder_is) {
  save();
  const AdapterSet set =
      read_adapters(folder_ / "adapter_model.safetensors", model_.function, ops::catalog());
  EXPECT_EQ(set.adapters.size(), 2U);
}

TEST_F(Peft, a_wrapper_on_one_side_is_seen_through) {
  for (const char* prefix : {"base_model.model.", "base_model.model.wrapper.model.", ""}) {
    tensors_.clear();
    put(std::string(prefix) + "layers.0.self_attn.k_proj", 2, 8, 6);
    const AdapterSet set = read();
    ASSERT_EQ(set.adapters.size(), 1U) << prefix;
    EXPECT_EQ(set.adapters[0].weight, Model::kK);
  }
  // A layer's number is no wrapper's name.
  tensors_.clear();
  put("base_model.model.self_attn.k_proj", 2, 8, 6);
  told("'self_attn_k_proj' is like no name there");
  tensors_.clear();
  put("base_model.model.model.layers.7.self_attn.k_proj", 2, 8, 6);
  told("'model_layers_7_self_attn_k_proj' is like no name there");
}

TEST_F(Peft, factors_may_be_halves_and_convolutions_of_width_one) {
  for (auto& [name, tensor] : tensors_) {
    tensor = tensor.to(name.find("lora_A") == std::string::npos ? DType::kF16 : DType::kBF16);
    tensor = tensor.reshaped({tensor.dim(0), tensor.dim(1), 1, 1});
  }
  const AdapterSet set = read();
  EXPECT_EQ(set.adapters[0].a.dtype(), DType::kF32);
  EXPECT_EQ(set.adapters[0].a.shape(), (Shape{2, 8}));
}

TEST_F(Peft, ranks_and_alphas_may_differ_by_module) {
  config_["rank_pattern"] = {{"layers.1.mlp.up", 3}};
  config_["alpha_pattern"] = {{"q_proj", 1}, {"^model.layers.1.mlp.up", 12.5}};
  put("base_model.model.model.layers.1.mlp.up", 3, 6, 5);
  const AdapterSet set = read();
  EXPECT_EQ(set.adapters[0].scale, 0.5);
  EXPECT_DOUBLE_EQ(set.adapters[1].scale, 12.5 / 3);
  EXPECT_EQ(set.adapters[1].a.shape(), (Shape{3, 6}));
  config_["use_rslora"] = true;
  EXPECT_DOUBLE_EQ(read().adapters[1].scale, 12.5 / std::sqrt(3.0));
  // "up" is the end of a module's name, "p" is not.
  config_["rank_pattern"] = {{"p", 3}};
  told("expected floats of shape [2, 6], got fp32 [3, 6]");
}

TEST_F(Peft, settings_that_would_change_the_result_are_refused_by_name) {
  told_of("peft_type", "IA3", "'peft_type': expected LORA, got \"IA3\"");
  told_of("peft_type", nullptr, "'peft_type': expected LORA, got none");
  told_of("use_dora", true, "expected a magnitude, as 'use_dora' says, got none");
  told_of("modules_to_save", {"lm_head"}, "'modules_to_save': modules trained as a whole");
  told_of("bias", "lora_only", "'bias': expected none, got \"lora_only\"");
  told_of("lora_bias", true, "'lora_bias'");
  told_of("layer_replication", {{0, 4}, {2, 5}}, "'layer_replication'");
  told_of("trainable_token_indices", {1, 2}, "'trainable_token_indices'");
  told_of("init_lora_weights", "pissa_niter_4", "\"pissa_niter_4\" changes the weights");
  told_of("a_new_setting", "on", "'a_new_setting': \"on\": what this setting means is not known");
  config_["a_new_setting"] = false;
  config_["init_lora_weights"] = "gaussian";
  EXPECT_EQ(refusal(), "");
}

TEST_F(Peft, magnitudes_of_dora_are_taken) {
  config_["use_dora"] = true;
  tensors_["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] =
      random({6}, 3);
  tensors_["base_model.model.model.layers.1.mlp.up.lora_magnitude_vector.weight"] =
      random({1, 5, 1, 1}, 4);
  const AdapterSet set = read();
  EXPECT_TRUE(bit_equal(set.adapters[0].magnitude, random({6}, 3)));
  EXPECT_EQ(set.adapters[1].magnitude.shape(), Shape{5});
  EXPECT_EQ(describe(set), "rank 2, alpha 8, DoRA");
}

TEST_F(Peft, numbers_are_ranged) {
  for (const Json& rank : {Json(2.5), Json(0), Json(-1), Json(65537), Json("2"), Json(1e300),
                           Json(nullptr), Json(uint64_t{1} << 63), Json::array({2})}) {
    told_of("r", rank, "'r': expected a whole number from 1 to 65536, got ");
  }
  for (const Json& alpha : {Json(0), Json(-4), Json("8"), Json(1e300), Json(true)}) {
    told_of("lora_alpha", alpha, "'lora_alpha': expected a number above 0, got ");
  }
  told_of("use_rslora", 1, "'use_rslora': expected true or false, got 1");
  told_of("rank_pattern", {{".*up", 3}}, "regular expressions are not taken");
  told_of("rank_pattern", {{"up", 2.5}}, "'rank_pattern': expected a whole number");
  told_of("alpha_pattern", {2}, "'alpha_pattern': expected names and numbers, got [2]");
  told_of("r", 3, "lora_A': expected floats of shape [3, 8], got fp32 [2, 8]");
}

TEST_F(Peft, tensors_that_are_no_pair_of_factors_are_refused) {
  const TensorMap good = tensors_;
  const std::string up = "base_model.model.model.layers.1.mlp.up";
  const auto with = [&](const std::string& name, const Tensor& tensor, const std::string& part) {
    tensors_ = good;
    tensors_[name] = tensor;
    told(part);
  };
  with(up + ".lora_magnitude_vector", random({5}, 3), "expected no magnitude, as 'use_dora' says");
  with("base_model.model.embed.lora_embedding_A", random({2, 5}, 3), "adapters of embeddings");
  with("base_model.model.lm_head.weight", random({5, 6}, 3), "expected a factor");
  with(up + ".lora_B.bias", random({5}, 3), "biases are not taken");
  with(up + ".lora_A.second.weight", random({2, 6}, 3), "has this factor twice");
  with("base_model.model.a.lora_A.weight", random({2, 6}, 3), "expected both factors, got lora_A");
  with(up + ".lora_A.weight", Tensor(DType::kI32, {2, 6}), "expected floats of shape [2, 6]");
  Tensor spoilt = good.at(up + ".lora_A.weight").clone();
  spoilt.set_number(3, NAN);
  with(up + ".lora_A.weight", spoilt, "lora_A': expected finite numbers, got nan");
  tensors_.clear();
  told("it holds no factors");
}

TEST_F(Peft, files_that_are_missing_or_broken_are_told_of) {
  save();
  const auto reads = [&] {
    try {
      (void)read_adapters(folder_, model_.function, ops::catalog());
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const char* text : {"", "{", "[]", "{\"peft_type\": \"LORA\", \"r\": NaN}"}) {
    std::ofstream(folder_ / "adapter_config.json") << text;
    EXPECT_NE(reads().find("expected a JSON object"), std::string::npos) << reads();
  }
  std::ofstream(folder_ / "adapter_config.json") << std::string(2 << 20, ' ');
  EXPECT_NE(reads().find("expected at most 1048576 bytes"), std::string::npos) << reads();
  fs::remove(folder_ / "adapter_config.json");
  EXPECT_NE(reads().find("expected adapter_config.json in an adapter's folder"), std::string::npos);
  save();
  fs::rename(folder_ / "adapter_model.safetensors", folder_ / "adapter_model.bin");
  EXPECT_NE(reads().find("a pickle; save it as safetensors"), std::string::npos) << reads();
}

TEST_F(Peft, what_is_written_is_read_back) {
  const AdapterSet set = adapters_of(model_.function, 2);
  const fs::path out = folder_ / "out";
  write_adapters(out, set, AdapterFormat::kPeft);
  const AdapterSet back = read_adapters(out, model_.function, ops::catalog());
  ASSERT_EQ(back.adapters.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back.adapters[i].weight, set.adapters[i].weight);
    EXPECT_EQ(back.adapters[i].scale, set.adapters[i].scale);
    EXPECT_TRUE(bit_equal(back.adapters[i].a, set.adapters[i].a));
    EXPECT_TRUE(bit_equal(back.adapters[i].b, set.adapters[i].b));
  }
}

TEST_F(Peft, modules_are_written_by_the_names_of_the_source_model) {
  const AdapterSet set = adapters_of(model_.function, 2);
  TensorMap source;
  for (const char* module : {"layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj",
                             "layers.1.mlp.up", "layers.1.mlp.down"}) {
    source[std::string("model.") + module + ".weight"] = Tensor(DType::kF16, {1, 1});
  }
  write_safetensors(folder_ / "source.safetensors", source);
  const fs::path out = folder_ / "out";
  write_adapters(out, set, AdapterFormat::kPeft, folder_ / "source.safetensors");
  const TensorMap written = read_tensors(out / "adapter_model.safetensors");
  EXPECT_TRUE(written.contains("base_model.model.model.layers.1.mlp.up.lora_A.weight"));
  EXPECT_EQ(written.size(), 6U);
  EXPECT_EQ(read_adapters(out, model_.function, ops::catalog()).adapters.size(), 3U);
  source.erase("model.layers.1.mlp.up.weight");
  write_safetensors(folder_ / "source.safetensors", source);
  EXPECT_THROW(write_adapters(out, set, AdapterFormat::kPeft, folder_ / "source.safetensors"),
               Error);
}

TEST(ModuleNames, of_weights_lose_what_converters_append) {
  EXPECT_EQ(module_of_weight("model_layers_0_q_proj_weight_to_fp16_palettized"),
            "model_layers_0_q_proj");
  EXPECT_EQ(module_of_weight("a_weight"), "a");
  EXPECT_EQ(module_of_weight("weights_net_weight"), "weights_net");
  EXPECT_EQ(module_of_weight("layers.0.w1.weight"), "layers_0_w1");
  EXPECT_EQ(module_of_weight("const_3"), "const_3");
}

TEST(ModuleNames, that_two_prefixes_would_fit_are_refused) {
  const NameMatches matches = match_names({"fc"}, {{"left_fc", 0}, {"right_fc", 1}});
  EXPECT_EQ(matches.problem, "'fc' may be 'left_fc' or 'right_fc'");
  EXPECT_EQ(match_names({"fc"}, {{"left_fc", 0}, {"fc", 1}}).places, std::vector<size_t>{1});
  EXPECT_EQ(match_names({"fc", "a"}, {{"x_fc", 0}, {"x_a", 1}, {"y_fc", 2}}).places,
            (std::vector<size_t>{0, 1}));
  EXPECT_EQ(match_names({"a"}, {{"a", 0}, {"a", 1}}).problem, "'a' is the name of 2 of them");
}

}  // namespace
}  // namespace mw::adapters
