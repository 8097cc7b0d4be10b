// Tests of parse() and print(): fixtures and real files to a fixpoint, structure, scoping, blobs.
#include "ir/text/testing.h"

#include "base/error.h"
#include "ir/op_view.h"

namespace mw::ir::text {
namespace {

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

TEST(Text, fixtures_print_as_they_are_written) {
  const auto files = mil_files_below(test_data() / "mil");
  ASSERT_GE(files.size(), 5u);
  for (const auto& file : files) {
    const std::string source = read_text(file);
    EXPECT_EQ(print(*parse(source)), without_last_newline(source)) << file;
  }
}

TEST(Text, programs_of_apples_compiler_print_as_they_are_written) {
  const char* shared = std::getenv("MW_SHARED");
  if (shared == nullptr || !std::filesystem::exists(std::filesystem::path(shared) / "real")) {
    GTEST_SKIP() << "MW_SHARED is not set";
  }
  const auto files = mil_files_below(std::filesystem::path(shared) / "real");
  ASSERT_GE(files.size(), 18u);
  for (const auto& file : files) {
    const std::string source = read_text(file);
    const std::string printed = print(*parse(source));
    EXPECT_TRUE(printed == without_last_newline(source)) << file;
    EXPECT_TRUE(print(*parse(printed)) == printed) << file;
    for (const char* version : {"1.0", "1.3"}) {
      const std::string other = print(*parse(source), {.version = version});
      EXPECT_TRUE(print(*parse(other), {.version = parse(source)->version}) == printed) << file;
    }
  }
}

TEST(Text, dialects_convert_into_each_other) {
  for (const auto& file : mil_files_below(test_data() / "mil")) {
    const auto program = parse(read_text(file));
    const std::string same = print(*program);
    for (const char* version : {"1.0", "1.3"}) {
      const std::string other = print(*program, {.version = version});
      EXPECT_EQ(print(*parse(other), {.version = program->version}), same) << file;
    }
    EXPECT_EQ(print(*program, {.version = "1.0"}).find("string("), std::string::npos) << file;
  }
}

TEST(Text, an_unknown_rank_is_a_question_mark) {
  const std::string text =
      "program(1.0) { func main<ios15>(tensor<int32, [?]> s) { tensor<fp32, ?> y = fill(shape = s, "
      "value = tensor<fp32, []>(1)); } -> (y); }";
  const auto program = parse(text);
  const Type type = program->functions[0]->body.outputs[0]->type;
  EXPECT_FALSE(type.has_rank());
  EXPECT_FALSE(type.is_static());
  EXPECT_EQ(type.str(), "tensor<fp32, ?>");
  const std::string printed = print(*program, {.version = "1.0"});
  EXPECT_NE(printed.find("tensor<fp32, ?> y = fill"), std::string::npos) << printed;
  EXPECT_EQ(print(*parse(printed), {.version = "1.0"}), printed);
  EXPECT_TRUE(compatible(type, Type::tensor(DType::kF32, {2})));
  EXPECT_EQ(refine(type, Type::tensor(DType::kF32, {2})), Type::tensor(DType::kF32, {2}));
  EXPECT_THROW((void)parse("program(1.0) { func main<ios15>() { tensor<fp32, ?> y = const()[val = "
                           "tensor<fp32, ?>([1, 2])]; } -> (y); }"),
               Error);
}

TEST(Text, an_unknown_dialect_cannot_be_printed) {
  try {
    (void)print(Program(), {.version = "2"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "the dialect to print: expected 1.0 or 1.3, got '2'");
  }
}

TEST(Text, structure_of_a_program_is_read) {
  const auto program = parse(read_text(test_data() / "mil/dialect_1_3.mil"));
  EXPECT_EQ(program->version, "1.3");
  ASSERT_EQ(program->functions.size(), 2u);
  const Function& main = *program->find_function("main");
  EXPECT_EQ(main.opset, Opset::kIos18);
  ASSERT_EQ(main.body.arguments.size(), 3u);
  EXPECT_EQ(main.body.arguments[1]->type, Type::scalar(DType::kF16));
  EXPECT_TRUE(main.body.arguments[2]->type.is_state());
  ASSERT_EQ(main.body.ops.size(), 7u);
  auto op = main.body.ops.begin();
  EXPECT_EQ((*op)->input("input"), main.find_argument("cache"));
  std::advance(op, 2);
  EXPECT_EQ((*op)->type, "write_state");
  EXPECT_TRUE((*op)->outputs.empty());
  EXPECT_EQ((*op)->name(), "kept");
  std::advance(op, 2);
  const Input* values = (*op)->find_input("values");
  ASSERT_EQ(values->operands.size(), 3u);
  EXPECT_EQ(values->operands[0].value, main.find_argument("x"));
  EXPECT_EQ(values->operands[1].literal->value().number_at(0), -1);
  EXPECT_TRUE(main.body.ops.back()->find_input("values")->operands.empty());
  EXPECT_EQ(main.body.outputs[0], (*op)->outputs[0].get());
  EXPECT_EQ((*op)->outputs[0]->producer, op->get());
  EXPECT_EQ((*op)->outputs[0]->block, &main.body);
}

TEST(Text, inner_names_shadow_outer_ones_and_end_with_their_block) {
  const auto program = parse(read_text(test_data() / "mil/control_flow.mil"));
  const Block& body = program->functions[0]->body;
  const auto op_at = [](const Block& block, int index) {
    return std::next(block.ops.begin(), index)->get();
  };
  const Operation* cond = op_at(body, 1);
  ASSERT_EQ(cond->blocks.size(), 2u);
  const Block& second = *cond->blocks[1];
  EXPECT_EQ(second.outputs[0], op_at(second, 1)->outputs[0].get());
  EXPECT_EQ(second.parent, cond);
  EXPECT_EQ(second.function, program->functions[0].get());
  const Operation* loop = op_at(body, 2);
  EXPECT_EQ(loop->find_input("loop_vars")->operands[0].value, op_at(body, 0)->outputs[0].get());
  EXPECT_EQ(loop->blocks[0]->name, "test");
  EXPECT_EQ(loop->blocks[1]->arguments[1]->type, Type::list(Type::scalar(DType::kF32)));
  EXPECT_EQ(op_at(*loop->blocks[0], 0)->input("x"), loop->blocks[0]->arguments[2].get());
  const Operation* inner = op_at(*loop->blocks[1], 1);
  EXPECT_EQ(inner->input("pred"), program->functions[0]->find_argument("p"));
  EXPECT_EQ(inner->blocks[1]->outputs[0], loop->blocks[1]->arguments[2].get());
}

TEST(Text, other_spellings_are_read) {
  const std::string source =
      "\xEF\xBB\xBF// a comment\r\n"
      R"mil(program ( 1.3 ) { func "main" < ios17 > ( tensor<fp32,[2]>x ) { /* two
*/tensor<fp32,[2]>"a b"=cond(pred=x)yes{}->(x)no{}->(x);
fp32 1=cond(pred=x){}->(x)"n o"{}->("a b")}->("a b",1)})mil";
  const std::string printed = R"mil(program(1.3)
{
    func main<ios17>(tensor<fp32, [2]> x) {
            tensor<fp32, [2]> "a b" = cond(pred = x) yes {
            } -> (x) no {
            } -> (x);
            fp32 1 = cond(pred = x) {
            } -> (x) "n o" {
            } -> ("a b");
        } -> ("a b", 1);
})mil";
  EXPECT_EQ(print(*parse(source)), printed);
}

