// Models in parts: found, linked, trained, and written in parts again.
#include "parts_testing.h"

#include <set>

#include "ir/parameter.h"
#include "millwright/training.hpp"
#include "package/link.h"
#include "process_testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

using testing::has;
using testing::Parts;
using testing::SmallParts;

TEST_F(Parts, run_as_one_model) {
  const SmallParts m;
  const fs::path path = folder(m);
  expect_same_as_by_hand(path, path);
  const auto model = CoreMLModelWrapper::load(path);
  EXPECT_EQ(model.function(), "infer");
  EXPECT_EQ(model.functions(), (std::vector<std::string>{"infer", "prefill"}));
  EXPECT_EQ(model.states().size(), 1U);
  EXPECT_EQ(model.inputs().size(), 4U);
  EXPECT_EQ(model.outputs().size(), 2U);
}

TEST_F(Parts, are_found_in_every_form) {
  SmallParts compiled{.form = ".mlmodelc", .tag = "_lut4"};
  expect_same_as_by_hand(folder(compiled, "compiled"), folder_ / "compiled", compiled);
  // The file names parts with palettes, of which there are none.
  const fs::path plain = folder({}, "plain");
  testing::parts::put(plain / "meta.yaml", testing::meta_yaml({.tag = "_lut6"}));
  expect_same_as_by_hand(plain, plain);
  expect_same_as_by_hand(plain / "meta.yaml", plain);
  const fs::path named = folder({.with_meta = false}, "named");
  expect_same_as_by_hand(named, named);
}

std::string candle_json(const std::string& infer, const std::string& prefill,
                        const std::string& execution) {
  const auto file = [](const std::string& name) {
    return fmt::format(R"({{"file_path": "{}"}})", name);
  };
  return fmt::format(
      R"({{"model_info": {{"model_id": "small"}}, "ffn_execution": "{}",
 "shapes": {{"batch_size": 4, "context_length": 24, "hidden_size": 4, "vocab_size": 300}},
 "components": {{"embeddings": {}, "ffn_infer": {}, "ffn_prefill": {}, "lm_head": {}}}}})",
      execution, file("small_embeddings.mlpackage"), file(infer), file(prefill),
      file("/elsewhere/small_lm_head.mlpackage"));
}

TEST_F(Parts, are_named_by_json) {
  const SmallParts one{.chunks = 1, .with_meta = false};
  const fs::path unified = folder(one, "unified");
  const std::string chunk = testing::chunk_file(one, 1);
  testing::parts::put(unified / "config.json", candle_json(chunk, chunk, "unified"));
  expect_same_as_by_hand(unified, unified, one);
  const fs::path split = folder(one, "split");
  fs::rename(split / chunk, scratch(chunk));
  testing::parts::write_function(one, split / "a.mlpackage", false);
  testing::parts::write_function(one, split / "b.mlpackage", true);
  testing::parts::put(split / "model.json", candle_json("a.mlpackage", "b.mlpackage", "split"));
  expect_same_as_by_hand(split, unified, one);
  expect_same_as_by_hand(split / "model.json", unified, one);
  testing::parts::put(split / "model.json", candle_json("a.mlpackage", "b.mlpackage", "unified"));
  EXPECT_TRUE(has(refusal(split), "ffn_execution: expected 'split'"));
}

TEST_F(Parts, become_one_package) {
  const fs::path path = folder();
  const package::Model model = package::read(path);
  (void)package::write(model, scratch("one.mlpackage"));
  expect_same_as_by_hand(scratch("one.mlpackage"), path);
  EXPECT_TRUE(fs::exists(scratch("one.mlpackage/tokenizer.json")));
  EXPECT_FALSE(fs::exists(scratch("one.mlpackage/meta.yaml")));
  EXPECT_NEAR(package::read(scratch("one.mlpackage")).weight_bytes(), model.weight_bytes(), 64);
}

