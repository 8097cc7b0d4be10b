// Tests of programs as protobuf: values by dtype and field, names and scopes, round trips.
#include "package/program_proto.h"

#include "package/testing.h"

namespace mw::package {
namespace {

using pb::mil::DataType;
using testing::error_of;

pb::mil::Value value_of(DataType dtype, const std::vector<uint64_t>& shape) {
  pb::mil::Value value;
  auto* tensor = value.mutable_type()->mutable_tensortype();
  tensor->set_datatype(dtype);
  tensor->set_rank(static_cast<int64_t>(shape.size()));
  for (const uint64_t extent : shape)
    tensor->add_dimensions()->mutable_constant()->set_size(extent);
  return value;
}
pb::mil::TensorValue* elements(pb::mil::Value& value) {
  return value.mutable_immediatevalue()->mutable_tensor();
}
Tensor decoded(const pb::mil::Value& value) { return constant_from_proto(value, nullptr)->value(); }

TEST(Value, elements_are_decoded_by_dtype_and_by_the_field_that_holds_them) {
  auto value = value_of(pb::mil::FLOAT16, {2});
  elements(value)->mutable_bytes()->set_values(std::string("\x00\x3c\x00\xc0", 4));
  EXPECT_EQ(decoded(value).number_at(1), -2.0);
  elements(value)->mutable_floats()->add_values(0.5F);
  elements(value)->mutable_floats()->add_values(65504.0F);
  EXPECT_EQ(decoded(value).number_at(1), 65504.0);

  value = value_of(pb::mil::UINT16, {2});
  elements(value)->mutable_ints()->add_values(65535);
  elements(value)->mutable_ints()->add_values(1);
  EXPECT_EQ(decoded(value).integer_at(0), 65535);
  elements(value)->mutable_bytes()->set_values(std::string("\x01\x00\xff\xff", 4));
  EXPECT_EQ(decoded(value).integer_at(1), 65535);

  value = value_of(pb::mil::UINT64, {1});
  elements(value)->mutable_longints()->add_values(-1);
  EXPECT_EQ(static_cast<uint64_t>(decoded(value).integer_at(0)), ~uint64_t{0});

  value = value_of(pb::mil::UINT3, {5});
  elements(value)->mutable_bytes()->set_values("\xd1\x58");
  EXPECT_EQ(decoded(value).integer_at(4), 5);

  value = value_of(pb::mil::BOOL, {});
  elements(value)->mutable_bools()->add_values(true);
  EXPECT_TRUE(decoded(value).data<bool>()[0]);
}

TEST(Value, an_empty_tensor_may_have_no_elements_field) {
  const Tensor tensor = decoded(value_of(pb::mil::INT32, {0, 3}));
  EXPECT_EQ(tensor.shape(), (Shape{0, 3}));
}

TEST(Value, wrong_counts_ranges_fields_and_types_are_errors) {
  using Edit = std::function<void(pb::mil::Value&)>;
  struct Row {
    DataType dtype;
    std::vector<uint64_t> shape;
    Edit edit;
    const char* message;
  };
  const Row rows[] = {
      {pb::mil::INT32,
       {2},
       [](auto& v) { elements(v)->mutable_ints()->add_values(1); },
       "expected 2 elements, got 1"},
      {pb::mil::INT8,
       {1},
       [](auto& v) { elements(v)->mutable_ints()->add_values(128); },
       "in [-128, 127], got 128"},
      {pb::mil::UINT16,
       {1},
       [](auto& v) { elements(v)->mutable_ints()->add_values(-1); },
       "in [0, 65535], got -1"},
      {pb::mil::FLOAT32,
       {1},
       [](auto& v) { elements(v)->mutable_ints()->add_values(1); },
       "cannot be given as ints"},
      {pb::mil::STRING,
       {1},
       [](auto& v) { elements(v)->mutable_bytes()->set_values("x"); },
       "cannot be given as bytes"},
      {pb::mil::INT32,
       {1},
       [](auto& v) { elements(v)->mutable_strings()->add_values("x"); },
       "given as strings"},
      {pb::mil::BOOL,
       {1},
       [](auto& v) { elements(v)->mutable_bytes()->set_values("\2"); },
       "other than 0 and 1"},
      {pb::mil::FLOAT16,
       {3},
       [](auto& v) { elements(v)->mutable_bytes()->set_values("four"); },
       "expected 6 bytes, got 4"},
      {pb::mil::INT32, {}, [](auto&) {}, "expected 1 elements, got 0"},
      {pb::mil::INT32, {1ULL << 62, 4}, [](auto&) {}, "expected known extents whose product fits"},
      {pb::mil::FLOAT64, {1ULL << 61}, [](auto&) {}, "exceed the address space"},
      {pb::mil::INT32, {1ULL << 63}, [](auto&) {}, "expected an extent below 2^63"},
      {pb::mil::UNUSED_TYPE, {1}, [](auto&) {}, "expected a known data type, got number 0"},
      {static_cast<DataType>(77), {1}, [](auto&) {}, "got number 77"},
      {pb::mil::INT32, std::vector<uint64_t>(17, 1), [](auto&) {}, "at most 16, got 17"},
      {pb::mil::INT32,
       {1},
       [](auto& v) { v.mutable_type()->mutable_tensortype()->set_rank(2); },
       "expected 2 dimensions"},
      {pb::mil::INT32,
       {1},
       [](auto& v) { v.mutable_type()->mutable_tensortype()->set_rank(-1); },
       "expected -1 dimensions"},
      {pb::mil::INT32,
       {1},
       [](auto& v) {
         v.mutable_type()
             ->mutable_tensortype()
             ->mutable_dimensions(0)
             ->mutable_unknown()
             ->set_variadic(true);
       },
       "expected known extents, got tensor<int32, ?>"},
      {pb::mil::INT32,
       {1},
       [](auto& v) {
         v.mutable_type()->mutable_tensortype()->mutable_dimensions(0)->mutable_unknown();
       },
       "expected known extents, got tensor<int32, [?]>"},
      {pb::mil::FLOAT32,
       {1},
       [](auto& v) { v.mutable_blobfilevalue()->set_filename("x"); },
       "there are no weight files"},
      {pb::mil::STRING,
       {1},
       [](auto& v) { v.mutable_blobfilevalue(); },
       "expected a numeric tensor type"},
      {pb::mil::INT32, {1}, [](auto& v) { v.clear_type(); }, "expected a type, got none"},
      {pb::mil::INT32,
       {1},
       [](auto& v) {
         v.mutable_type()->mutable_statetype()->mutable_wrappedtype()->mutable_listtype();
       },
       "expected a type, got none"},
      {pb::mil::INT32,
       {1},
       [](auto& v) {
         v.mutable_type()->mutable_listtype()->mutable_length()->mutable_constant()->set_size(2);
         *v.mutable_type()->mutable_listtype()->mutable_type() =
             value_of(pb::mil::INT32, {}).type();
         v.mutable_immediatevalue()->mutable_list();
       },
       "expected 2 elements, got 0"},
  };
  for (const Row& row : rows) {
    auto value = value_of(row.dtype, row.shape);
    row.edit(value);
    ErrorCode code{};
    const std::string got = error_of([&] { constant_from_proto(value, nullptr); }, &code);
    EXPECT_NE(got.find(row.message), std::string::npos) << row.message << " | " << got;
    EXPECT_TRUE(code == ErrorCode::kInvalidModel || code == ErrorCode::kUnsupported);
  }
}

TEST(Value, text_is_utf8_or_it_is_not) {
  for (const char* good : {"", "a", "\u00d7", "\u20ac", "\U0001F600", "\x7f"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
        "a\xc3"
        "b"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
}

std::unique_ptr<ir::Program> there_and_back(const ir::Program& program) {
  pb::mil::Program message;
  program_to_proto(program, nullptr, &message);
  return program_from_proto(message, nullptr);
}

constexpr const char* kEverything = R"(program(1.3)
[buildInfo = dict<string, string>({{"tool", "× \"quoted\""}, {"empty", ""}})]
{
  func main<ios18>(tensor<fp32, [2, ?]> x, state<tensor<fp16, [4]>> s) {
    tensor<fp16, [3]> h = const()[name = string("h"), val = tensor<fp16, [3]>([0x1p-24, -inf, nan])];
    tensor<bf16, [1]> b = const()[val = tensor<bf16, [1]>([0x1.8p+0])];
    fp64 d = const()[val = fp64(0x1.999999999999ap-4)];
    tensor<int4, [3]> i4 = const()[val = tensor<int4, [3]>([-8, 7, 1])];
    tensor<uint1, [2, 2]> u1 = const()[val = tensor<uint1, [2, 2]>([[1, 0], [0, 1]])];
    tensor<uint6, [3]> u6 = const()[val = tensor<uint6, [3]>([1, 2, 63])];
    tensor<int8, [2]> i8 = const()[val = tensor<int8, [2]>([-128, 127])];
    tensor<uint8, [1]> u8 = const()[val = tensor<uint8, [1]>([255])];
    tensor<int16, [1]> i16 = const()[val = tensor<int16, [1]>([-32768])];
    tensor<uint16, [1]> u16 = const()[val = tensor<uint16, [1]>([65535])];
    uint32 u32 = const()[val = uint32(4294967295)];
    int64 i64 = const()[val = int64(-9223372036854775808)];
    uint64 u64 = const()[val = uint64(18446744073709551615)];
    tensor<bool, [2]> flags = const()[val = tensor<bool, [2]>([true, false])];
    tensor<string, [2]> words = const()[val = tensor<string, [2]>(["a", ""])];
    tensor<int32, [0]> none = const()[val = tensor<int32, [0]>([])];
    tensor<fp32, [2, ?]> y = concat(axis = int32(0), values = (x, x, tensor<fp32, [1, 1]>([[0x1p+0]])))[name = string("y")];
    tensor<fp16, [4]> r = read_state(input = s);
    write_state(data = r, input = s);
    list<string, 2> names = make(values = list<string, 2>(["p", "q"]));
    tensor<fp32, [2, ?]> z, tensor<int32, []> n = while_loop(loop_vars = (y, u32)) (tensor<fp32, [2, ?]> p, int32 q) {
      bool more = less(x = q, y = int32(3));
    } -> (more) (tensor<fp32, [2, ?]> p, int32 q) {
      tensor<fp32, [2, ?]> p2 = mul(x = p, y = y);
      int32 q2 = add(x = q, y = int32(1));
    } -> (p2, q2);
  } -> (z, n);
  func second<ios17>(tensor<fp32, [1]> x) [note = string("kept")] {
    tensor<fp32, [1]> y = relu(x = x);
  } -> (y);
})";

TEST(Program, every_dtype_and_structure_survives_the_round_trip) {
  const auto program = ir::text::parse(kEverything);
  const auto again = there_and_back(*program);
  EXPECT_EQ(ir::text::print(*again), ir::text::print(*program));
  EXPECT_EQ(testing::Comparison(true).programs(*program, *again), "");
}

TEST(Program, an_unknown_rank_survives_the_round_trip) {
  const auto program = ir::text::parse(
      "program(1.0) { func main<ios15>(tensor<int32, [?]> s) { tensor<fp32, ?> y = fill(shape = s, "
      "value = tensor<fp32, []>(1)); } -> (y); }");
  const auto again = there_and_back(*program);
  EXPECT_EQ(ir::text::print(*again), ir::text::print(*program));
}

TEST(Program, the_comparison_of_these_tests_sees_one_changed_literal) {
  std::string other = kEverything;
  other.replace(other.find("int32(3)"), 8, "int32(4)");
  EXPECT_NE(
      testing::Comparison(true).programs(*ir::text::parse(kEverything), *ir::text::parse(other)),
      "");
}

TEST(Program, literals_that_lie_in_blobs_become_references_and_come_back) {
  const auto program = ir::text::parse(
      "program(1.0) { func main<ios16>(tensor<fp32, [2]> x) { tensor<fp32, [2]> y = add(x = x, y = "
      "tensor<fp32, [2]>([0x1p+0, 0x1p+1])); } -> (y); }");
  pb::mil::Program message;
  program_to_proto(
      *program,
      [](const ir::Constant&) {
        return ir::BlobRef{"@model_path/w", 64};
      },
      &message);
  const auto& binding =
      message.functions(0).value().block_specializations(0).value().operations(0).inputs(1).value();
  EXPECT_EQ(binding.arguments(0).value().blobfilevalue().filename(), "@model_path/w");
  const std::string got = error_of([&] { program_from_proto(message, nullptr); });
  EXPECT_EQ(got.find("function 'main': add 'y': y: "), 0U) << got;
}

// A function `main` whose block holds the operations that `fill` makes.
std::string program_error(const std::function<void(pb::mil::Function&, pb::mil::Block&)>& fill) {
  pb::mil::Program program;
  program.set_version(1);
  auto* entry = program.add_functions();
  entry->set_key("main");
  entry->mutable_value()->set_opset("CoreML7");
  auto* body = entry->mutable_value()->add_block_specializations();
  body->set_key("CoreML7");
  fill(*entry->mutable_value(), *body->mutable_value());
  return error_of([&] { program_from_proto(program, nullptr); });
}

pb::mil::Operation* add_op(pb::mil::Block& block, const std::string& type, const std::string& input,
                           const std::string& output) {
  auto* op = block.add_operations();
  op->set_type(type);
  if (!input.empty()) {
    auto* entry = op->add_inputs();
    entry->set_key("x");
    entry->mutable_value()->add_arguments()->set_name(input);
  }
  if (!output.empty()) {
    op->add_outputs()->set_name(output);
    *op->mutable_outputs(0)->mutable_type() = value_of(pb::mil::FLOAT32, {1}).type();
  }
  return op;
}

TEST(Program, names_that_are_undefined_cyclic_or_defined_twice_are_errors_with_their_place) {
  EXPECT_EQ(program_error([](auto&, auto& block) { add_op(block, "relu", "nowhere", "y"); }),
            "function 'main': relu 'y': x: 'nowhere' is not defined before its use");
  EXPECT_EQ(program_error([](auto&, auto& block) {
              add_op(block, "relu", "b", "a");
              add_op(block, "relu", "a", "b");
            }),
            "function 'main': relu 'a': x: 'b' is not defined before its use");
  EXPECT_EQ(program_error([](auto&, auto& block) { add_op(block, "relu", "y", "y"); }),
            "function 'main': relu 'y': x: 'y' is not defined before its use");
  EXPECT_EQ(program_error([](auto&, auto& block) {
              add_op(block, "one", "", "a");
              add_op(block, "two", "", "a");
            }),
            "function 'main': two 'a': result 'a': 'a' is defined twice in one block");
  EXPECT_EQ(program_error([](auto&, auto& block) { block.add_outputs("y"); }),
            "function 'main': block output 'y': nothing defines it");
}

TEST(Program, other_broken_structures_are_errors_with_their_place) {
  EXPECT_EQ(program_error([](auto&, auto& block) { add_op(block, "", "", "a"); }),
            "function 'main':  'a': expected the type of an operation, got none");
  EXPECT_EQ(
      program_error([](auto&, auto& block) {
        add_op(block, "one", "", "a")->mutable_outputs(0)->clear_name();
      }),
      "function 'main': one '': result '': expected a name for every value, got an empty one");
  EXPECT_EQ(program_error([](auto&, auto& block) {
              auto* op = add_op(block, "one", "", "a");
              op->add_inputs()->set_key("x");
              op->add_inputs()->set_key("x");
            }),
            "function 'main': one 'a': x: the input is given twice");
  EXPECT_EQ(program_error([](auto& function, auto&) { function.set_opset("CoreML4"); }),
            "function 'main': expected an opset of CoreML5 to CoreML9, got 'CoreML4'");
  EXPECT_EQ(program_error([](auto& function, auto&) { function.set_opset("CoreML8"); }),
            "function 'main': expected a block for opset CoreML8, got none");
  EXPECT_EQ(program_error([](auto& function, auto&) { function.add_inputs()->set_name("x"); }),
            "function 'main': input 'x': expected a type, got none");
  pb::mil::Program program;
  EXPECT_EQ(error_of([&] { program_from_proto(program, nullptr); }),
            "an ML Program: expected version 1 of the schema, got 0");
  program.set_version(1);
  EXPECT_EQ(error_of([&] { program_from_proto(program, nullptr); }),
            "an ML Program: expected at least one function, got none");
  for (int i = 0; i < 2; ++i) {
    program.add_functions()->set_key("f");
    program.mutable_functions(i)->mutable_value()->set_opset("CoreML5");
    program.mutable_functions(i)->mutable_value()->add_block_specializations()->set_key("CoreML5");
  }
  EXPECT_EQ(error_of([&] { program_from_proto(program, nullptr); }),
            "function 'f': it is defined twice");
}

TEST(Program, sibling_blocks_may_reuse_names_and_an_inner_name_hides_an_outer_one) {
  EXPECT_EQ(program_error([](auto& function, auto& block) {
              function.add_inputs()->set_name("a");
              *function.mutable_inputs(0)->mutable_type() = value_of(pb::mil::FLOAT32, {1}).type();
              auto* op = add_op(block, "cond", "a", "r");
              for (int i = 0; i < 2; ++i) {
                auto* nested = op->add_blocks();
                add_op(*nested, "relu", "a", "inner");
                add_op(*nested, "relu", "inner", "a");
                add_op(*nested, "relu", "a", "last");
                nested->add_outputs("last");
              }
              add_op(block, "relu", "a", "end");
              block.add_outputs("end");
            }),
            "");
  EXPECT_EQ(program_error([](auto&, auto& block) {
              add_op(*add_op(block, "cond", "", "r")->add_blocks(), "one", "", "inner");
              add_op(block, "relu", "inner", "y");
            }),
            "function 'main': relu 'y': x: 'inner' is not defined before its use");
}

TEST(Program, values_that_hide_each_other_are_not_written) {
  const auto program = ir::text::parse(
      "program(1.0) { func main<ios16>(tensor<fp32, [1]> a) { tensor<fp32, [1]> b = relu(x = a); } "
      "-> (b); }");
  program->functions[0]->body.ops.front()->outputs[0]->name = "a";
  EXPECT_NE(error_of([&] { there_and_back(*program); }).find("expected a name of its own"),
            std::string::npos);
}

}  // namespace
}  // namespace mw::package
