// Which weights get adapters, how these begin, and their file.
#include <gtest/gtest.h>
#include <unistd.h>

#include "adapters/file.h"
#include "adapters/layers.h"
#include "adapters/testing.h"
#include "base/error.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;
using ir::Value;

struct Choices : Built {
  Choices() {
    Value* x = input("x", {2, 4, 8});
    Value* y = b.op("linear", {{"x", x}, {"weight", weight("layer_0_w", {8, 8})}});
    Value* z = b.op("linear", {{"x", y}, {"weight", weight("layer_1_w", {6, 8})}});
    Value* grouped =
        b.op("conv", {{"x", x}, {"weight", weight("kernel", {4, 2, 3})}, {"groups", 2}});
    Value* scaled = b.op("mul", {{"x", z}, {"y", weight("gain", {6})}});
    returns({scaled, grouped});
  }
  AdapterSet begin(const Lora& lora, const std::vector<std::string>& trained = {}) const {
    return begin_adapters(function, ops::catalog(), lora, trained);
  }
  std::string refusal(const Lora& lora) const {
    try {
      (void)begin(lora);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      return e.what();
    }
    return "";
  }
};

TEST(Lora, begins_with_a_drawn_from_the_seed_and_the_name_and_b_zero) {
  const Choices choices;
  const AdapterSet all = choices.begin({.rank = 4}),
                   one = choices.begin({.rank = 4, .targets = {"layer_1*"}}),
                   other = choices.begin({.rank = 4, .seed = 1});
  ASSERT_EQ(all.adapters.size(), 2U);
  ASSERT_EQ(one.adapters.size(), 1U);
  EXPECT_EQ(all.adapters[1].weight, "layer_1_w");
  EXPECT_TRUE(bit_equal(all.adapters[1].a, one.adapters[0].a));
  EXPECT_FALSE(bit_equal(all.adapters[1].a, other.adapters[1].a));
  double largest = 0, mean = 0;
  for (const float number : all.adapters[0].a.values<float>()) {
    largest = std::max<double>(largest, std::fabs(number));
    mean += number / 32;
  }
  EXPECT_LE(largest, 1 / std::sqrt(8.0));
  EXPECT_GE(largest, 0.9 / std::sqrt(8.0));
  EXPECT_LE(std::fabs(mean), 0.15);
  for (const float number : all.adapters[0].b.values<float>()) EXPECT_EQ(number, 0);
}

TEST(Lora, leaves_out_what_is_trained_itself) {
  const AdapterSet set = Choices().begin({.rank = 4}, {"layer_0_w"});
  ASSERT_EQ(set.adapters.size(), 1U);
  EXPECT_EQ(set.adapters[0].weight, "layer_1_w");
}

TEST(Lora, adapts_the_last_layers_alone) {
  const Choices choices;
  const auto chosen = [&](int64_t layers, const std::string& target) {
    std::string names;
    for (const Adapter& adapter : begin_adapters(choices.function, ops::catalog(),
                                                 {.rank = 4, .targets = {target}}, {}, layers)
                                      .adapters) {
      names += adapter.weight + " ";
    }
    return names;
  };
  EXPECT_EQ(chosen(1, "*"), "layer_1_w ");
  EXPECT_EQ(chosen(7, "*"), "layer_0_w layer_1_w ");
  EXPECT_EQ(chosen(-1, "*_w"), "layer_0_w layer_1_w ");
  EXPECT_THROW((void)chosen(1, "layer_0*"), Error);
  EXPECT_EQ(layer_of("model.layers.12.mlp"), 12);
  EXPECT_EQ(layer_of("transformer_h_3_attn"), 3);
  EXPECT_EQ(layer_of("layers_norm_3"), std::nullopt);
  Built other;
  Value* x = other.input("x", {2, 8});
  other.returns({other.b.op("linear", {{"x", x}, {"weight", other.weight("w", {8, 8})}})});
  try {
    (void)begin_adapters(other.function, ops::catalog(), {.rank = 4}, {}, 1);
    ADD_FAILURE() << "layers were found where no name has one";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("expected weights that are named by their layers"),
              std::string::npos)
        << e.what();
  }
}

TEST(Lora, says_what_it_cannot_adapt_and_what_it_can) {
  const Choices choices;
  const std::pair<Lora, std::string> refusals[] = {
      {{.targets = {"other*"}},
       "lora: target 'other*': expected a glob that matches a weight; these can be adapted: "
       "layer_0_w, layer_1_w"},
      {{.targets = {"gain"}},
       "lora: target 'gain': 'gain' cannot be adapted: it is used as y of mul; these can: "
       "layer_0_w, layer_1_w"},
      {{.targets = {"*", "kernel"}}, "'kernel' cannot be adapted: conv 'conv' has groups"},
      {{.targets = {}}, "lora: targets: expected a glob, got none"},
      {{.rank = 0}, "lora: rank: expected a number from 1 to 65536, got 0"},
      {{.rank = 9}, "lora: rank: expected at most 8, the rank of the largest weight, got 9"},
      {{.rank = INT64_MAX}, "lora: rank: expected a number from 1 to 65536"},
      {{.alpha = NAN}, "lora: alpha: expected a number above 0, got nan"},
      {{.alpha = -1}, "lora: alpha: expected a number above 0, got -1"}};
  for (const auto& [lora, sentence] : refusals) {
    EXPECT_NE(choices.refusal(lora).find(sentence), std::string::npos) << choices.refusal(lora);
  }
}

