// Generation asks for the logits of one token: what is computed for it, and that it is the same.
#include "ops/rewrites/one_position.h"

#include "api/impl.h"
#include "api/pipeline.h"
#include "exec/naive.h"
#include "facade_testing.h"
#include "ir/verify.h"
#include "language_model_testing.h"
#include "lm/language_model.h"
#include "passes/specialise.h"

namespace mw {
namespace {

using ir::Builder;
using ir::Value;
using suite::expected_logits;
using suite::Form;
using suite::kForms;
using suite::LanguageModels;
using suite::SmallModel;
using suite::some_ids;
using suite::table;
using testing::error_of;
using Ints = std::vector<int64_t>;

constexpr int64_t kWidth = 8, kVocabulary = 40;

// --- a decoder whose end is written in one of several ways --------------------------------------

class Decoder {
 public:
  Decoder() : b_(function_.body, ops::catalog(), function_.opset) {
    x_ = function_.body.add_argument("x", ir::Type::tensor(DType::kF32, {1, -1, kWidth}));
    mask_ = function_.body.add_argument("mask", ir::Type::tensor(DType::kF32, {1, -1, -1}));
  }
  Builder& b() { return b_; }
  [[nodiscard]] Value* x() const { return x_; }
  [[nodiscard]] const ir::Function& function() const { return function_; }

  Value* on(const char* op, Value* x, Value* y) { return b_.op(op, {{"x", x}, {"y", y}}); }
  Value* linear(Value* x, int64_t outputs, int64_t inputs) {
    Value* weight = b_.constant(table(outputs, inputs, ++seed_, DType::kF32));
    return on("mul", b_.op("linear", {{"x", x}, {"weight", weight}}), eighth());
  }
  Value* layer(Value* h) {
    Value* q = linear(h, kWidth, kWidth);
    Value* scores =
        b_.op("matmul", {{"x", q}, {"y", linear(h, kWidth, kWidth)}, {"transpose_y", true}});
    Value* weights = b_.op("softmax", {{"x", on("add", scores, mask_)}, {"axis", -1}});
    h = on("add", h, linear(on("matmul", weights, linear(h, kWidth, kWidth)), kWidth, kWidth));
    Value* gate = b_.op("relu", {{"x", linear(h, 2 * kWidth, kWidth)}});
    return on("add", h, linear(gate, kWidth, 2 * kWidth));
  }
  Value* normalised(Value* h) { return b_.op("layer_norm", {{"x", h}, {"axes", Ints{-1}}}); }
  Value* transposed(Value* x, const Ints& perm) {
    return b_.op("transpose", {{"x", x}, {"perm", perm}});
  }
  // Heads of [1, T, D].
  Value* plain(Value* h) { return linear(normalised(h), kVocabulary, kWidth); }
  Value* capped(Value* h) {
    Value* half = b_.op("cast", {{"x", plain(h)}, {"dtype", "fp16"}});
    Value* scaled = on("mul", b_.op("cast", {{"x", half}, {"dtype", "fp32"}}), eighth());
    return b_.op("softmax", {{"x", b_.op("tanh", {{"x", scaled}})}, {"axis", 2}});
  }
  Value* convolved(Value* h) {  // [1, V, 1, T]
    Value* image =
        transposed(b_.op("expand_dims", {{"x", normalised(h)}, {"axes", Ints{2}}}), {0, 3, 2, 1});
    Tensor weight = table(kVocabulary, kWidth, 5, DType::kF32)->value();
    weight = weight.reshaped({kVocabulary, kWidth, 1, 1});
    return b_.op("conv", {{"x", image}, {"weight", b_.constant(ir::Constant::tensor(weight))}});
  }
  Value* by_rows(Value* h) {  // through [T, D], as the shape of x says
    Value* time =
        b_.op("slice_by_size",
              {{"x", b_.op("shape", {{"x", x_}})}, {"begin", Ints{1}}, {"size", Ints{1}}});
    const auto with = [&](const Ints& before, int64_t after) {
      std::vector<Value*> parts;
      if (!before.empty()) parts.push_back(b_.constant(ir::Constant::int32s({1})));
      parts.push_back(time);
      parts.push_back(b_.constant(ir::Constant::int32s({static_cast<int32_t>(after)})));
      return b_.op("concat", {{"values", parts}, {"axis", 0}});
    };
    Value* rows = b_.op("reshape", {{"x", normalised(h)}, {"shape", with({}, kWidth)}});
    return b_.op("reshape",
                 {{"x", linear(rows, kVocabulary, kWidth)}, {"shape", with({1}, kVocabulary)}});
  }
  Value* joined(Value* h) {
    std::vector<Value*> parts;
    parts.reserve(4);
    Value* n = normalised(h);
    for (int i = 0; i < 4; ++i) parts.push_back(linear(n, kVocabulary / 4, kWidth));
    return b_.op("concat", {{"values", parts}, {"axis", 2}});
  }
  Value* mixed(Value* h) {  // its end is no op of each position
    return b_.op("cumsum", {{"x", plain(h)}, {"axis", 1}});
  }

