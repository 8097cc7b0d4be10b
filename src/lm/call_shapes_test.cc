// Tests of the numbers of token ids that one call takes.
#include "lm/call_shapes.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace mw::lm {
namespace {

FeatureDescription ids(const Shape& shape) {
  FeatureDescription feature;
  feature.name = "input_ids";
  feature.shape = shape;
  return feature;
}

std::string text_of(const std::optional<CallShape>& shape) {
  return shape ? std::to_string(shape->batch) + " x " + std::to_string(shape->time) : "none";
}

TEST(CallShapes, of_a_fixed_input) {
  const CallShapes shapes(ids({2, 16}));
  EXPECT_TRUE(shapes.allow({2, 16}));
  EXPECT_FALSE(shapes.allow({1, 16}));
  EXPECT_FALSE(shapes.allow({2, 15}));
  EXPECT_TRUE(shapes.allow_time(16));
  EXPECT_FALSE(shapes.allow_time(15));
  EXPECT_EQ(text_of(shapes.padded({1, 3})), "2 x 16");
  EXPECT_EQ(text_of(shapes.padded({1, 17})), "none");
  EXPECT_EQ(text_of(shapes.padded({3, 3})), "none");
  EXPECT_EQ(shapes.longest(15), 0);
  EXPECT_EQ(shapes.longest(40), 16);
  EXPECT_EQ(shapes.times_text(), "exactly 16");
}

TEST(CallShapes, of_ranges) {
  FeatureDescription input = ids({1, 8});
  input.ranges = {{1, 4}, {2, 64}};
  const CallShapes shapes(input);
  EXPECT_EQ(shapes.max_batch(), 4);
  EXPECT_EQ(shapes.max_time(), 64);
  EXPECT_EQ(text_of(shapes.padded({1, 1})), "1 x 2");
  EXPECT_EQ(text_of(shapes.padded({4, 7})), "4 x 7");
  EXPECT_EQ(text_of(shapes.padded({5, 7})), "none");
  EXPECT_EQ(shapes.longest(1), 0);
  EXPECT_EQ(shapes.longest(100), 64);
  EXPECT_EQ(shapes.times_text(), "2 to 64");
  input.ranges = {{1, 1}, {1, -1}};
  EXPECT_EQ(CallShapes(input).times_text(), "at least 1");
  EXPECT_EQ(CallShapes(input).longest(1000), 1000);
}

TEST(CallShapes, of_a_list_of_shapes) {
  FeatureDescription input = ids({1, 64});
  input.enumerated = {{1, 64}, {1, 32}, {1, 128}, {4, 32}};
  const CallShapes shapes(input);
  EXPECT_TRUE(shapes.allow({4, 32}));
  EXPECT_FALSE(shapes.allow({4, 64}));
  EXPECT_TRUE(shapes.allow_time(64));
  EXPECT_FALSE(shapes.allow_time(65));
  EXPECT_EQ(text_of(shapes.padded({1, 2})), "1 x 32");
  EXPECT_EQ(text_of(shapes.padded({3, 2})), "4 x 32");
  EXPECT_EQ(text_of(shapes.padded({1, 33})), "1 x 64");
  EXPECT_EQ(text_of(shapes.padded({1, 129})), "none");
  EXPECT_EQ(shapes.longest(100), 64);
  EXPECT_EQ(shapes.longest(31), 0);
  EXPECT_EQ(shapes.min_time(), 32);
  EXPECT_EQ(shapes.times_text(), "32, 64 or 128");
}

TEST(CallShapes, of_one_row) {
  const CallShapes shapes(ids({128}));
  EXPECT_TRUE(shapes.allow({1, 128}));
  EXPECT_EQ(shapes.max_batch(), 1);
  EXPECT_EQ(CallShapes(ids({-1})).times_text(), "at least 1");
  EXPECT_THROW(CallShapes(ids({1, 1, 8})), Error);
  EXPECT_THROW(CallShapes(ids({})), Error);
}

}  // namespace
}  // namespace mw::lm