TEST(Text, blocks_behind_a_semicolon_belong_to_the_same_statement) {
  const auto program = parse_statements(R"(
      fp32 a = cond(pred = x) { } -> (x); { } -> (x); yes { } -> (x); no() { } -> (x);
        body(fp32 y) { } -> (y); (fp32 y) { } -> (y);
        [k = int32(1)] { } -> (x); "a b" [] { } -> (x);
      store(x = x) { } -> ();
      store() [] { } -> ();
      store();
      store(x = a);)");
  const Block& body = program->functions[0]->body;
  std::vector<size_t> blocks;
  for (const auto& op : body.ops) blocks.push_back(op->blocks.size());
  EXPECT_EQ(blocks, (std::vector<size_t>{8, 1, 1, 0, 0}));
  const std::string printed = print(*program);
  EXPECT_EQ(print(*parse(printed)), printed);
}

TEST(Text, arguments_and_attributes_are_sorted_on_request) {
  const auto program =
      parse_statements("fp32 a = add(y = x, x = x)[name = string(\"a\"), b = int32(1)];");
  const Operation& op = *program->functions[0]->body.ops.front();
  EXPECT_EQ(print(op), "fp32 a = add(x = x, y = x)[b = int32(1), name = string(\"a\")];");
  EXPECT_EQ(print(op, {.sort_arguments = false}),
            "fp32 a = add(y = x, x = x)[name = string(\"a\"), b = int32(1)];");
  EXPECT_EQ(print(op, {.version = "1.0"}),
            "tensor<fp32, []> a = add(x = x, y = x)[b = tensor<int32, []>(1), name = "
            "tensor<string, []>(\"a\")];");
}