  void returns(const std::vector<Value*>& outputs) {
    function_.name = "main";
    function_.body.outputs = outputs;
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i]->name = fmt::format("out{}", i);
    ir::verify(function_, ops::catalog());
  }

 private:
  Value* eighth() { return b_.constant(ir::Constant::number(DType::kF32, 0.125)); }

  ir::Function function_;
  Builder b_;
  Value *x_ = nullptr, *mask_ = nullptr;
  int64_t seed_ = 0;
};

TensorMap inputs_of(int64_t time) {
  Tensor mask(DType::kF32, {1, time, time});
  for (int64_t i = 0; i < mask.count(); ++i) {
    mask.set_number(i, i % time > i / time ? -1e9 : 0);
  }
  Tensor x(DType::kF32, {1, time, kWidth});
  for (int64_t i = 0; i < x.count(); ++i) x.set_number(i, suite::table_at(i / 7, i % 7, 3));
  return {{"x", x}, {"mask", mask}};
}

std::unique_ptr<ir::Function> at(const ir::Function& function, const TensorMap& inputs) {
  Shapes shapes;
  for (const auto& [name, tensor] : inputs) shapes[name] = tensor.shape();
  return passes::specialise(function, ops::catalog(), {.shapes = shapes});
}

std::map<std::string, Tensor> results(const ir::Function& function, const TensorMap& inputs) {
  const auto specialised = at(function, inputs);
  std::map<std::string, Tensor> found;
  const auto data = exec::run_naive(*specialised, ops::catalog(), inputs, {}, {});
  for (const ir::Value* output : specialised->body.outputs) {
    found[output->name] = data.at(output->name).tensor;
  }
  return found;
}

// Elements that ops with weights give.
int64_t elements_of_layers(const ir::Function& function) {
  int64_t elements = 0;
  for (const auto& op : function.body.ops) {
    if (op->find_input("weight") == nullptr) continue;
    elements += count_of(op->outputs[0]->type.shape());
  }
  return elements;
}

Tensor position_of(const Tensor& every, int64_t axis, int64_t position) {
  Shape one = every.shape();
  const int64_t time = one[static_cast<size_t>(axis)];
  one[static_cast<size_t>(axis)] = 1;
  int64_t inner = 1;
  for (auto i = static_cast<size_t>(axis) + 1; i < one.size(); ++i) inner *= one[i];
  Tensor picked(every.dtype(), one);
  for (int64_t i = 0; i < picked.count(); ++i) {
    picked.set_number(i, every.number_at((i / inner * time + position) * inner + i % inner));
  }
  return picked;
}

ops::OnePosition chosen_of(const Decoder& decoder, const std::vector<std::string>& whole,
                           const std::vector<ops::OutputAxis>& chosen) {
  std::vector<std::unique_ptr<ir::Function>> specialised;
  for (const int64_t time : {5, 6}) {
    specialised.push_back(at(decoder.function(), inputs_of(time)));
  }
  return ops::one_position(decoder.function(), specialised, whole, chosen, ops::catalog());
}

// The same numbers of each position, for texts of other lengths, too; returns what the layers give.
int64_t expect_same(const Decoder& decoder, const std::vector<ops::OutputAxis>& chosen,
                    int64_t time, const std::vector<std::string>& whole = {}) {
  const auto made = chosen_of(decoder, whole, chosen);
  ir::verify(*made.function, ops::catalog());
  TensorMap inputs = inputs_of(time);
  const auto want = results(decoder.function(), inputs);
  for (int64_t position = 0; position < time; ++position) {
    inputs[made.position] = Tensor::from<int32_t>({static_cast<int32_t>(position)}, {1});
    const auto got = results(*made.function, inputs);
    EXPECT_EQ(got.size(), chosen.size() + whole.size());
    for (const auto& [name, axis] : chosen) {
      const Tensor expected = position_of(want.at(name), axis, position);
      EXPECT_EQ(got.at(name).shape(), expected.shape());
      EXPECT_LT(testing::largest_difference(got.at(name), expected), 1e-5) << position;
    }
    for (const std::string& name : whole) EXPECT_TRUE(bit_equal(got.at(name), want.at(name)));
  }
  return elements_of_layers(*at(*made.function, inputs));
}

// What the layers give of `positions` positions: keys and values, and all else but the head.
constexpr int64_t caches(int64_t positions) { return positions * 2 * kWidth; }
constexpr int64_t rest(int64_t positions) { return positions * 5 * kWidth; }

TEST(one_position, is_all_that_is_computed_behind_the_last_keys_and_values) {
  using Head = Value* (Decoder::*)(Value*);
  const std::pair<Head, int64_t> heads[] = {{&Decoder::plain, 1},
                                            {&Decoder::capped, 1},
                                            {&Decoder::by_rows, 1},
                                            {&Decoder::joined, 1},
                                            {&Decoder::convolved, 3}};
  for (const auto& [head, axis] : heads) {
    Decoder decoder;
    decoder.returns({(decoder.*head)(decoder.layer(decoder.layer(decoder.x())))});
    for (const int64_t time : {2, 8, 40}) {
      EXPECT_EQ(expect_same(decoder, {{"out0", axis}}, time),
                caches(2 * time) + rest(time) + rest(1) + kVocabulary);
    }
  }
}

TEST(one_position, is_that_of_each_part_of_a_vocabulary) {
  Decoder decoder;
  Value* h = decoder.layer(decoder.x());
  std::vector<Value*> parts;
  std::vector<ops::OutputAxis> chosen;
  for (int i = 0; i < 16; ++i) {
    parts.push_back(decoder.linear(h, 3, kWidth));
    chosen.push_back({fmt::format("out{}", i), 1});
  }
  decoder.returns(parts);
  EXPECT_EQ(expect_same(decoder, chosen, 7), caches(7) + rest(1) + int64_t{16} * 3);
}

TEST(one_position, leaves_what_others_need_as_a_whole) {
  Decoder decoder;
  Value* h = decoder.layer(decoder.x());
  decoder.returns({decoder.plain(h), decoder.normalised(h)});
  EXPECT_EQ(expect_same(decoder, {{"out0", 1}}, 6, {"out1"}), caches(6) + rest(6) + kVocabulary);
  // Nothing is chosen: the head is gone.
  const auto made = chosen_of(decoder, {"out1"}, {});
  EXPECT_EQ(made.position, "");
  EXPECT_EQ(elements_of_layers(*at(*made.function, inputs_of(6))), caches(6) + rest(6));
}

TEST(one_position, is_picked_where_positions_depend_on_each_other) {
  Decoder decoder;
  decoder.returns({decoder.mixed(decoder.layer(decoder.x()))});
  EXPECT_EQ(expect_same(decoder, {{"out0", 1}}, 6), caches(6) + rest(6) + 6 * kVocabulary);
}

TEST(one_position, says_which_output_there_is_not) {
  Decoder decoder;
  decoder.returns({decoder.plain(decoder.x())});
  EXPECT_EQ(error_of([&] { (void)chosen_of(decoder, {"y"}, {}); }, ErrorCode::kInvalidArgument),
            "output 'y': there is none of that name");
}

// --- models -------------------------------------------------------------------------------------

class OneToken : public LanguageModels {
 protected:
  // Classes of the outputs that a text of `time` tokens leaves for what follows, and the numbers
  // that they hold.
  static exec::RunResult read(const CoreMLModelWrapper& model, int64_t time, int64_t axis) {
    const lm::LanguageModel lm(model.impl());
    const Tensor ids(DType::kI32, {1, time});
    exec::States states = model.impl().make_states();
    const auto calls = [&] {
      Shapes shapes;
      for (const auto& [name, tensor] : model.impl().prepare(lm.inputs_for(ids))) {
        shapes[name] = tensor.shape();
      }
      return std::vector{shapes};
    };
    return model.impl().read(lm.inputs_for(ids), states,
                             {.chosen = {{"logits", axis}}, .position = time - 1, .calls = calls});
  }
};

TEST_F(OneToken, is_told_alike_in_every_form) {
  for (const Form form : kForms) {
    for (const bool softmax : {false, true}) {
      SmallModel m{.form = form, .vocabulary = 12, .softmax = softmax || form == Form::kDictionary};
      const auto model = model_of(m);
      const lm::LanguageModel lm(model.impl());
      for (const int64_t time : {24, 12, 2, 1}) {
        const std::vector<int32_t> ids = some_ids(m, time);
        const Tensor tensor = Tensor::from(ids, {1, time});
        const lm::Logits last = lm.last(tensor), all = lm.logits(tensor);
        ASSERT_EQ(last.values().shape(), (Shape{1, 1, 12}));
        EXPECT_EQ(last.last_only(), all.last_only());
        EXPECT_EQ(last.numbers(), all.numbers());
        const std::vector<float> got = last.row(0, 0), want = all.row(0, all.positions() - 1);
        for (size_t v = 0; v < want.size(); ++v) {
          EXPECT_NEAR(got[v], want[v], 1e-5) << static_cast<int>(form) << ' ' << time;
        }
      }
    }
  }
}

TEST_F(OneToken, is_the_last_one_of_a_padded_text) {
  for (const SmallModel& m : {SmallModel{.time = 24}, SmallModel{.listed = {6, 16, 24}},
                              SmallModel{.form = Form::kHead, .rows = 3, .time = 24}}) {
    const auto model = model_of(m);
    const lm::LanguageModel lm(model.impl());
    for (const int64_t time : {5, 6, 23, 24}) {
      lm::LanguageModel::Stream stream(lm);
      const std::vector<int32_t> ids = some_ids(m, time);
      const std::vector<float> got = stream.extend(ids);
      const std::vector<double> want = expected_logits(m, ids).back();
      for (size_t v = 0; v < want.size(); ++v) EXPECT_NEAR(got[v], want[v], 1e-4);
    }
  }
}

TEST_F(OneToken, has_outputs_of_one_position) {
  const std::pair<Form, Shape> forms[] = {{Form::kPlain, {1, 1, 31}},
                                          {Form::kNoBatch, {1, 31}},
                                          {Form::kHead, {1, 31, 1, 1}},
                                          {Form::kTrailing, {1, 1, 31, 1, 1}}};
  for (const auto& [form, shape] : forms) {
    const auto model = model_of({.form = form});
    const int64_t axis = form == Form::kNoBatch ? 0 : form == Form::kHead ? 3 : 1;
    EXPECT_EQ(read(model, 24, axis).outputs.at("logits").tensor.shape(), shape);
  }
}

TEST_F(OneToken, needs_no_head_in_the_calls_before_the_last) {
  SmallModel m{.longest = 8, .cache = 40};
  const auto model = model_of(m);
  const CoreMLModelWrapper::Impl& impl = model.impl();
  const auto read = read_of(*impl.lowered, {}, nullptr);
  EXPECT_TRUE(read.function->body.outputs.empty());
  EXPECT_EQ(elements_of_layers(*read.function), 0);
  // The states are what they were.
  const lm::LanguageModel lm(impl);
  const TensorMap inputs = lm.inputs_for(Tensor::from(some_ids(m, 8), {1, 8}));
  exec::States a = impl.make_states(), b = impl.make_states();
  (void)impl.run(inputs, a);
  EXPECT_TRUE(impl.read(inputs, b, {}).outputs.empty());
  EXPECT_TRUE(bit_equal(a.get("cache"), b.get("cache")));
  // And so is the text that goes through several calls.
  lm::LanguageModel::Stream stream(lm);
  std::vector<int32_t> ids = some_ids(m, 21);
  for (int i = 0; i < 3; ++i) {
    const std::vector<int32_t> part(ids.begin() + stream.size(), ids.end());
    const std::vector<float> got = stream.extend(part);
    const std::vector<double> want = expected_logits(m, ids).back();
    for (size_t v = 0; v < want.size(); ++v) EXPECT_NEAR(got[v], want[v], 0.02);
    ids.push_back(i);
  }
}

TEST_F(OneToken, shares_what_is_made_of_weights) {
  const auto model = model_of({.vocabulary = 500, .width = 64, .longest = 64});
  const lm::LanguageModel lm(model.impl());
  (void)lm.logits(Tensor(DType::kI32, {1, 40}));
  (void)lm.logits(Tensor(DType::kI32, {1, 1}));
  const uint64_t held = model.weight_bytes_held();
  (void)lm.last(Tensor(DType::kI32, {1, 40}));
  EXPECT_EQ(model.weight_bytes_held(), held);
}

}  // namespace
}  // namespace mw
