// Adapters of mlx-lm: factors that lie the other way round, names, and what is refused.
#include "adapters/mlx.h"

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

struct Model : Built {
  Model() {
    Value* x = input("x", {2, 4, 8});
    Value* q = b.op("linear", {{"x", x}, {"weight", weight(kQ, {6, 8})}}, "query");
    Value* k = b.op("linear", {{"x", x}, {"weight", weight(kK, {6, 8})}});
    Value* up =
        b.op("linear", {{"x", b.op("add", {{"x", q}, {"y", k}})}, {"weight", weight(kUp, {5, 6})}});
    returns({up});
  }
  static constexpr const char* kQ = "model_layers_0_self_attn_q_proj_weight_to_fp16";
  static constexpr const char* kK = "model_layers_0_self_attn_k_proj_weight_palettized";
  static constexpr const char* kUp = "model_layers_1_mlp_up_proj_weight";
};

class Mlx : public ::testing::Test {
 protected:
  void SetUp() override {
    // As mlx-lm writes it: all settings of the training.
    config_ = {{"model", "mlx-community/some"},
               {"fine_tune_type", "lora"},
               {"num_layers", 16},
               {"iters", 100},
               {"lora_parameters", {{"rank", 2}, {"scale", 20.0}, {"dropout", 0.0}}}};
    put("model.layers.0.self_attn.q_proj", 8, 6);
    put("model.layers.1.mlp.up_proj", 6, 5);
  }
  void put(const std::string& module, int64_t inputs, int64_t outputs, int64_t rank = 2) {
    tensors_[module + ".lora_a"] = random({inputs, rank}, 1);
    tensors_[module + ".lora_b"] = random({rank, outputs}, 2);
  }
  void save() const {
    write_safetensors(folder_ / "adapters.safetensors", tensors_, {{"format", "mlx"}});
    std::ofstream(folder_ / "adapter_config.json") << config_.dump();
  }
  [[nodiscard]] AdapterSet read(const fs::path& names = {}) const {
    save();
    return read_adapters(folder_, model_.function, ops::catalog(), names);
  }
  void told(const std::string& part, const fs::path& names = {}) const {
    std::string got;
    try {
      (void)read(names);
    } catch (const Error& e) {
      EXPECT_NE(e.code(), ErrorCode::kInternal) << e.what();
      got = e.what();
    }
    EXPECT_NE(got.find(part), std::string::npos) << got << "\nhas no: " << part;
    EXPECT_TRUE(got.starts_with(folder_.string())) << got;
  }
  void told_of(const char* key, const Json& value, const std::string& part) {
    const Json before = config_;
    config_[key] = value;
    told(part);
    config_ = before;
  }
  [[nodiscard]] fs::path write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
  Json config_;
  TensorMap tensors_;
  Model model_;
};

TEST_F(Mlx, factors_lie_the_other_way_round) {
  const AdapterSet set = read();
  ASSERT_EQ(set.adapters.size(), 2U);
  const Adapter& q = set.adapters[0];
  EXPECT_EQ(q.weight, Model::kQ);
  EXPECT_EQ(set.adapters[1].weight, Model::kUp);
  EXPECT_EQ(q.scale, 20);
  EXPECT_EQ(describe(set), "rank 2, alpha 40");
  const Tensor& a = tensors_.at("model.layers.0.self_attn.q_proj.lora_a");
  const Tensor& b = tensors_.at("model.layers.0.self_attn.q_proj.lora_b");
  ASSERT_EQ(q.a.shape(), (Shape{2, 8}));
  ASSERT_EQ(q.b.shape(), (Shape{6, 2}));
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(q.a.number_at(r * 8 + i), a.number_at(i * 2 + r));
    for (int64_t o = 0; o < 6; ++o) EXPECT_EQ(q.b.number_at(o * 2 + r), b.number_at(r * 6 + o));
  }
}

TEST_F(Mlx, a_checkpoint_in_the_folder_is_taken_as_the_folder_is) {
  save();
  fs::rename(folder_ / "adapters.safetensors", folder_ / "0000100_adapters.safetensors");
  const AdapterSet set =
      read_adapters(folder_ / "0000100_adapters.safetensors", model_.function, ops::catalog());
  EXPECT_EQ(set.adapters.size(), 2U);
}

