// Tests of which shapes are planned from one another, and of when that is given up.
#include "exec/related_plans.h"

#include <gtest/gtest.h>

namespace mw::exec {
namespace {

TEST(RelatedPlans, relate_where_the_same_extents_are_one) {
  const RelatedPlans plans({{"ids", {1, 7}}, {"mask", {1, 1, 7, 9}}}, nullptr);
  EXPECT_TRUE(plans.relates({{"ids", {1, 8}}, {"mask", {1, 1, 8, 20}}}));
  EXPECT_FALSE(plans.relates({{"ids", {1, 1}}, {"mask", {1, 1, 1, 9}}}));
  EXPECT_FALSE(plans.relates({{"ids", {2, 7}}, {"mask", {1, 1, 7, 9}}}));
  EXPECT_FALSE(plans.relates({{"ids", {1, 7, 2}}, {"mask", {1, 1, 7, 9}}}));
  EXPECT_FALSE(plans.relates({{"ids", {1, 7}}}));
}

TEST(RelatedPlans, a_function_that_cannot_be_adjusted_is_asked_for_once) {
  int asked = 0;
  Shapes at;
  RelatedPlans plans({{"x", {2}}}, [&](const Shapes& shapes, const std::set<std::string>&) {
    ++asked;
    at = shapes;
    return nullptr;
  });
  EXPECT_EQ(plans.plan({{"x", {3}}}, nullptr), nullptr);
  EXPECT_EQ(plans.plan({{"x", {4}}}, nullptr), nullptr);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(at, (Shapes{{"x", {2}}}));  // a family begins where the first plan was made
}

}  // namespace
}  // namespace mw::exec