TEST_F(Parts, share_what_has_equal_bytes) {
  const package::Model model = package::read(folder());
  std::map<ir::BlobRef, std::set<const void*>> blobs;
  std::map<std::string, ir::BlobRef> refs[2];
  for (int i = 0; i < 2; ++i) {
    ir::for_each_op(model.program->functions[i]->body, [&](const ir::Operation& op) {
      if (!op.is_const() || !ir::constant_of(op.outputs[0].get())->blob_ref()) return;
      const auto constant = ir::constant_of(op.outputs[0].get());
      blobs[*constant->blob_ref()].insert(constant->value().raw());
      refs[i][op.outputs[0]->name] = *constant->blob_ref();
    });
  }
  // Positions, a projection in each chunk, the last norm; the embeddings; two pieces of the head.
  EXPECT_EQ(blobs.size(), 7U);
  for (const auto& [name, ref] : refs[1]) EXPECT_EQ(ref, refs[0].at(name)) << name;
  EXPECT_TRUE(refs[0].contains("model_model_layers_1_v_proj_weight"));
}

Batch some_batch() {
  return {Tensor::from(std::vector<int32_t>{5, 77, 5, 299, 0, 140}, {1, 6}),
          Tensor::from(std::vector<int32_t>{77, 5, 299, 0, 140, 9}, {1, 6})};
}

Tensor weight_of(const fs::path& part, const std::string& function, const std::string& name) {
  const package::Model model = package::read(part);
  const auto constants = ir::constants_by_name(*model.program->find_function(function));
  return ir::constant_of(constants.at(name))->value().clone();
}

TEST_F(Parts, are_trained_and_written_in_parts) {
  const fs::path path = folder();
  StudentOptions options;
  options.optimizer = AdamW{.learning_rate = 0.05F};
  StudentModel student(CoreMLModelWrapper::load(path), options);
  const double before = student.training_step(some_batch()).loss;
  for (int i = 0; i < 10; ++i) (void)student.training_step(some_batch());
  EXPECT_LT(student.evaluate(some_batch()).loss, before - 0.5);
  const fs::path out = scratch("trained");
  (void)student.save(out);
  const auto trained = student.evaluate(some_batch()).loss;
  StudentModel again(CoreMLModelWrapper::load(out), options);
  EXPECT_NEAR(again.evaluate(some_batch()).loss, trained, 0.1);
  expect_same_as_by_hand(out, out);
  for (int64_t i = 1; i <= 2; ++i) {
    const std::string name = fmt::format("model_model_layers_{}_v_proj_weight", i - 1);
    const std::string chunk = testing::chunk_file({}, i);
    const Tensor infer = weight_of(out / chunk, "infer", name);
    EXPECT_EQ(testing::largest_difference(infer, weight_of(out / chunk, "prefill", name)), 0);
    EXPECT_GT(testing::largest_difference(infer, weight_of(path / chunk, "infer", name)), 0);
    const auto size = [&](const fs::path& folder) {
      return fs::file_size(folder / chunk / "Data/com.apple.CoreML/weights/weight.bin");
    };
    EXPECT_EQ(size(out), size(path));
  }
  for (const char* extra : {"meta.yaml", "tokenizer.json"}) EXPECT_TRUE(fs::exists(out / extra));
  // Over what is there, and over itself.
  (void)student.save(out);
  (void)student.save(path);
  EXPECT_EQ(CoreMLModelWrapper::load(path).metadata(), CoreMLModelWrapper::load(out).metadata());
}

TEST_F(Parts, that_do_not_change_are_written_as_they_were) {
  const fs::path path = folder();
  (void)package::write(package::read(path), scratch("same"));
  const auto bytes = [&](const fs::path& root) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      files[entry.path().lexically_relative(root)] = testing::read_file(entry.path());
    }
    return files;
  };
  EXPECT_EQ(bytes(scratch("same")), bytes(path));
}

TEST_F(Parts, keep_adapters_in_all_functions) {
  const fs::path path = folder();
  StudentOptions options;
  options.lora = Lora{.rank = 2, .targets = {"*v_proj*"}};
  options.optimizer = AdamW{.learning_rate = 0.05F};
  StudentModel student(CoreMLModelWrapper::load(path), options);
  const double before = student.training_step(some_batch()).loss;
  for (int i = 0; i < 10; ++i) (void)student.training_step(some_batch());
  EXPECT_LT(student.evaluate(some_batch()).loss, before);
  (void)student.save(scratch("out"));
  const std::string chunk = testing::chunk_file({}, 1);
  const std::string name = "model_model_layers_0_v_proj_weight";
  const Tensor infer = weight_of(scratch("out") / chunk, "infer", name);
  EXPECT_GT(testing::largest_difference(infer, weight_of(path / chunk, "infer", name)), 0);
  EXPECT_EQ(testing::largest_difference(infer, weight_of(scratch("out") / chunk, "prefill", name)),
            0);
  expect_same_as_by_hand(scratch("out"), scratch("out"));
  // The head was not adapted.
  EXPECT_EQ(
      testing::read_file(
          scratch("out/small_lm_head.mlpackage/Data/com.apple.CoreML/model.mlmodel")),
      testing::read_file(path / "small_lm_head.mlpackage/Data/com.apple.CoreML/model.mlmodel"));
}