TEST_F(Mlx, magnitudes_are_read_where_the_configuration_says_dora) {
  tensors_["model.layers.0.self_attn.q_proj.m"] = random({6}, 3);
  tensors_["model.layers.1.mlp.up_proj.m"] = random({5}, 4);
  told("'model.layers.0.self_attn.q_proj': expected no m, as the configuration says, got one");
  config_["fine_tune_type"] = "dora";
  EXPECT_TRUE(bit_equal(read().adapters[1].magnitude, random({5}, 4)));
  EXPECT_EQ(describe(read()), "rank 2, alpha 40, DoRA");
  tensors_.erase("model.layers.1.mlp.up_proj.m");
  told("'model.layers.1.mlp.up_proj': expected an m, as the configuration says, got none");
}

TEST_F(Mlx, what_is_no_such_adapter_is_refused_by_name) {
  told_of("fine_tune_type", "full",
          "'fine_tune_type': expected lora or dora, got \"full\": weights");
  told_of("lora_parameters", nullptr, "'lora_parameters': expected rank and scale, got none");
  told_of("lora_parameters", {{"rank", 2}, {"alpha", 16}},
          "'scale': expected a number above 0, got none");
  told_of("lora_parameters", {{"rank", 0}, {"scale", 1}}, "'rank': expected a whole number from 1");
  told_of("lora_parameters", {{"rank", 3}, {"scale", 1}},
          "lora_A': expected floats of shape [3, 8], got fp32 [2, 8]; it belongs to another model");
  const TensorMap good = tensors_;
  tensors_["model.layers.0.mlp.experts.lora_a"] = random({4, 2, 8}, 5);
  told("expected a matrix, got shape [4, 2, 8]; adapters of experts are not taken");
  tensors_ = good;
  tensors_["model.norm.weight"] = random({8}, 5);
  told("tensor 'model.norm.weight': expected a factor of a module, lora_a or lora_b");
  tensors_ = good;
  tensors_.erase("model.layers.1.mlp.up_proj.lora_b");
  told("module 'model.layers.1.mlp.up_proj': expected both factors, got lora_a alone");
  tensors_ = good;
  put("model.layers.7.mlp.up_proj", 6, 5);
  told("'model_layers_7_mlp_up_proj' is like no name there");
  tensors_.clear();
  told("it holds no factors");
}

TEST_F(Mlx, a_map_says_which_module_has_which_weight) {
  tensors_.clear();
  put("decoder.first", 8, 6);
  put("decoder.last", 6, 5);
  told("'decoder_first' is like no name there");
  for (const fs::path& map :
       {write("map.txt", "# by hand\ndecoder.first = " + std::string(Model::kK) +
                             "\n\ndecoder.last=" + Model::kUp + "  # the last\n"),
        write("map.json",
              Json{{"decoder.first", Model::kK}, {"decoder.last", Model::kUp}}.dump())}) {
    const AdapterSet set = read(map);
    ASSERT_EQ(set.adapters.size(), 2U);
    EXPECT_EQ(set.adapters[0].weight, Model::kK);
    EXPECT_EQ(set.adapters[1].weight, Model::kUp);
  }
  // An op that takes the weight stands for it; what is not in the map goes by its name.
  put("model.layers.1.mlp.up_proj", 6, 5);
  tensors_.erase("decoder.last.lora_a");
  tensors_.erase("decoder.last.lora_b");
  EXPECT_EQ(read(write("op.txt", "decoder.first = query")).adapters[0].weight, Model::kQ);
  told("module 'decoder.first': expected a weight of the model, got 'absent'",
       write("absent.txt", "decoder.first = absent"));
  told("modules 'decoder.first' and 'model.layers.1.mlp.up_proj' are one weight of the model",
       write("twice.txt", std::string("decoder.first = ") + Model::kUp));
  told("broken.txt: line 1: expected MODULE = WEIGHT, got 'decoder.first'",
       write("broken.txt", "decoder.first"));
  told("module 'decoder.first': expected one weight, got two",
       write("two.txt", "decoder.first = query\ndecoder.first = query"));
  told("module 'a': expected the name of a weight, got number", write("n.json", "{\"a\": 1}"));
}

