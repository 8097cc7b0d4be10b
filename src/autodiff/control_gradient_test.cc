// Tests of gradients through conditions, and through loops, lists and states once they are
// rewritten into plain values.
#include <gtest/gtest.h>

#include "autodiff/gradient.h"
#include "base/error.h"
#include "exec/naive.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "ops/rewrites/promote_lists.h"
#include "ops/rewrites/promote_states.h"
#include "ops/rewrites/unroll.h"
#include "passes/specialise.h"

namespace mw::autodiff {
namespace {

using ir::Value;

struct Parsed {
  std::unique_ptr<ir::Function> function;

  // A function that returns y.
  Parsed(const std::string& arguments, const std::string& statements) {
    const auto program = ir::text::parse("program(1.3)\n{ func main<ios18>(" + arguments + ") {\n" +
                                         statements + "\n} -> (y); }\n");
    function = ir::clone(*program->functions.at(0)).function;
    ir::verify(*function, ops::catalog());
  }

  void specialise() { function = passes::specialise(*function, ops::catalog(), {}); }
  Parsed& rewrite() {
    specialise();
    ops::unroll_loops(*function, ops::catalog());
    specialise();
    ops::promote_lists(*function, ops::catalog());
    ops::promote_states(*function, ops::catalog());
    specialise();
    ir::verify(*function, ops::catalog());
    return *this;
  }
  [[nodiscard]] int count(std::string_view type) const {
    int found = 0;
    ir::for_each_op(function->body, [&](const ir::Operation& op) { found += op.type == type; });
    return found;
  }
  std::vector<double> run(const TensorMap& inputs) const {
    const auto results = exec::run_naive(*function, ops::catalog(), inputs);
    return numbers(results.at(function->body.outputs.at(0)->name).tensor);
  }
  // The sum of y, differentiated by an argument.
  std::vector<double> gradient(const std::string& by, const TensorMap& inputs) const {
    const auto copy = ir::clone(*function).function;
    Value* y = copy->body.outputs.at(0);
    Value* x = copy->find_argument(by);
    const auto found =
        autodiff::gradients(*copy, ops::catalog(), ops::gradient_ops(), {{y, nullptr}}, {x});
    copy->body.outputs = found;
    ir::verify(*copy, ops::catalog());
    const auto results = exec::run_naive(*copy, ops::catalog(), inputs);
    return numbers(results.at(found.at(0)->name).tensor);
  }
  static std::vector<double> numbers(const Tensor& tensor) {
    std::vector<double> all;
    for (int64_t i = 0; i < tensor.count(); ++i) all.push_back(tensor.number_at(i));
    return all;
  }
};

Tensor floats(const std::vector<float>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}
using Numbers = std::vector<double>;

constexpr const char* kChoice = R"(
  tensor<fp32, [2]> y = cond(pred = p) {
    tensor<fp32, [2]> a = mul(x = x, y = x);
    tensor<fp32, [2]> b = mul(x = a, y = w);
  } -> (b) {
    tensor<fp32, [2]> c = mul(x = x, y = fp32(3));
  } -> (c);)";

TEST(ControlGradient, of_a_condition_follows_the_block_that_ran) {
  const Parsed p("bool p, tensor<fp32, [2]> x, tensor<fp32, [2]> w", kChoice);
  TensorMap inputs{{"p", Tensor::scalar(true)}, {"x", floats({1, 2})}, {"w", floats({5, 7})}};
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{10, 28}));
  EXPECT_EQ(p.gradient("w", inputs), (Numbers{1, 4}));
  inputs["p"] = Tensor::scalar(false);
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{3, 3}));
  EXPECT_EQ(p.gradient("w", inputs), (Numbers{0, 0}));
}

TEST(ControlGradient, of_a_condition_that_hands_a_value_through) {
  const Parsed p("bool p, tensor<fp32, [2]> x, tensor<fp32, [2]> w",
                 "tensor<fp32, [2]> y = cond(pred = p) { } -> (x) { } -> (w);");
  TensorMap inputs{{"p", Tensor::scalar(true)}, {"x", floats({1, 2})}, {"w", floats({5, 7})}};
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{1, 1}));
  EXPECT_EQ(p.gradient("w", inputs), (Numbers{0, 0}));
}

