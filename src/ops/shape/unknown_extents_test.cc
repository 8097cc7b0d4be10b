// What the shape and index ops infer when extents or parameters are not known before the run.
#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ops/catalog.h"

namespace mw::ops {
namespace {

using ir::Argument;

class UnknownExtents : public testing::Test {
 protected:
  ir::Value* input(DType dtype, const Shape& shape) {
    return function_.body.add_argument("in" + std::to_string(count_++),
                                       ir::Type::tensor(dtype, shape));
  }
  ir::Value* floats(const Shape& shape) { return input(DType::kF32, shape); }
  ir::Value* integers(const Shape& shape) { return input(DType::kI32, shape); }
  // The shape of the first result.
  std::string shape(const char* op, const std::vector<Argument>& arguments) {
    ir::Builder b(function_.body, catalog(), ir::Opset::kIos18);
    return to_string(b.op(op, arguments)->type.shape());
  }

 private:
  ir::Function function_;
  int count_ = 0;
};

using Ints = std::vector<int64_t>;

TEST_F(UnknownExtents, of_reshape) {
  ir::Value* x = floats({1, -1, 64});
  EXPECT_EQ(shape("reshape", {{"x", x}, {"shape", Ints{0, 0, 8, 8}}}), "[1, 1, 8, 8]");
  EXPECT_EQ(shape("reshape", {{"x", x}, {"shape", Ints{1, -1, 8, 8}}}), "[1, ?, 8, 8]");
  EXPECT_EQ(shape("reshape", {{"x", x}, {"shape", Ints{0, 0, 64}}}), "[1, ?, 64]");
  EXPECT_EQ(shape("reshape", {{"x", x}, {"shape", Ints{4, 16}}}), "[4, 16]");
  EXPECT_EQ(shape("reshape", {{"x", x}, {"shape", integers({3})}}), "[?, ?, ?]");
  EXPECT_THROW(shape("reshape", {{"x", x}, {"shape", integers({-1})}}), std::exception);
}

TEST_F(UnknownExtents, of_views) {
  ir::Value* x = floats({1, -1, 4});
  EXPECT_EQ(shape("shape", {{"x", x}}), "[3]");
  EXPECT_EQ(shape("squeeze", {{"x", x}}), "[?, 4]");
  EXPECT_EQ(shape("squeeze", {{"x", x}, {"axes", Ints{1}}}), "[1, ?, 4]");
  EXPECT_EQ(shape("expand_dims", {{"x", x}, {"axes", Ints{1}}}), "[1, 1, ?, 4]");
  EXPECT_EQ(shape("flatten2d", {{"x", x}, {"axis", 2}}), "[?, 4]");
  EXPECT_EQ(shape("transpose", {{"x", x}, {"perm", Ints{2, 1, 0}}}), "[4, ?, 1]");
}

TEST_F(UnknownExtents, of_concat_split_and_stack) {
  ir::Value *a = floats({2, -1}), *b = floats({-1, 3});
  EXPECT_EQ(shape("concat", {{"values", std::vector{a, b}}, {"axis", 0}}), "[?, 3]");
  EXPECT_EQ(shape("concat", {{"values", std::vector{b, a}}, {"axis", 1}}), "[2, ?]");
  EXPECT_EQ(shape("stack", {{"values", std::vector{a, b}}, {"axis", 0}}), "[2, 2, 3]");
  EXPECT_EQ(shape("split", {{"x", a}, {"num_splits", 2}, {"axis", 1}}), "[2, ?]");
  EXPECT_EQ(shape("split", {{"x", a}, {"split_sizes", Ints{1, 2}}, {"axis", 1}}), "[2, 1]");
}

TEST_F(UnknownExtents, of_slices) {
  ir::Value* x = floats({-1, 5});
  const auto slice = [&](const Ints& begin, const Ints& end) {
    return shape("slice_by_index", {{"x", x}, {"begin", begin}, {"end", end}});
  };
  EXPECT_EQ(slice({0, 1}, {9, 3}), "[?, 2]");
  EXPECT_EQ(slice({2, 0}, {3, 5}), "[1, 5]");
  EXPECT_EQ(slice({3, 0}, {3, 5}), "[0, 5]");
  EXPECT_EQ(slice({-1, 0}, {0, 5}), "[?, 5]");
  const auto flags = [](const std::vector<bool>& values) {
    return ir::Constant::tensor(Tensor::from(values, {static_cast<int64_t>(values.size())}));
  };
  EXPECT_EQ(shape("slice_by_index", {{"x", x},
                                     {"begin", Ints{-1, 0}},
                                     {"end", Ints{0, 0}},
                                     {"end_mask", flags({true, true})}}),
            "[1, 5]");
  EXPECT_EQ(shape("slice_by_index", {{"x", x},
                                     {"begin", integers({2})},
                                     {"end", integers({2})},
                                     {"squeeze_mask", flags({true, false})}}),
            "[?]");
  EXPECT_EQ(shape("slice_by_index", {{"x", x},
                                     {"begin", integers({2})},
                                     {"end", integers({2})},
                                     {"begin_mask", flags({false, true})},
                                     {"end_mask", flags({false, true})}}),
            "[?, 5]");
  EXPECT_EQ(shape("slice_by_size", {{"x", x}, {"begin", Ints{0, 1}}, {"size", Ints{3, -1}}}),
            "[3, 4]");
  EXPECT_EQ(shape("slice_by_size", {{"x", x}, {"begin", integers({2})}, {"size", Ints{-1, 2}}}),
            "[?, 2]");
  EXPECT_EQ(shape("slice_update", {{"x", x},
                                   {"update", floats({-1, 2})},
                                   {"begin", integers({2})},
                                   {"end", integers({2})}}),
            "[?, 5]");
}

TEST_F(UnknownExtents, of_extensions) {
  ir::Value* x = floats({-1, 5});
  EXPECT_EQ(shape("tile", {{"x", x}, {"reps", Ints{2, 2}}}), "[?, 10]");
  EXPECT_EQ(shape("tile", {{"x", x}, {"reps", integers({2})}}), "[?, ?]");
  EXPECT_EQ(shape("pad", {{"x", x}, {"pad", Ints{1, 1, 1, 1}}}), "[?, 7]");
  EXPECT_EQ(shape("pad", {{"x", floats({2, 5})}, {"pad", integers({2})}}), "[2, ?]");
  EXPECT_EQ(shape("reverse", {{"x", x}}), "[?, 5]");
  EXPECT_EQ(shape("band_part", {{"x", x}}), "[?, 5]");
  EXPECT_EQ(shape("sliding_windows", {{"x", x}, {"axis", 0}, {"size", 3}}), "[?, 3, 5]");
  EXPECT_EQ(shape("fill", {{"shape", integers({2})}, {"value", 1.0f}}), "[?, ?]");
  EXPECT_EQ(shape("fill_like", {{"ref_tensor", x}}), "[?, 5]");
  EXPECT_EQ(shape("range_1d", {{"start", 0}, {"end", integers({})}, {"step", 1}}), "[?]");
  EXPECT_EQ(shape("range_1d", {{"start", 0}, {"end", 7}, {"step", 2}}), "[4]");
}

TEST_F(UnknownExtents, of_blocks) {
  ir::Value* x = floats({-1, 8, -1, 4});
  EXPECT_EQ(shape("depth_to_space", {{"x", x}, {"block_size", 2}}), "[?, 2, ?, 8]");
  EXPECT_EQ(shape("space_to_depth", {{"x", x}, {"block_size", 2}}), "[?, 32, ?, 2]");
  const ir::ConstantPtr none = ir::Constant::tensor(Tensor(DType::kI32, {2, 2}));
  EXPECT_EQ(shape("batch_to_space", {{"x", x}, {"block_shape", Ints{2, 2}}, {"crops", none}}),
            "[?, 8, ?, 8]");
  EXPECT_EQ(shape("space_to_batch", {{"x", x}, {"block_shape", Ints{2, 2}}, {"paddings", none}}),
            "[?, 8, ?, 2]");
}

TEST_F(UnknownExtents, of_gather_and_scatter) {
  ir::Value* x = floats({-1, 5});
  EXPECT_EQ(shape("gather", {{"x", x}, {"indices", integers({-1})}, {"axis", 0}}), "[?, 5]");
  EXPECT_EQ(shape("gather", {{"x", x}, {"indices", integers({2, 3})}, {"axis", 1}}), "[?, 2, 3]");
  EXPECT_EQ(
      shape("gather", {{"x", x}, {"indices", integers({4, 3})}, {"axis", 1}, {"batch_dims", 1}}),
      "[4, 3]");
  EXPECT_EQ(shape("gather_along_axis", {{"x", x}, {"indices", integers({2, -1})}, {"axis", 1}}),
            "[2, ?]");
  EXPECT_EQ(shape("gather_nd", {{"x", x}, {"indices", integers({-1, 1})}}), "[?, 5]");
  EXPECT_THROW(shape("gather_nd", {{"x", x}, {"indices", integers({2, -1})}}), std::exception);
  EXPECT_EQ(
      shape("scatter", {{"data", x}, {"indices", integers({3})}, {"updates", floats({-1, 5})}}),
      "[?, 5]");
  EXPECT_EQ(
      shape("scatter_nd", {{"data", x}, {"indices", integers({-1, 2})}, {"updates", floats({4})}}),
      "[?, 5]");
}

TEST_F(UnknownExtents, of_selections) {
  ir::Value* x = floats({-1, 5});
  EXPECT_EQ(shape("one_hot", {{"indices", integers({-1})}, {"one_hot_vector_size", integers({})}}),
            "[?, ?]");
  EXPECT_EQ(shape("topk", {{"x", x}, {"k", 3}, {"axis", 0}}), "[3, 5]");
  EXPECT_EQ(shape("topk", {{"x", x}, {"k", -1}, {"axis", 0}}), "[?, 5]");
  EXPECT_EQ(shape("argsort", {{"x", x}}), "[?, 5]");
  EXPECT_EQ(shape("non_zero", {{"x", x}}), "[?, 2]");
  EXPECT_EQ(shape("reverse_sequence",
                  {{"x", x}, {"lengths", integers({5})}, {"seq_axis", 0}, {"batch_axis", 1}}),
            "[?, 5]");
  EXPECT_EQ(shape("non_maximum_suppression", {{"boxes", floats({1, 4, -1})},
                                              {"scores", floats({-1, 2, -1})},
                                              {"iou_threshold", 0.5f},
                                              {"max_boxes", 7}}),
            "[1, 4, 7]");
}

}  // namespace
}  // namespace mw::ops