TEST_F(Mlx, what_is_written_is_read_back_as_mlx_lm_names_it) {
  AdapterSet set = adapters_of(model_.function, 2);
  const fs::path out = folder_ / "out";
  write_adapters(out, set, AdapterFormat::kMlx);
  EXPECT_EQ(format_at(out), AdapterFormat::kMlx);
  EXPECT_EQ(format_for(out), AdapterFormat::kMlx);
  const TensorMap written = read_tensors(out / "adapters.safetensors");
  EXPECT_EQ(written.size(), 6U);
  EXPECT_EQ(written.at("model.layers.1.mlp.up_proj.lora_a").shape(), (Shape{6, 2}));
  EXPECT_EQ(written.at("model.layers.1.mlp.up_proj.lora_b").shape(), (Shape{2, 5}));
  std::ifstream file(out / "adapter_config.json");
  const Json config = Json::parse(file);
  EXPECT_EQ(config["fine_tune_type"], "lora");
  EXPECT_EQ(config["num_layers"], -1);
  EXPECT_EQ(config["lora_parameters"]["rank"], 2);
  EXPECT_EQ(config["lora_parameters"]["scale"], 1.5);
  EXPECT_EQ(config["lora_parameters"]["keys"],
            (Json{"mlp.up_proj", "self_attn.k_proj", "self_attn.q_proj"}));
  for (Adapter& adapter : set.adapters) adapter.magnitude = random({adapter.b.dim(0)}, 9);
  for (const AdapterFormat format : {AdapterFormat::kMlx, AdapterFormat::kPeft}) {
    write_adapters(out, set, format);
    EXPECT_EQ(format_at(out), format);
    const AdapterSet back = read_adapters(out, model_.function, ops::catalog());
    ASSERT_EQ(back.adapters.size(), 3U);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(back.adapters[i].weight, set.adapters[i].weight);
      EXPECT_EQ(back.adapters[i].scale, set.adapters[i].scale);
      EXPECT_TRUE(bit_equal(back.adapters[i].a, set.adapters[i].a));
      EXPECT_TRUE(bit_equal(back.adapters[i].b, set.adapters[i].b));
      EXPECT_TRUE(bit_equal(back.adapters[i].magnitude, set.adapters[i].magnitude));
    }
  }
}

TEST_F(Mlx, a_map_names_the_modules_that_are_written) {
  const AdapterSet set = adapters_of(model_.function, 2);
  const std::string lines = std::string("a.0.q = ") + Model::kQ + "\na.0.k = " + Model::kK + "\n";
  const fs::path out = folder_ / "out";
  try {
    write_adapters(out, set, AdapterFormat::kMlx, write("some.txt", lines));
    ADD_FAILURE() << "a weight without a module was written";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("expected a module for the weight 'model_layers_1_mlp"),
              std::string::npos)
        << e.what();
  }
  EXPECT_FALSE(fs::exists(out));
  write_adapters(out, set, AdapterFormat::kMlx,
                 write("all.txt", lines + "b.up = " + Model::kUp + "\n"));
  EXPECT_TRUE(read_tensors(out / "adapters.safetensors").contains("a.0.q.lora_a"));
}

TEST(MlxModule, has_its_dots_put_back_where_all_words_are_known) {
  EXPECT_EQ(mlx_module("model_layers_3_self_attn_q_proj"), "model.layers.3.self_attn.q_proj");
  EXPECT_EQ(mlx_module("wrapped_model_layers_12_mlp_gate_up_proj"),
            "model.layers.12.mlp.gate_up_proj");
  EXPECT_EQ(mlx_module("model_lm_head"), "lm_head");
  EXPECT_EQ(mlx_module("model_layers_3_strange_proj"), "");
  EXPECT_EQ(mlx_module("const_3"), "");
}

}  // namespace
}  // namespace mw::adapters