TEST(Text, a_list_of_one_value_prints_as_that_value) {
  const auto program = parse_statements("fp32 a = concat(values = (x));");
  const Operation& op = *program->functions[0]->body.ops.front();
  EXPECT_EQ(op.find_input("values")->operands.size(), 1u);
  EXPECT_EQ(print(op), "fp32 a = concat(values = x);");
}

TEST(Text, a_part_of_a_program_can_be_printed) {
  const auto program = parse_statements("fp32 a = exp(x = x);");
  EXPECT_EQ(print(*program->functions[0]),
            "    func main<ios17>(tensor<fp32, [2]> x) {\n            fp32 a = exp(x = x);\n       "
            " } -> (x);\n");
}

const char* const kBlobStatement =
    "tensor<fp32, [2]> w = const()[val = tensor<fp32, [2]>(BLOBFILE(path = string(\"w.bin\"), "
    "offset = uint64(64)))];";

class TwoFloats : public BlobResolver {
 public:
  Tensor resolve(const Type& type, const BlobRef& ref) override {
    if (ref.offset != 64) fail(ErrorCode::kIo, "'{}' ends before {}", ref.path, ref.offset);
    return Tensor::from<float>({1, 2}, type.shape());
  }
};

TEST(Text, blobs_are_resolved_and_keep_their_reference) {
  TwoFloats blobs;
  const auto program = parse(around(kBlobStatement), {.blobs = &blobs});
  const ConstantPtr constant =
      constant_of(program->functions[0]->body.ops.front()->outputs[0].get());
  EXPECT_TRUE(constant->has_value());
  EXPECT_EQ(constant->value().number_at(1), 2);
  EXPECT_EQ(constant->blob_ref()->path, "w.bin");
  EXPECT_EQ(constant->blob_ref()->offset, 64u);
  EXPECT_EQ(print(*program->functions[0]->body.ops.front()), kBlobStatement);
}

TEST(Text, a_blob_that_cannot_be_resolved_is_reported_with_its_place) {
  TwoFloats blobs;
  std::string source = around(kBlobStatement);
  source.replace(source.find("64)"), 2, "65");
  try {
    (void)parse(source, {.blobs = &blobs, .file = "m/model.mil"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "m/model.mil:3:55: function 'main': const 'w': val: 'w.bin' ends before 65");
    EXPECT_EQ(e.code(), ErrorCode::kIo);
  }
}

TEST(Text, without_blobs_a_constant_has_a_type_and_no_value) {
  const auto program = parse(around(kBlobStatement));
  const Value* w = program->functions[0]->body.ops.front()->outputs[0].get();
  const ConstantPtr constant = constant_of(w);
  EXPECT_EQ(constant->type(), Type::tensor(DType::kF32, {2}));
  EXPECT_FALSE(constant->has_value());
  EXPECT_EQ(Facts().tensor_of({const_cast<Value*>(w), nullptr}), nullptr);
  try {
    (void)constant->value();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidModel);
    EXPECT_STREQ(e.what(), "the weights of tensor<fp32, [2]> at offset 64 of 'w.bin' are missing");
  }
}

TEST(Text, absent_blobs_are_equal_when_their_references_are) {
  const Type type = Type::tensor(DType::kF32, {2});
  const ConstantPtr a = Constant::absent_blob(type, {"w.bin", 64}),
                    b = Constant::absent_blob(type, {"w.bin", 64});
  const ConstantPtr elsewhere = Constant::absent_blob(type, {"w.bin", 128});
  const ConstantPtr present = Constant::tensor(Tensor(DType::kF32, {2}));
  EXPECT_TRUE(equal(*a, *b));
  EXPECT_FALSE(equal(*a, *elsewhere));
  EXPECT_FALSE(equal(*a, *present));
  EXPECT_FALSE(equal(*present, *a));
}

TEST(Text, the_caller_chooses_which_tensors_lie_in_a_blob) {
  TwoFloats blobs;
  const auto program =
      parse(around(std::string(kBlobStatement) + "fp32 one = const()[val = fp32(1)];"),
            {.blobs = &blobs});
  const auto moved = [](const Constant& constant) -> std::optional<BlobRef> {
    if (constant.type().rank() == 0) return std::nullopt;
    return BlobRef{"@model_path/weights/weight.bin", 4096};
  };
  const std::string text = print(*program, {.blob_ref = moved});
  EXPECT_NE(
      text.find(
          "BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = uint64(4096))"),
      std::string::npos);
  EXPECT_NE(text.find("fp32(0x1p+0)"), std::string::npos);
  const std::string inlined =
      print(*program, {.blob_ref = [](const Constant&) { return std::nullopt; }});
  EXPECT_NE(inlined.find("tensor<fp32, [2]>([0x1p+0, 0x1p+1])"), std::string::npos);
}

}  // namespace
}  // namespace mw::ir::text