TEST(ControlGradient, of_conditions_within_conditions) {
  const Parsed p("bool p, bool q, tensor<fp32, [1]> x", R"(
    tensor<fp32, [1]> y = cond(pred = p) {
      tensor<fp32, [1]> a = mul(x = x, y = x);
      tensor<fp32, [1]> b = cond(pred = q) {
        tensor<fp32, [1]> c = mul(x = a, y = x);
      } -> (c) { } -> (a);
    } -> (b) { } -> (x);)");
  TensorMap inputs{{"p", Tensor::scalar(true)}, {"q", Tensor::scalar(true)}, {"x", floats({3})}};
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{27}));
  inputs["q"] = Tensor::scalar(false);
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{6}));
  inputs["p"] = Tensor::scalar(false);
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{1}));
}

constexpr const char* kPower = R"(
  int32 n, tensor<fp32, [2]> y = while_loop(loop_vars = (int32(0), w))
    (int32 i, tensor<fp32, [2]> v) { bool more = less(x = i, y = int32(3)); } -> (more)
    (int32 j, tensor<fp32, [2]> u) {
      tensor<fp32, [2]> k = const()[val = tensor<fp32, [2]>([1, 2])];
      tensor<fp32, [2]> t = mul(x = u, y = x);
      tensor<fp32, [2]> s = mul(x = t, y = k);
      int32 next = add(x = j, y = int32(1));
    } -> (next, s);)";

TEST(Unroll, replaces_a_loop_by_its_trips) {
  Parsed p("tensor<fp32, [2]> x, tensor<fp32, [2]> w", kPower);
  const TensorMap inputs{{"x", floats({2, 3})}, {"w", floats({1, 10})}};
  const Numbers before = p.run(inputs);
  EXPECT_EQ(before, (Numbers{8, 2160}));
  p.rewrite();
  EXPECT_EQ(p.count("while_loop"), 0);
  EXPECT_EQ(p.function->body.outputs.at(0)->name, "y");
  EXPECT_EQ(p.run(inputs), before);
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{12, 2160}));
  EXPECT_EQ(p.gradient("w", inputs), (Numbers{8, 216}));
}

TEST(Unroll, shares_the_constants_of_all_trips) {
  Parsed p("tensor<fp32, [2]> x, tensor<fp32, [2]> w", kPower);
  ops::unroll_loops(*p.function, ops::catalog());
  EXPECT_EQ(p.count("const"), 1 + 1);  // k, and the count that the loop began with
}

TEST(Unroll, leaves_a_loop_that_depends_on_data) {
  Parsed p("int32 limit, tensor<fp32, [2]> x", R"(
    int32 n, tensor<fp32, [2]> y = while_loop(loop_vars = (int32(0), x))
      (int32 i, tensor<fp32, [2]> v) { bool more = less(x = i, y = limit); } -> (more)
      (int32 j, tensor<fp32, [2]> u) {
        tensor<fp32, [2]> t = mul(x = u, y = x);
        int32 next = add(x = j, y = int32(1));
      } -> (next, t);)");
  p.rewrite();
  EXPECT_EQ(p.count("while_loop"), 1);
  try {
    p.gradient("x", {{"limit", Tensor::scalar(2)}, {"x", floats({2, 3})}});
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("while_loop"), std::string::npos) << e.what();
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
  }
}