TEST_F(Parts, that_are_two_files_of_one_layer_change_together) {
  const SmallParts one{.chunks = 1, .with_meta = false};
  const fs::path split = folder(one);
  fs::remove_all(split / testing::chunk_file(one, 1));
  testing::parts::write_function(one, split / "a.mlpackage", false);
  testing::parts::write_function(one, split / "b.mlpackage", true);
  testing::parts::put(split / "model.json", candle_json("a.mlpackage", "b.mlpackage", "split"));
  StudentModel student(CoreMLModelWrapper::load(split), {});
  (void)student.training_step(some_batch());
  (void)student.save(scratch("out"));
  const std::string name = "model_model_layers_0_v_proj_weight";
  const Tensor a = weight_of(scratch("out/a.mlpackage"), "main", name);
  EXPECT_EQ(testing::largest_difference(a, weight_of(scratch("out/b.mlpackage"), "main", name)), 0);
  EXPECT_GT(testing::largest_difference(a, weight_of(split / "a.mlpackage", "main", name)), 0);
}

TEST_F(Parts, are_linked_in_the_order_given) {
  const fs::path path = folder();
  const auto named = [&](const std::vector<std::string>& names) {
    std::vector<fs::path> files;
    for (const std::string& name : names) files.push_back(path / name);
    return package::parts_in_order(files);
  };
  const auto link = [&](const package::PartList& list) {
    return package::link(list, [](const fs::path& part) { return package::read(part); });
  };
  const std::vector<std::string> all = {"small_embeddings.mlpackage", testing::chunk_file({}, 1),
                                        testing::chunk_file({}, 2), "small_lm_head.mlpackage"};
  (void)package::write(link(named(all)), scratch("linked"));
  expect_same_as_by_hand(scratch("linked"), path);
  EXPECT_TRUE(fs::exists(scratch("linked/tokenizer.json")));
  EXPECT_FALSE(fs::exists(scratch("linked/meta.yaml")));
  const auto refused = [&](const std::vector<std::string>& names) {
    try {
      (void)link(named(names));
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_TRUE(has(refused({all[0]}), "expected two parts or more"));
  EXPECT_TRUE(has(refused({all[0], all[1], all[1]}), "expected each part once"));
  EXPECT_TRUE(has(refused({all[1], all[0]}), "expected an input for a result of the parts before"));
}

TEST_F(Parts, of_one_file_are_a_model_in_one_part) {
  const fs::path path = folder({.with_meta = false}, "parts");
  (void)package::write(package::read(path), scratch("one/small_monolithic.mlpackage"),
                       {.carry_extras = false});
  fs::copy_file(path / "tokenizer.json", scratch("one/tokenizer.json"));
  testing::parts::put(scratch("one/meta.yaml"),
                      "model_info: {model_type: monolithic, parameters: {context_length: 24, "
                      "monolithic_model: small_monolithic.mlmodelc, functions: [infer, prefill]}}");
  expect_same_as_by_hand(scratch("one"), path);
  (void)package::write(package::read(scratch("one")), scratch("again"));
  expect_same_as_by_hand(scratch("again"), path);
}

TEST_F(Parts, of_a_trained_model_say_what_its_reference_says) {
  const char* root = std::getenv("MW_SHARED");
  const fs::path path = fs::path(root == nullptr ? "" : root) / "lm/anemll/parts";
  if (root == nullptr || !fs::exists(path)) GTEST_SKIP() << "MW_SHARED has no lm/anemll/parts";
  const auto model = CoreMLModelWrapper::load(path);
  const Generation linked = model.generate("ROMEO:", {.max_tokens = 24});
  (void)package::write(package::read(path), scratch("one.mlpackage"));
  const auto one = CoreMLModelWrapper::load(scratch("one.mlpackage"));
  EXPECT_EQ(one.generate("ROMEO:", {.max_tokens = 24}).ids, linked.ids);
  EXPECT_EQ(linked.ids.size(), 24U);
}

}  // namespace
}  // namespace mw
