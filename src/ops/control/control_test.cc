// Tests of cond and while_loop on small programs.
#include "ops/control/testing.h"

namespace mw::ops {
namespace {

constexpr const char* kChoice = R"(
  tensor<fp32, [2]> y, tensor<fp32, [?]> z = cond(pred = p) {
    tensor<fp32, [2]> a = add(x = x, y = fp32(1));
  } -> (a, x) {
    tensor<fp32, [3]> b = const()[val = tensor<fp32, [3]>([7, 8, 9])];
  } -> (x, b);)";

TEST(Cond, runs_the_block_that_the_predicate_chooses) {
  SmallRunner program("bool p, tensor<fp32, [2]> x", kChoice, "y, z");
  const Tensor x = floats({1, 2}, {2});
  std::vector<Tensor> results = program.run({Tensor::scalar(true), x});
  EXPECT_TRUE(bit_equal(results[0], floats({2, 3}, {2})));
  EXPECT_TRUE(bit_equal(results[1], x));
  results = program.run({Tensor::scalar(false), x});
  EXPECT_TRUE(bit_equal(results[0], x));
  EXPECT_TRUE(bit_equal(results[1], floats({7, 8, 9}, {3})));
}

TEST(Cond, takes_a_predicate_of_one_element) {
  SmallRunner program("tensor<bool, [1]> p", R"(
    fp32 y = cond(pred = p) { fp32 a = const()[val = fp32(1)]; } -> (a)
                            { fp32 b = const()[val = fp32(2)]; } -> (b);)",
                      "y");
  EXPECT_EQ(program.run({Tensor::from<bool>({false}, {1})})[0].number_at(0), 2);
}

TEST(Cond, rejects_blocks_that_do_not_agree) {
  expect_rejected(
      "bool p, fp32 x, int32 i", "fp32 y = cond(pred = p) { } -> (x) { } -> (i);", "y",
      "cond 'y': expected outputs 0 of both blocks of one type, got tensor<fp32, []> and "
      "tensor<int32, []>");
  expect_rejected("bool p, fp32 x", "fp32 y = cond(pred = p) { } -> (x) { } -> (x, x);", "y",
                  "cond 'y': expected as many outputs of both blocks, got 1 and 2");
  expect_rejected("bool p, fp32 x", "fp32 y = cond(pred = p) { } -> (x);", "y",
                  "cond 'y': expected 2 blocks, got 1");
  expect_rejected("bool p, fp32 x", "fp32 y = cond(pred = p) (fp32 a) { } -> (a) { } -> (x);", "y",
                  "cond 'y': expected blocks without arguments, got 1 and 0");
}

TEST(Cond, rejects_a_predicate_that_is_no_flag) {
  expect_rejected("fp32 p, fp32 x", "fp32 y = cond(pred = p) { } -> (x) { } -> (x);", "y",
                  "pred: expected one bool, got tensor<fp32, []>");
  expect_rejected("tensor<bool, [2]> p, fp32 x", "fp32 y = cond(pred = p) { } -> (x) { } -> (x);",
                  "y", "pred: expected one bool, got tensor<bool, [2]>");
  SmallRunner program("tensor<bool, [?]> p, fp32 x",
                      "fp32 y = cond(pred = p) { } -> (x) { } -> (x);", "y");
  const std::string got = error_of([&] {
    program.run({Tensor::from<bool>({true, true}, {2}), Tensor::scalar(1.0f)});
  });
  EXPECT_NE(got.find("pred: expected one bool, got"), std::string::npos) << got;
}

constexpr const char* kPowers = R"(
  int32 n, fp32 y = while_loop(loop_vars = (int32(0), x)) (int32 i, fp32 v) {
    bool go = less(x = i, y = limit);
  } -> (go) (int32 i, fp32 v) {
    int32 next = add(x = i, y = int32(1));
    fp32 twice = mul(x = v, y = fp32(2));
  } -> (next, twice);)";

TEST(WhileLoop, runs_the_body_while_the_condition_holds) {
  SmallRunner program("int32 limit, fp32 x", kPowers, "n, y");
  std::vector<Tensor> results = program.run({Tensor::scalar<int32_t>(5), Tensor::scalar(3.0f)});
  EXPECT_EQ(results[0].integer_at(0), 5);
  EXPECT_EQ(results[1].number_at(0), 96);
  results = program.run({Tensor::scalar<int32_t>(0), Tensor::scalar(3.0f)});
  EXPECT_EQ(results[0].integer_at(0), 0);
  EXPECT_EQ(results[1].number_at(0), 3);
}