TEST(Unroll, stops_at_its_limits) {
  Parsed endless("tensor<fp32, [2]> x", R"(
    int32 n, tensor<fp32, [2]> y = while_loop(loop_vars = (int32(0), x))
      (int32 i, tensor<fp32, [2]> v) { bool more = less(x = int32(-1), y = i); } -> (more)
      (int32 j, tensor<fp32, [2]> u) { tensor<fp32, [2]> t = mul(x = u, y = x); } -> (j, t);)");
  ops::unroll_loops(*endless.function, ops::catalog());
  EXPECT_EQ(endless.count("while_loop"), 1);
  Parsed p("tensor<fp32, [2]> x, tensor<fp32, [2]> w", kPower);
  ops::unroll_loops(*p.function, ops::catalog(), {.trips = 2, .ops = 100});
  EXPECT_EQ(p.count("while_loop"), 1);
  ops::unroll_loops(*p.function, ops::catalog(), {.trips = 3, .ops = 11});
  EXPECT_EQ(p.count("while_loop"), 1);
  ops::unroll_loops(*p.function, ops::catalog(), {.trips = 3, .ops = 12});
  EXPECT_EQ(p.count("while_loop"), 0);
}

TEST(Unroll, takes_loops_within_loops_and_conditions) {
  Parsed p("bool p, tensor<fp32, [1]> x", R"(
    tensor<fp32, [1]> y = cond(pred = p) {
      int32 n, tensor<fp32, [1]> a = while_loop(loop_vars = (int32(0), x))
        (int32 i, tensor<fp32, [1]> v) { bool more = less(x = i, y = int32(2)); } -> (more)
        (int32 j, tensor<fp32, [1]> u) {
          int32 m, tensor<fp32, [1]> b = while_loop(loop_vars = (j, u))
            (int32 k, tensor<fp32, [1]> s) { bool again = less(x = k, y = int32(2)); } -> (again)
            (int32 l, tensor<fp32, [1]> t) {
              tensor<fp32, [1]> r = mul(x = t, y = x);
              int32 up = add(x = l, y = int32(1));
            } -> (up, r);
          int32 next = add(x = j, y = int32(1));
        } -> (next, b);
    } -> (a) { } -> (x);)");
  const TensorMap inputs{{"p", Tensor::scalar(true)}, {"x", floats({2})}};
  EXPECT_EQ(p.run(inputs), (Numbers{16}));
  p.rewrite();
  EXPECT_EQ(p.count("while_loop"), 0);
  EXPECT_EQ(p.run(inputs), (Numbers{16}));
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{32}));
}

TEST(Unroll, of_no_trip_gives_what_the_loop_began_with) {
  Parsed p("tensor<fp32, [2]> x", R"(
    int32 n, tensor<fp32, [2]> y = while_loop(loop_vars = (int32(5), x))
      (int32 i, tensor<fp32, [2]> v) { bool more = less(x = i, y = int32(2)); } -> (more)
      (int32 j, tensor<fp32, [2]> u) { tensor<fp32, [2]> t = mul(x = u, y = x); } -> (j, t);)");
  p.rewrite();
  EXPECT_EQ(p.count("while_loop"), 0);
  EXPECT_EQ(p.run({{"x", floats({2, 3})}}), (Numbers{2, 3}));
  EXPECT_EQ(p.gradient("x", {{"x", floats({2, 3})}}), (Numbers{1, 1}));
}

TEST(PromoteLists, makes_elements_plain_values) {
  Parsed p("tensor<fp32, [2]> x, tensor<fp32, [2]> w", R"(
    list<tensor<fp32, [2]>, 3> a = make_list(init_length = int32(3), dynamic_length = bool(false),
                                             elem_shape = (int32(2)), dtype = string("fp32"));
    list<tensor<fp32, [2]>, 3> b = list_write(ls = a, index = int32(0), value = x);
    list<tensor<fp32, [2]>, 3> c = list_write(ls = b, index = int32(1), value = w);
    list<tensor<fp32, [2]>, 3> d = list_write(ls = c, index = int32(0), value = w);
    tensor<fp32, [2]> one = list_read(ls = c, index = int32(0));
    tensor<fp32, [3, 2]> all = list_gather(ls = d, indices = tensor<int32, [3]>([2, 1, 0]));
    int32 n = list_length(ls = d);
    fp32 m = cast(x = n, dtype = string("fp32"));
    tensor<fp32, [3, 2]> part = mul(x = all, y = all);
    tensor<fp32, [3, 2]> more = add(x = part, y = one);
    tensor<fp32, [3, 2]> y = mul(x = more, y = m);)");
  const TensorMap inputs{{"x", floats({2, 3})}, {"w", floats({4, 5})}};
  const Numbers before = p.run(inputs);
  p.rewrite();
  for (const char* op : {"make_list", "list_write", "list_read", "list_gather", "list_length"}) {
    EXPECT_EQ(p.count(op), 0) << op;
  }
  EXPECT_EQ(p.run(inputs), before);
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{9, 9}));
  EXPECT_EQ(p.gradient("w", inputs), (Numbers{48, 60}));
}

