// Decoders of one token that have a function for blocks: texts that are there as a whole go through
// both as one function, with the numbers that one token after another gives.
#include <cmath>

#include "api/impl.h"
#include "ir/parameter.h"
#include "lm/language_model.h"
#include "millwright/training.hpp"
#include "parts_testing.h"

namespace mw {
namespace {

using lm::LanguageModel;
using testing::SmallParts;

namespace fs = std::filesystem;

Tensor ids_of(const std::vector<int32_t>& ids) {
  return Tensor::from(ids, {1, static_cast<int64_t>(ids.size())});
}

class EveryPosition : public testing::Parts {
 protected:
  static CoreMLModelWrapper for_texts(const CoreMLModelWrapper& model) {
    return CoreMLModelWrapper::Impl::for_texts(model);
  }
  [[nodiscard]] CoreMLModelWrapper opened(const SmallParts& m = {},
                                          const std::string& name = "model") const {
    return CoreMLModelWrapper::load(folder(m, name));
  }
  static bool is_for_texts(const CoreMLModelWrapper& model) {
    return for_texts(model).function() != model.function();
  }
  static void expect_equal_logits(const CoreMLModelWrapper& one, const CoreMLModelWrapper& blocks,
                                  int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * i * 7 + 3) % 300));
    const auto a = shared_model(one), b = shared_model(blocks);
    const LanguageModel x(*a), y(*b);
    const Tensor expected = x.every(ids_of(ids)).values(), got = y.every(ids_of(ids)).values();
    ASSERT_EQ(got.shape(), expected.shape());
    EXPECT_LT(testing::largest_difference(got, expected), 0.05) << count;
  }
  static Batch some_batch() {
    return {ids_of({5, 77, 5, 299, 0, 140, 31, 8, 9}), ids_of({77, 5, 299, 0, 140, 31, 8, 9, 2})};
  }
  // In each function of the file, by part, the values of that name differ from those of `before`.
  static std::vector<std::string> changed(const fs::path& before, const fs::path& after,
                                          const std::string& name) {
    std::vector<std::string> functions;
    const package::Model a = package::read(before), b = package::read(after);
    for (const auto& function : a.program->functions) {
      const auto x = ir::constants_by_name(*function);
      const auto y = ir::constants_by_name(*b.program->find_function(function->name));
      if (!x.contains(name)) continue;
      const bool same =
          bit_equal(ir::constant_of(x.at(name))->value(), ir::constant_of(y.at(name))->value());
      if (!same) functions.push_back(function->name);
    }
    return functions;
  }
};

TEST_F(EveryPosition, gives_the_logits_of_one_token_after_another) {
  const auto one = opened();
  const auto blocks = for_texts(one);
  EXPECT_EQ(one.function(), "infer");
  EXPECT_EQ(blocks.function(), "infer by blocks");
  for (const int64_t count : {1, 4, 7, 11, 24}) expect_equal_logits(one, blocks, count);
  const auto shared = shared_model(blocks);
  const lm::Entry entry(*shared, "");
  const auto calls = lm::Calls::of_text(entry, 11, lm::Calls::Want::kEvery);
  EXPECT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[2].begin, 7);
}

TEST_F(EveryPosition, has_the_gradients_of_one_token_after_another) {
  const auto one = opened({.dtype = DType::kF32});
  StudentModel by_token(one, {}), by_block(for_texts(one), {});
  StepResult a, b;
  const TensorMap expected = by_token.backward(some_batch(), &a);
  const TensorMap got = by_block.backward(some_batch(), &b);
  EXPECT_NEAR(a.loss, b.loss, 1e-4 * std::abs(a.loss));
  ASSERT_EQ(expected.size(), got.size());
  for (const auto& [name, gradient] : expected) {
    ASSERT_TRUE(got.contains(name)) << name;
    double norm = 0, difference = 0;
    for (int64_t i = 0; i < gradient.count(); ++i) {
      norm += std::pow(gradient.number_at(i), 2);
      difference += std::pow(gradient.number_at(i) - got.at(name).number_at(i), 2);
    }
    EXPECT_LE(std::sqrt(difference), 1e-4 * std::sqrt(norm)) << name;
  }
}

