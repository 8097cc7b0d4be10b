// Tests of pipelines: order, what watches over them, and who is named when a program is unsound.
#include "passes/pipeline.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/text/text.h"
#include "ops/catalog.h"

namespace mw::passes {
namespace {

// A function and what its passes leave behind.
struct Trace {
  std::string done;
  bool twice = false;
};

std::unique_ptr<ir::Program> relu_program() {
  return ir::text::parse(
      "program(1.3)\n{\n func main<ios17>(tensor<fp32, [2]> x) {\n"
      "  tensor<fp32, [2]> y = relu(x = x);\n } -> (y);\n}",
      {});
}

ir::Value* append(ir::Function& function, const char* op) {
  ir::Builder b(function.body, ops::catalog(), function.opset);
  return b.op(op, {{"x", function.body.outputs[0]}});
}

void add_exp(ir::Function& function, Trace& trace) {
  trace.done += "exp ";
  function.body.outputs = {append(function, "exp")};
}
std::unique_ptr<ir::Function> rebuild(const ir::Function& function, Trace& trace) {
  trace.done += "rebuild ";
  return ir::clone(function).function;
}
// Two values of one name.
void rename_wrongly(ir::Function& function, Trace& trace) {
  trace.done += "rename ";
  append(function, "abs")->name = function.body.outputs[0]->name;
}
bool twice(const Trace& trace) { return trace.twice; }

constexpr PassName kAddExp = {"add_exp", "adds one"}, kRebuild = {"rebuild", "copies"},
                   kRename = {"rename", "gives a name twice"};
constexpr Pass<Trace> kList[] = {
    {kAddExp, add_exp}, {kRebuild, rebuild}, {kAddExp, add_exp, twice}};
constexpr Pass<Trace> kUnsound[] = {
    {kAddExp, add_exp}, {kRename, rename_wrongly}, {kRebuild, rebuild}};

size_t ops_in(const ir::Function& function) { return function.body.ops.size(); }

std::string error_of(Watch* watch) {
  const auto program = relu_program();
  Trace trace;
  try {
    (void)run<Trace>(kUnsound, *program->functions[0], trace, {ops::catalog(), watch});
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInternal);
    EXPECT_EQ(trace.done, "exp rename ");  // nothing runs after the pass that is named
    return e.what();
  }
  return "";
}

TEST(pipeline, runs_in_order_those_passes_that_apply_and_leaves_the_source_alone) {
  const auto program = relu_program();
  const ir::Function& source = *program->functions[0];
  Trace once, both{"", true};
  const auto short_one = run<Trace>(kList, source, once, {ops::catalog()});
  const auto long_one = run<Trace>(kList, source, both, {ops::catalog()});
  EXPECT_EQ(once.done, "exp rebuild ");
  EXPECT_EQ(both.done, "exp rebuild exp ");
  EXPECT_EQ(ops_in(*short_one), 2U);
  EXPECT_EQ(ops_in(*long_one), 3U);
  EXPECT_EQ(ops_in(source), 1U);
}

TEST(pipeline, rewrites_the_function_that_it_is_given) {
  const auto program = relu_program();
  Trace trace;
  constexpr Pass<Trace> kInPlace[] = {{kAddExp, add_exp}};
  rewrite<Trace>(kInPlace, *program->functions[0], trace, {ops::catalog()});
  EXPECT_EQ(ops_in(*program->functions[0]), 2U);
}

TEST(pipeline, without_a_pass_that_applies_gives_a_copy) {
  const auto program = relu_program();
  Trace trace;
  constexpr Pass<Trace> kNone[] = {{kAddExp, add_exp, twice}};
  const auto copy = run<Trace>(kNone, *program->functions[0], trace, {ops::catalog()});
  EXPECT_NE(copy.get(), program->functions[0].get());
  EXPECT_EQ(ops_in(*copy), 1U);
}

TEST(pipeline, names_the_pass_after_which_a_program_is_unsound) {
  Watch watch;
  watch.verifies = true;
  EXPECT_EQ(error_of(&watch),
            "pass 'rename' left a program that is not sound: function 'main': 'exp' is defined "
            "twice in one block; report it");
  watch.verifies = false;
  EXPECT_EQ(error_of(&watch), "");
}

TEST(pipeline, shows_the_program_after_each_pass_also_after_the_one_that_broke_it) {
  Watch watch;
  watch.verifies = true;
  std::string seen;
  watch.observer = [&](std::string_view pass, const ir::Function& after) {
    seen += fmt::format("{}:{} ", pass, ops_in(after));
  };
  EXPECT_NE(error_of(&watch), "");
  EXPECT_EQ(seen, "add_exp:2 rename:3 ");
}

TEST(pipeline, counts_calls_and_times_of_passes_in_the_order_in_which_they_ran) {
  const auto program = relu_program();
  Watch watch;
  Trace trace{"", true};
  for (int i = 0; i < 2; ++i) {
    (void)run<Trace>(kList, *program->functions[0], trace, {ops::catalog(), &watch});
  }
  const auto times = watch.times();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times[0].pass, "add_exp");
  EXPECT_EQ(times[0].calls, 4);
  EXPECT_EQ(times[1].pass, "rebuild");
  EXPECT_EQ(times[1].calls, 2);
  EXPECT_GT(times[0].seconds, 0);
}

TEST(pipeline, watches_over_a_pass_that_makes_more_than_a_function) {
  Watch watch;
  watch.verifies = true;
  std::string seen;
  watch.observer = [&](std::string_view pass, const ir::Function&) { seen += pass; };
  const auto function_of = [](const auto& made) {
    return made != nullptr ? made->functions[0].get() : nullptr;
  };
  const auto made = watched(kRebuild, {ops::catalog(), &watch}, relu_program, function_of);
  ASSERT_NE(made, nullptr);
  const auto none = [] { return std::unique_ptr<ir::Program>(); };
  EXPECT_EQ(watched(kAddExp, {ops::catalog(), &watch}, none, function_of), nullptr);
  EXPECT_EQ(seen, "rebuild");
}

}  // namespace
}  // namespace mw::passes