// --- the file ---------------------------------------------------------------------------------

class AdapterFile : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / fmt::format("mw_lora_{}.safetensors", getpid());
    set_ = adapters_of(choices_.function, 4);
    write_adapters(path_, set_, AdapterFormat::kMillwright);
  }
  void TearDown() override { fs::remove(path_); }

  std::string refusal(const ir::Function& function) const {
    try {
      (void)read_adapters(path_, function, ops::catalog());
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  // What is told of the file with other tensors and metadata.
  std::string refusal(const TensorMap& tensors, std::map<std::string, std::string> metadata) const {
    write_safetensors(path_, tensors, metadata);
    return refusal(choices_.function);
  }

  Choices choices_;
  AdapterSet set_;
  fs::path path_;
};

TEST_F(AdapterFile, gives_back_what_was_written) {
  const AdapterSet read = read_adapters(path_, choices_.function, ops::catalog());
  EXPECT_EQ(read.rank, 4);
  EXPECT_EQ(read.alpha, 3);
  ASSERT_EQ(read.adapters.size(), set_.adapters.size());
  for (size_t i = 0; i < set_.adapters.size(); ++i) {
    EXPECT_EQ(read.adapters[i].weight, set_.adapters[i].weight);
    EXPECT_TRUE(bit_equal(read.adapters[i].a, set_.adapters[i].a));
    EXPECT_TRUE(bit_equal(read.adapters[i].b, set_.adapters[i].b));
  }
}

TEST_F(AdapterFile, with_magnitudes_gives_them_back) {
  for (Adapter& adapter : set_.adapters) adapter.magnitude = random({adapter.b.dim(0)}, 8);
  write_adapters(path_, set_, AdapterFormat::kMillwright);
  const AdapterSet read = read_adapters(path_, choices_.function, ops::catalog());
  ASSERT_EQ(read.adapters.size(), 2U);
  EXPECT_TRUE(bit_equal(read.adapters[1].magnitude, set_.adapters[1].magnitude));
  TensorMap tensors = read_tensors(path_);
  const auto metadata = safetensors_metadata(path_);
  EXPECT_EQ(metadata.at("version"), "2");
  tensors.erase("layer_1_w.lora_magnitude");
  EXPECT_NE(
      refusal(tensors, metadata).find("tensor 'layer_1_w.lora_magnitude': expected all parts"),
      std::string::npos);
}

TEST_F(AdapterFile, of_another_model_is_refused) {
  Built other;
  Value* x = other.input("x", {2, 8});
  other.returns({other.b.op("linear", {{"x", x}, {"weight", other.weight("w", {8, 8})}})});
  EXPECT_NE(refusal(other.function)
                .find("tensor 'layer_0_w.lora_A': expected the factor of a weight that the model "
                      "has, one of w; it belongs to another model"),
            std::string::npos)
      << refusal(other.function);
}

TEST_F(AdapterFile, cut_short_is_refused) {
  fs::resize_file(path_, fs::file_size(path_) - 4);
  EXPECT_NE(refusal(choices_.function).find("data offsets"), std::string::npos)
      << refusal(choices_.function);
  fs::resize_file(path_, 5);
  EXPECT_NE(refusal(choices_.function).find("expected a safetensors file"), std::string::npos);
}

TEST_F(AdapterFile, with_anything_else_wrong_is_refused_in_a_sentence) {
  const TensorMap good = read_tensors(path_);
  const auto metadata = safetensors_metadata(path_);
  ASSERT_EQ(refusal(good, metadata), "");
  const auto told = [&](const std::string& got, const std::string& part) {
    EXPECT_NE(got.find(part), std::string::npos) << got;
    EXPECT_TRUE(got.starts_with(path_.string())) << got;
  };
  auto changed = metadata;
  changed["alpha"] = "nan";
  told(refusal(good, changed), "alpha: expected a number above 0, got nan");
  changed["alpha"] = "many";
  told(refusal(good, changed), "metadata 'alpha': expected a number, got 'many'");
  changed = metadata;
  changed["rank"] = "99999";
  told(refusal(good, changed), "rank: expected a number from 1 to 65536, got 99999");
  for (const char* rank : {"1e1", "4.0", "0x4", " 4", "4 ", "+4", "", "99999999999999999999"}) {
    changed["rank"] = rank;
    told(refusal(good, changed),
         fmt::format("metadata 'rank': expected a whole number from 1 to 65536 in digits, got '{}'",
                     rank));
  }
  changed["rank"] = "3";
  told(refusal(good, changed), "tensor 'layer_0_w.lora_A': expected floats of shape [3, 8], got");
  changed = metadata;
  changed["version"] = "3";
  told(refusal(good, changed), "metadata 'version': expected 1 or 2, got 3");
  told(refusal(good, {}), "expected an adapter that Millwright wrote");
  told(refusal({}, metadata), "it holds no factors");
  TensorMap tensors = good;
  tensors.erase("layer_0_w.lora_B");
  told(refusal(tensors, metadata),
       "tensor 'layer_0_w.lora_B': expected all parts of an adapter, got none");
  tensors = good;
  tensors["layer_1_w.lora_B"] = tensors["layer_1_w.lora_B"].clone();
  tensors["layer_1_w.lora_B"].set_number(3, INFINITY);
  told(refusal(tensors, metadata),
       "tensor 'layer_1_w.lora_B': expected finite numbers, got inf at [0, 3]");
}

}  // namespace
}  // namespace mw::adapters