TEST_F(EveryPosition, is_written_to_no_file) {
  const fs::path path = folder();
  StudentModel student(for_texts(CoreMLModelWrapper::load(path)), {});
  (void)student.training_step(some_batch());
  const std::string layer = "model_model_layers_1_v_proj_weight";
  (void)student.save(scratch("out"));
  (void)student.save(scratch("out.mlpackage"));
  for (const char* out : {"out", "out.mlpackage"}) {
    EXPECT_EQ(CoreMLModelWrapper::load(scratch(out)).functions(),
              (std::vector<std::string>{"infer", "prefill"}));
    EXPECT_EQ(changed(path, scratch(out), layer), (std::vector<std::string>{"infer", "prefill"}));
    EXPECT_EQ(changed(path, scratch(out), "model_model_norm_weight"),
              std::vector<std::string>{"infer"});
    EXPECT_EQ(changed(path, scratch(out), "heads_1_weight"), std::vector<std::string>{"infer"});
  }
  (void)student.save(scratch("only.mlpackage"), {.only_function = true});
  EXPECT_EQ(changed(path, scratch("only.mlpackage"), layer), std::vector<std::string>{"infer"});
  for (const std::string& note : student.notes()) {
    EXPECT_FALSE(testing::has(note, "by blocks")) << note;
  }
}

TEST_F(EveryPosition, adapts_what_the_function_of_the_file_calls_so) {
  const fs::path path = folder();
  const auto model = CoreMLModelWrapper::load(path);
  StudentOptions options;
  options.lora = Lora{.rank = 2};
  options.optimizer = AdamW{.learning_rate = 0.05F};
  StudentModel student(for_texts(model), options);
  for (int i = 0; i < 3; ++i) (void)student.training_step(some_batch());
  student.save_adapter(scratch("a.safetensors"));
  (void)student.save(scratch("out"));
  const auto with_adapter =
      CoreMLModelWrapper::load(path, {.adapter = scratch("a.safetensors").string()});
  const auto fused = CoreMLModelWrapper::load(scratch("out"));
  const std::vector<int32_t> ids = {5, 77, 5, 299};
  EXPECT_LT(testing::largest_difference(with_adapter.forward(ids), fused.forward(ids)), 0.1);
  EXPECT_GT(testing::largest_difference(model.forward(ids), fused.forward(ids)), 0.2);
}

TEST_F(EveryPosition, is_there_only_where_both_functions_are_one_net) {
  EXPECT_TRUE(is_for_texts(opened()));
  // Its own, and not one of what it made.
  EXPECT_FALSE(is_for_texts(for_texts(opened({}, "again"))));
  package::Model model = package::read(folder({}, "source"));
  const auto write = [&](const std::string& name) {
    (void)package::write(model, scratch(name));
    return CoreMLModelWrapper::load(scratch(name));
  };
  EXPECT_TRUE(is_for_texts(write("both.mlpackage")));
  // The last projection is another one in the function for blocks.
  package::Model other = model.clone();
  for (const auto& op : other.program->find_function("prefill")->body.ops) {
    if (op->outputs.empty() || !op->is_const()) continue;
    const auto constant = ir::constant_of(op->outputs[0].get());
    if (!constant->blob_ref()) continue;
    Tensor changed = constant->value().clone();
    changed.set_number(0, 3);
    ir::set_attribute(op->attributes, "val", ir::Constant::tensor(changed));
  }
  (void)package::write(other, scratch("other.mlpackage"));
  EXPECT_FALSE(is_for_texts(CoreMLModelWrapper::load(scratch("other.mlpackage"))));
  model.program->functions.pop_back();
  model.functions.pop_back();
  EXPECT_FALSE(is_for_texts(write("alone.mlpackage")));
}

}  // namespace
}  // namespace mw