TEST(PromoteLists, follows_a_loop_that_writes_one) {
  Parsed p("tensor<fp32, [2]> x", R"(
    list<tensor<fp32, [2]>, 3> a = make_list(init_length = int32(3), dynamic_length = bool(false),
                                             elem_shape = (int32(2)), dtype = string("fp32"));
    int32 n, tensor<fp32, [2]> last, list<tensor<fp32, [2]>, 3> c =
      while_loop(loop_vars = (int32(0), x, a))
      (int32 i, tensor<fp32, [2]> v, list<tensor<fp32, [2]>, 3> q) {
        bool more = less(x = i, y = int32(3)); } -> (more)
      (int32 j, tensor<fp32, [2]> u, list<tensor<fp32, [2]>, 3> r) {
        tensor<fp32, [2]> t = mul(x = u, y = x);
        list<tensor<fp32, [2]>, 3> s = list_write(ls = r, index = j, value = t);
        int32 next = add(x = j, y = int32(1));
      } -> (next, t, s);
    tensor<fp32, [3, 2]> y = list_gather(ls = c, indices = tensor<int32, [3]>([0, 1, 2]));)");
  const TensorMap inputs{{"x", floats({2, 1})}};
  EXPECT_EQ(p.run(inputs), (Numbers{4, 1, 8, 1, 16, 1}));
  p.rewrite();
  EXPECT_EQ(p.count("list_gather"), 0);
  EXPECT_EQ(p.run(inputs), (Numbers{4, 1, 8, 1, 16, 1}));
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{4 + 12 + 32, 2 + 3 + 4}));
}

TEST(PromoteLists, takes_what_was_scattered_apart) {
  Parsed p("tensor<fp32, [2, 2]> x", R"(
    list<tensor<fp32, [2]>, 2> a = make_list(init_length = int32(2), dynamic_length = bool(false),
                                             elem_shape = (int32(2)), dtype = string("fp32"));
    list<tensor<fp32, [2]>, 2> b =
      list_scatter(ls = a, indices = tensor<int32, [2]>([1, 0]), value = x);
    tensor<fp32, [2]> one = list_read(ls = b, index = int32(1));
    tensor<fp32, [2]> y = mul(x = one, y = one);)");
  const TensorMap inputs{{"x", Tensor::from<float>({1, 2, 3, 4}, {2, 2})}};
  EXPECT_EQ(p.run(inputs), (Numbers{1, 4}));
  p.rewrite();
  EXPECT_EQ(p.run(inputs), (Numbers{1, 4}));
  EXPECT_EQ(p.gradient("x", inputs), (Numbers{2, 4, 0, 0}));
}

TEST(PromoteStates, passes_what_was_written_to_later_reads) {
  Parsed p("state<tensor<fp32, [2]>> s, tensor<fp32, [2]> x", R"(
    tensor<fp32, [2]> old = read_state(input = s);
    tensor<fp32, [2]> sum = add(x = old, y = x);
    write_state(input = s, data = sum);
    tensor<fp32, [2]> now = read_state(input = s);
    tensor<fp32, [2]> again = read_state(input = s);
    tensor<fp32, [2]> y = mul(x = now, y = again);)");
  p.rewrite();
  EXPECT_EQ(p.count("read_state"), 1);
  EXPECT_EQ(p.count("write_state"), 1);
  const auto found = autodiff::gradients(*p.function, ops::catalog(), ops::gradient_ops(),
                                         {{p.function->body.outputs.at(0), nullptr}},
                                         {p.function->find_argument("x")});
  EXPECT_NE(found.at(0), nullptr);
}

}  // namespace
}  // namespace mw::autodiff
