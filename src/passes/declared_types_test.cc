// Tests of correct(): which contradictions between declared and inferred types are taken as
// inferred.
#include <gtest/gtest.h>

#include "base/error.h"
#include "exec/naive.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "ops/catalog.h"
#include "passes/precision.h"
#include "passes/specialise.h"

namespace mw::passes {
namespace {

std::unique_ptr<ir::Program> program(const std::string& signature, const std::string& body,
                                     const std::string& outputs) {
  return ir::text::parse("program(1.3)\n{\n func main<ios17>(" + signature + ") {\n" + body +
                             "\n } -> (" + outputs + ");\n}",
                         {});
}

std::string verify_error(const ir::Program& program) {
  try {
    ir::verify(program, ops::catalog());
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::vector<std::string> corrections_of(ir::Program& program) {
  std::vector<std::string> texts;
  for (const ir::Correction& correction : ir::correct(program, ops::catalog())) {
    texts.push_back(correction.text());
  }
  return texts;
}

// A mask of two numbers, as coremltools declares it, and what follows from it.
const char* const kMask = R"(
  tensor<bool, [2, 3]> c = greater(x = x, y = fp32(0));
  fp32 m = select(cond = c, a = fp32(0), b = fp32(-10000));
  tensor<fp32, [1]> e = expand_dims(x = m, axes = tensor<int32, [1]>([0]));
  tensor<fp32, [2, 3]> y = add(x = x, y = m);)";

TEST(correct, takes_a_select_of_two_numbers_and_what_follows_as_inferred) {
  const auto source = program("tensor<fp32, [2, 3]> x", kMask, "y, e");
  EXPECT_EQ(verify_error(*source), "");
  EXPECT_EQ(corrections_of(*source),
            (std::vector<std::string>{
                "select 'm': declared tensor<fp32, []>, taken as tensor<fp32, [2, 3]>",
                "expand_dims 'e': declared tensor<fp32, [1]>, taken as tensor<fp32, [1, 2, 3]>"}));
  EXPECT_EQ(source->functions[0]->body.outputs[1]->type, ir::Type::tensor(DType::kF32, {1, 2, 3}));
  EXPECT_EQ(corrections_of(*source), std::vector<std::string>{});
  const auto made = specialise(*source->functions[0], ops::catalog(), {});
  const Tensor x = Tensor::from<float>({1, -1, 2, -2, 3, 0}, {2, 3});
  const auto got = exec::run_naive(*made, ops::catalog(), {{"x", x}});
  EXPECT_EQ(got.at("y").tensor.number_at(1), -10001);
  EXPECT_EQ(got.at("e").tensor.shape(), (Shape{1, 2, 3}));
}

TEST(correct, knows_the_kind_in_other_dtypes_extents_and_places) {
  for (const char* dtype : {"fp16", "fp32", "int32", "bool"}) {
    const std::string value = std::string(dtype) == "bool" ? "(true)" : "(1)";
    const auto source =
        program("tensor<bool, [?, 5]> c",
                fmt::format("tensor<{0}, [1, 1]> a = const()[val = tensor<{0}, [1, 1]>([[{1}]])];\n"
                            "tensor<{0}, [1, 1]> y = select(cond = c, a = a, b = {0}{2});",
                            dtype, value.substr(1, value.size() - 2), value),
                "y");
    EXPECT_EQ(
        corrections_of(*source),
        std::vector<std::string>{fmt::format(
            "select 'y': declared tensor<{0}, [1, 1]>, taken as tensor<{0}, [?, 5]>", dtype)});
  }
}

TEST(correct, follows_a_value_into_blocks) {
  const auto source = program("tensor<fp32, [2, 3]> x, bool p", R"(
    tensor<bool, [2, 3]> c = greater(x = x, y = fp32(0));
    fp32 m = select(cond = c, a = fp32(0), b = fp32(-1));
    fp32 y = cond(pred = p) true_block {
      fp32 t = add(x = m, y = fp32(1));
    } -> (t) false_block {
      fp32 f = mul(x = m, y = fp32(2));
    } -> (f);)",
                              "y");
  EXPECT_EQ(corrections_of(*source).size(), 4U);
  EXPECT_EQ(source->functions[0]->body.outputs[0]->type, ir::Type::tensor(DType::kF32, {2, 3}));
}

TEST(correct, leaves_every_other_contradiction_an_error) {
  const auto message = [](const std::string& body) {
    return verify_error(*program("tensor<fp32, [2, 3]> x, tensor<bool, [2, 3]> c", body, "y"));
  };
  // Neither what is inferred nor what coremltools writes.
  EXPECT_EQ(message("tensor<fp32, [3]> y = select(cond = c, a = fp32(0), b = fp32(1));"),
            "function 'main': select 'y': result 'y': expected tensor<fp32, [2, 3]>, got "
            "tensor<fp32, [3]>");
  EXPECT_EQ(message("fp16 y = select(cond = c, a = fp32(0), b = fp32(1));"),
            "function 'main': select 'y': result 'y': expected tensor<fp32, [2, 3]>, got "
            "tensor<fp16, []>");
  // Does not follow from the declared type of m either.
  EXPECT_EQ(message("fp32 m = select(cond = c, a = fp32(0), b = fp32(1));\n"
                    "tensor<fp32, [7]> y = relu(x = m);"),
            "function 'main': relu 'y': result 'y': expected tensor<fp32, [2, 3]>, got "
            "tensor<fp32, [7]>");
}

// For iOS15 coremltools makes an fp16 argument fp32, and leaves out the cast where an epsilon is
// fp32: the types that it inferred before stay.
TEST(correct, lets_an_argument_of_ios15_stand_for_fp16) {
  const auto source_of = [](const char* opset, const char* result) {
    return ir::text::parse(
        fmt::format(
            "program(1.0) {{ func main<{}>(tensor<fp32, [1, 2, 2]> x) {{ "
            "tensor<{}, [1, 2, 2]> n = batch_norm(x = x, mean = tensor<fp16, [2]>([1, 2]), "
            "variance = tensor<fp16, [2]>([4, 4]), epsilon = fp32(0)); "
            "tensor<fp32, [1, 2, 2]> y = cast(x = n, dtype = string(\"fp32\")); }} -> (y); }}",
            opset, result),
        {});
  };
  EXPECT_EQ(verify_error(*source_of("ios15", "fp16")), "");
  EXPECT_EQ(verify_error(*source_of("ios15", "int32")),
            "function 'main': batch_norm 'n': result 'n': expected tensor<fp32, [1, 2, 2]>, got "
            "tensor<int32, [1, 2, 2]>");
  EXPECT_NE(verify_error(*source_of("ios16", "fp16")), "");
  const auto source = source_of("ios15", "fp16");
  const auto lowered = set_precision(*source->functions[0], ops::catalog(), kFp32);
  const auto got = exec::run_naive(*lowered, ops::catalog(),
                                   {{"x", Tensor::from<float>({1, 3, 2, 8}, {1, 2, 2})}});
  const Tensor y = got.at("y").tensor;
  EXPECT_EQ(std::vector<float>(y.data<float>(), y.data<float>() + 4),
            (std::vector<float>{0, 1, 0, 3}));
}

}  // namespace
}  // namespace mw::passes