TEST(WhileLoop, lets_a_tensor_grow) {
  SmallRunner program("tensor<fp32, [1]> x", R"(
    int32 n, tensor<fp32, [?]> y = while_loop(loop_vars = (int32(0), x))
        (int32 i, tensor<fp32, [?]> v) {
      bool go = less(x = i, y = int32(3));
    } -> (go) (int32 i, tensor<fp32, [?]> v) {
      int32 next = add(x = i, y = int32(1));
      tensor<fp32, [?]> more = concat(values = (v, x), axis = int32(0));
    } -> (next, more);)",
                      "y");
  EXPECT_TRUE(bit_equal(program.run({floats({4}, {1})})[0], floats({4, 4, 4, 4}, {4})));
}

TEST(WhileLoop, nests_and_sees_the_values_around_it) {
  SmallRunner program("int32 limit", R"(
    int32 n, int32 sum = while_loop(loop_vars = (int32(0), int32(0))) (int32 i, int32 s) {
      bool go = less(x = i, y = limit);
    } -> (go) (int32 i, int32 s) {
      int32 next = add(x = i, y = int32(1));
      int32 m, int32 inner = while_loop(loop_vars = (int32(0), s)) (int32 k, int32 t) {
        bool go = less(x = k, y = next);
      } -> (go) (int32 k, int32 t) {
        int32 up = add(x = k, y = int32(1));
        int32 more = add(x = t, y = i);
      } -> (up, more);
    } -> (next, inner);)",
                      "sum");
  // The sum of i * (i + 1) for i below 4.
  EXPECT_EQ(program.run({Tensor::scalar<int32_t>(4)})[0].integer_at(0), 20);
}

TEST(WhileLoop, stops_when_the_body_breaks_its_types) {
  // The slice is declared to have 2 elements; at run time `size` says otherwise.
  SmallRunner program("tensor<fp32, [2]> x, tensor<int32, [1]> size", R"(
    tensor<fp32, [2]> y = while_loop(loop_vars = (x)) (tensor<fp32, [2]> v) {
      bool go = const()[val = bool(true)];
    } -> (go) (tensor<fp32, [2]> v) {
      tensor<fp32, [2]> cut = slice_by_size(x = v, begin = tensor<int32, [1]>([0]), size = size);
    } -> (cut);)",
                      "y");
  const std::string got = error_of([&] { program.run({floats({1, 2}, {2}), integers({1})}); });
  EXPECT_EQ(got,
            "while_loop 'y': loop_vars: expected the body block to give tensor<fp32, [2]> for 'v', "
            "got tensor<fp32, [1]>");
}

TEST(WhileLoop, rejects_blocks_that_do_not_fit) {
  const std::string condition = "(fp32 v) { bool go = less(x = v, y = x); } -> (go)";
  expect_rejected(
      "fp32 x, int32 i",
      "fp32 y = while_loop(loop_vars = (x)) " + condition + " (fp32 v) { } -> (i);", "y",
      "loop_vars: expected the body block to give tensor<fp32, []> for 'v', got tensor<int32, []>");
  expect_rejected(
      "fp32 x", "fp32 y = while_loop(loop_vars = (x)) " + condition + " (fp32 v) { } -> (v, v);",
      "y", "loop_vars: expected 1 outputs of the body block, one per loop variable, got 2");
  expect_rejected("fp32 x",
                  "fp32 y = while_loop(loop_vars = (x)) (fp32 v) { } -> (v) (fp32 v) { } -> (v);",
                  "y", "loop_vars: expected one bool, got tensor<fp32, []>");
  expect_rejected("fp32 x",
                  "fp32 y = while_loop(loop_vars = (x, x)) " + condition + " (fp32 v) { } -> (v);",
                  "y", "loop_vars: expected 1 values as the condition block has arguments, got 2");
  expect_rejected("fp32 x, int32 i",
                  "fp32 y = while_loop(loop_vars = (i)) " + condition + " (fp32 v) { } -> (v);",
                  "y",
                  "loop_vars: expected tensor<fp32, []> for argument 'v' of the condition block");
  expect_rejected("fp32 x", "fp32 y = while_loop(loop_vars = (x)) " + condition + ";", "y",
                  "expected 2 blocks, got 1");
  expect_rejected("fp32 x",
                  "fp32 y = while_loop(loop_vars = (x)) (fp32 v) { } -> () (fp32 v) { } -> (v);",
                  "y", "loop_vars: expected one output of the condition block, got 0");
}

}  // namespace
}  // namespace mw::ops
