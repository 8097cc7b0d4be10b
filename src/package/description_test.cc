// Tests of descriptions: every kind of feature, unknown fields, agreement with the program,
// flexible shapes.
#include "package/description_proto.h"

#include "package/coremldata.h"
#include "package/flexible_shapes.h"
#include "package/metadata_json.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::error_of;
using testing::model_of;
using Kind = Feature::Kind;

constexpr const char* kProgram =
    "program(1.3) { func main<ios18>(tensor<fp32, [1, ?]> x, tensor<fp32, [1, 3, ?, ?]> image, "
    "state<tensor<fp16, [4]>> s) {"
    " tensor<fp32, [1, ?]> y = relu(x = x); string label = const()[val = string(\"a\")]; } -> (y, "
    "label); }";

std::vector<Feature> every_kind() {
  return {
      {.name = "int64", .description = "a number", .kind = Kind::kInt64, .optional = true},
      {.name = "double", .kind = Kind::kDouble},
      {.name = "string", .kind = Kind::kString},
      {.name = "image",
       .kind = Kind::kImage,
       .width = 8,
       .height = 4,
       .color_space = ColorSpace::kBgr},
      {.name = "sizes",
       .kind = Kind::kImage,
       .width = 8,
       .height = 4,
       .color_space = ColorSpace::kGrayscaleF16,
       .image_sizes = {{8, 4}, {16, 8}}},
      {.name = "range",
       .kind = Kind::kImage,
       .width = 8,
       .height = 4,
       .color_space = ColorSpace::kGrayscale,
       .width_range = ShapeRange{1, 64},
       .height_range = ShapeRange{2, -1}},
      {.name = "array", .kind = Kind::kMultiArray, .dtype = DType::kF16, .shape = {1, 2}},
      {.name = "ranged",
       .dtype = DType::kI32,
       .shape = {1, 2},
       .ranges = {{1, 1}, {0, -1}},
       .default_value = -3},
      {.name = "listed",
       .dtype = DType::kF64,
       .shape = {2},
       .enumerated = {{2}, {4}},
       .default_value = 0.1},
      {.name = "float", .optional = true, .dtype = DType::kF32, .default_value = 0.5},
      {.name = "int8", .dtype = DType::kI8, .shape = {3}},
      {.name = "dict", .kind = Kind::kDictionary, .element = Feature::Element::kString},
      {.name = "dict2", .kind = Kind::kDictionary, .element = Feature::Element::kInt64},
      {.name = "list",
       .kind = Kind::kSequence,
       .element = Feature::Element::kInt64,
       .length = ShapeRange{0, 9}},
      {.name = "state", .kind = Kind::kState, .dtype = DType::kF16, .shape = {4}},
  };
}

Model with_features(std::vector<Feature> features) {
  Model model = model_of(kProgram);
  model.functions.push_back({.name = "main",
                             .inputs = features,
                             .outputs = std::move(features),
                             .predicted_feature_name = "string",
                             .predicted_probabilities_name = "dict"});
  model.metadata = {"short", "1.0", "me", "mine", {{"a", "b"}, {"c", ""}}};
  return model;
}

TEST(Description, every_kind_of_feature_survives_the_round_trip) {
  for (const bool multi_function : {false, true}) {
    Model model = with_features(every_kind());
    model.multi_function = multi_function;
    model.default_function = "main";
    Model again;
    description_from_proto(description_to_proto(model, false), again);
    if (!multi_function) again.functions[0].name = "main";
    EXPECT_EQ(again.functions, model.functions);
    EXPECT_EQ(again.metadata, model.metadata);
    EXPECT_EQ(again.multi_function, multi_function);
    EXPECT_EQ(again.default_function, multi_function ? "main" : "");
  }
}

TEST(Description, fields_that_are_not_modelled_survive_edits_beside_them) {
  pb::ModelDescription from = description_to_proto(with_features(every_kind()), false);
  // Unknown fields at each level: a later format's, say.
  const std::string unknown("\xc2\x3e\x02hi", 5);  // field 1000
  ASSERT_TRUE(from.mutable_input(6)->MergeFromString(unknown));
  ASSERT_TRUE(
      from.mutable_input(6)->mutable_type()->mutable_multiarraytype()->MergeFromString(unknown));
  ASSERT_TRUE(from.mutable_metadata()->MergeFromString(unknown));
  ASSERT_TRUE(from.MergeFromString(unknown));
  from.add_traininginput()->set_name("target");

  Model model = model_of(kProgram);
  description_from_proto(from, model);
  EXPECT_EQ(description_to_proto(model, false).SerializeAsString(), from.SerializeAsString());

  model.functions[0].inputs[6].shape = {5, 5};
  model.functions[0].inputs.erase(model.functions[0].inputs.begin());
  model.metadata.author = "someone else";
  const pb::ModelDescription edited = description_to_proto(model, false);
  EXPECT_EQ(edited.input_size(), from.input_size() - 1);
  EXPECT_EQ(edited.input(5).name(), "array");
  EXPECT_EQ(edited.input(5).type().multiarraytype().shape(1), 5);
  EXPECT_EQ(edited.metadata().author(), "someone else");
  EXPECT_EQ(edited.traininginput(0).name(), "target");
  size_t kept = 0;
  const std::string bytes = edited.SerializeAsString();
  for (size_t at = bytes.find(unknown); at != std::string::npos; at = bytes.find(unknown, at + 1))
    ++kept;
  EXPECT_EQ(kept, 4U);
}

TEST(Description, stripping_leaves_out_texts_and_keeps_types) {
  const pb::ModelDescription stripped = description_to_proto(with_features(every_kind()), true);
  EXPECT_FALSE(stripped.has_metadata());
  EXPECT_EQ(stripped.input(0).shortdescription(), "");
  EXPECT_EQ(stripped.input_size(), static_cast<int>(every_kind().size()));
  EXPECT_EQ(stripped.predictedfeaturename(), "string");
}

TEST(Description, broken_descriptions_are_errors) {
  using Edit = std::function<void(pb::ArrayFeatureType*)>;
  const std::pair<Edit, const char*> rows[] = {
      {[](auto* a) { a->add_shape(-1); }, "expected extents of 0 and up, got -1"},
      {[](auto* a) {
         for (int i = 0; i < 17; ++i) a->add_shape(1);
       },
       "expected at most 16 dimensions, got 17"},
      {[](auto* a) { a->set_datatype(7); }, "expected a known array type, got number 7"},
      {[](auto* a) {
         a->add_shape(1);
         a->mutable_shaperange()->add_sizeranges();
         a->mutable_shaperange()->add_sizeranges();
       },
       "expected 1 ranges, one per dimension, got 2"},
      {[](auto* a) { a->mutable_shaperange()->add_sizeranges()->set_lowerbound(5); },
       "its lower bound first, got 5 to 0"},
  };
  for (const auto& [edit, message] : rows) {
    pb::ModelDescription description;
    description.add_input()->set_name("x");
    edit(description.mutable_input(0)->mutable_type()->mutable_multiarraytype());
    Model model;
    const std::string got =
        error_of([&, &edit = edit] { description_from_proto(description, model); });
    EXPECT_EQ(got.find("description of 'x': "), 0U) << got;
    EXPECT_NE(got.find(message), std::string::npos) << got;
  }
  pb::ModelDescription untyped;
  untyped.add_output()->set_name("y");
  Model model;
  EXPECT_EQ(error_of([&] { description_from_proto(untyped, model); }),
            "description of 'y': expected the type of a feature, got none");
}

TEST(Reconcile, what_is_not_described_is_taken_from_the_signature) {
  Model model = model_of(kProgram);
  reconcile(model);
  ASSERT_EQ(model.functions.size(), 1U);
  EXPECT_EQ(model.default_function, "main");
  const FunctionDescription& main = model.default_description();
  EXPECT_EQ(
      *main.find_input("x"),
      (Feature{.name = "x", .dtype = DType::kF32, .shape = {1, 1}, .ranges = {{1, 1}, {1, -1}}}));
  EXPECT_EQ(*main.find_state("s"),
            (Feature{.name = "s", .kind = Kind::kState, .dtype = DType::kF16, .shape = {4}}));
  EXPECT_EQ(*main.find_output("y"), (Feature{.name = "y", .dtype = DType::kF32}));
  EXPECT_EQ(main.find_output("label")->kind, Kind::kString);
}

TEST(Reconcile, what_does_not_exist_in_the_program_is_an_error) {
  const auto error = [](const std::function<void(Model&)>& edit) {
    Model model = model_of(kProgram);
    reconcile(model);
    edit(model);
    return error_of([&] { reconcile(model); });
  };
  EXPECT_EQ(error([](Model&) {}), "");
  EXPECT_NE(error([](Model& m) {
              m.functions[0].inputs[0].name = "z";
            }).find("function 'main': input 'z': "),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.functions[0].inputs.push_back(m.functions[0].inputs[0]);
            }).find("input 'x': "),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.functions[0].outputs[0].name = "z";
            }).find("function 'main': output 'z': "),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.functions[0].inputs.push_back(m.functions[0].states[0]);
            }).find("'s': described as an input"),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              std::swap(m.functions[0].inputs, m.functions[0].states);
            }).find("described as"),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.multi_function = true;
              m.functions[0].name = "other";
            }).find("function 'other' is described, but the program has none"),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.multi_function = true;
              m.default_function = "other";
            }).find("the default function 'other'"),
            std::string::npos);
  EXPECT_NE(error([](Model& m) {
              m.multi_function = true;
              m.functions.push_back(m.functions[0]);
            }).find("described twice"),
            std::string::npos);
}

TEST(Reconcile, a_value_that_is_returned_twice_may_be_described_as_often) {
  const char* const program =
      "program(1.3) { func main<ios17>(tensor<fp32, [2]> x) { tensor<fp32, [2]> y = relu(x = x); } "
      "-> (y, y); }";
  Model model = model_of(program);
  reconcile(model);
  ASSERT_EQ(model.functions[0].outputs.size(), 2U);
  EXPECT_EQ(model.functions[0].outputs[0], model.functions[0].outputs[1]);
  reconcile(model);
  ASSERT_EQ(model.functions[0].outputs.size(), 2U);
  model.functions[0].outputs.push_back(model.functions[0].outputs[0]);
  EXPECT_EQ(error_of([&] { reconcile(model); }),
            "function 'main': output 'y': expected one of the function's outputs as often as it "
            "returns it, got a description of another");
}

std::string with_shapes(const std::string& attribute) {
  return "program(1.3) { func main<ios17>(tensor<fp32, [?, 4]> x, tensor<int32, [2]> n) "
         "[FlexibleShapeInformation = " +
         attribute + "] { tensor<fp32, [?, 4]> y = relu(x = x); } -> (y); }";
}

TEST(FlexibleShapes, ranges_and_enumerations_are_read_from_the_attribute_and_written_back) {
  const std::string ranged = with_shapes(
      "tuple<tuple<string, dict<string, tensor<int32, [?]>>>, tuple<string, dict<string, "
      "list<tensor<int32, [2]>, ?>>>>"
      "(((\"DefaultShapes\", {{\"x\", [2, 4]}}), (\"RangeDims\", {{\"x\", [[1, 8], [4, 4]]}})))");
  const std::string listed = with_shapes(
      "tuple<tuple<string, dict<string, tensor<int32, [?]>>>, tuple<string, dict<string, "
      "dict<string, tensor<int32, "
      "[?]>>>>>(((\"DefaultShapes\", {{\"x\", [2, 4]}}), (\"EnumeratedShapes\", {{\"a\", {{\"x\", "
      "[2, 4]}}}, {\"b\", "
      "{{\"x\", [6, 4]}}}})))");
  for (const std::string& mil : {ranged, listed}) {
    Model model = model_of(mil);
    reconcile(model);
    const Feature& x = *model.default_description().find_input("x");
    EXPECT_EQ(x.shape, (Shape{2, 4}));
    if (mil == ranged) {
      EXPECT_EQ(x.ranges, (std::vector<ShapeRange>{{1, 8}, {4, 4}}));
      EXPECT_TRUE(x.accepts({8, 4}));
      EXPECT_FALSE(x.accepts({9, 4}));
    } else {
      EXPECT_EQ(x.enumerated, (std::vector<Shape>{{2, 4}, {6, 4}}));
      EXPECT_TRUE(x.accepts({6, 4}));
      EXPECT_FALSE(x.accepts({3, 4}));
    }
    ir::Function& main = *model.program->functions[0];
    EXPECT_EQ(ir::find_attribute(main.attributes, kFlexibleShapes), nullptr);
    EXPECT_FALSE(model.default_description().find_input("n")->is_flexible());

    ir::set_attribute(main.attributes, kFlexibleShapes,
                      flexible_shapes_for(model.default_description(), main));
    Model again = model_of(ir::text::print(*model.program));
    reconcile(again);
    EXPECT_EQ(again.functions, model.functions);
  }
}

TEST(FlexibleShapes, an_attribute_of_another_form_is_left_alone) {
  for (const char* other :
       {"string(\"x\")", "tuple<tuple<string, string>>(((\"DefaultShapes\", \"x\")))",
        "tuple<tuple<string, dict<string, tensor<int32, [1]>>>>(((\"Unheard\", {{\"x\", [1]}})))",
        "tuple<tuple<string, dict<string, tensor<int32, [1]>>>>(((\"DefaultShapes\", {{\"x\", "
        "[-1]}})))"}) {
    Model model = model_of(with_shapes(other));
    reconcile(model);
    EXPECT_NE(ir::find_attribute(model.program->functions[0]->attributes, kFlexibleShapes), nullptr)
        << other;
    EXPECT_EQ(model.default_description().find_input("x")->ranges,
              (std::vector<ShapeRange>{{1, -1}, {4, 4}}));
  }
}

TEST(FlexibleShapes, image_sizes_become_the_shapes_of_the_tensor) {
  Model model = model_of(kProgram);
  reconcile(model);
  Feature& image = model.functions[0].inputs[1];
  image = {.name = "image",
           .kind = Kind::kImage,
           .width = 8,
           .height = 4,
           .color_space = ColorSpace::kRgb,
           .width_range = ShapeRange{8, 64},
           .height_range = ShapeRange{4, 32}};
  model.functions[0].inputs.erase(model.functions[0].inputs.begin());
  ir::Function& main = *model.program->functions[0];
  ir::set_attribute(main.attributes, kFlexibleShapes,
                    flexible_shapes_for(model.functions[0], main));
  const auto shapes = flexible_shapes_of(main);
  ASSERT_TRUE(shapes);
  EXPECT_EQ(shapes->defaults.at("image"), (Shape{1, 3, 4, 8}));
  EXPECT_EQ(shapes->ranges.at("image"),
            (std::vector<ShapeRange>{{1, 1}, {3, 3}, {4, 32}, {8, 64}}));
}

TEST(CompiledData, is_read_where_it_usually_is_and_found_where_it_is_not) {
  const pb::ModelDescription description = description_to_proto(with_features(every_kind()), false);
  const std::string bytes = coremldata_bytes(9, description, 2);
  EXPECT_EQ(bytes.substr(bytes.size() - 16, 4), std::string("\xf6\1\0\0", 4));
  for (const std::string& variant :
       {bytes, bytes.substr(0, bytes.size() - 32), bytes + std::string(100, 'x')}) {
    const CompiledData data = read_coremldata(std::as_bytes(std::span(variant)));
    EXPECT_EQ(data.kind, 502U);
    EXPECT_EQ(data.spec_version, 9);
    ASSERT_TRUE(data.description);
    EXPECT_EQ(data.description->SerializeAsString(), description.SerializeAsString());
  }
  for (const size_t shift : {1, 7, 64}) {
    const std::string moved = bytes.substr(0, 0x30) + std::string(shift, '\0') + bytes.substr(0x30);
    const CompiledData data = read_coremldata(std::as_bytes(std::span(moved)));
    ASSERT_TRUE(data.description) << shift;
    EXPECT_EQ(data.description->SerializeAsString(), description.SerializeAsString());
  }
}

TEST(CompiledData, broken_bytes_say_nothing_and_do_no_harm) {
  const std::string bytes =
      coremldata_bytes(9, description_to_proto(with_features(every_kind()), false), 1);
  for (size_t length = 0; length + 20 < bytes.size(); length += 7) {
    const std::string cut = bytes.substr(0, length);
    EXPECT_FALSE(read_coremldata(std::as_bytes(std::span(cut))).description) << length;
  }
  const std::string lengths(100'000, '\x01');
  EXPECT_FALSE(read_coremldata(std::as_bytes(std::span(lengths))).description);
}

TEST(MetadataJson, hints_fill_in_what_a_missing_description_would_have_said) {
  Model model = with_features({{.name = "x",
                                .description = "rows",
                                .optional = true,
                                .dtype = DType::kF32,
                                .shape = {1, 4}},
                               {.name = "image",
                                .kind = Kind::kImage,
                                .width = 8,
                                .height = 4,
                                .color_space = ColorSpace::kBgr}});
  model.default_function = "main";
  const std::string json = metadata_json_text(model, "Model", false);
  Model hinted = model_of(
      "program(1.3) { func main<ios18>(tensor<fp32, [1, 4]> x, tensor<fp32, [1, 3, 4, 8]> image) {"
      " tensor<fp32, [1, 4]> y = relu(x = x); } -> (y); }");
  reconcile(hinted);
  apply_metadata_hints(json, hinted);
  EXPECT_EQ(hinted.functions[0].inputs, model.functions[0].inputs);
  EXPECT_EQ(hinted.metadata, model.metadata);
}

TEST(MetadataJson, hints_that_make_no_sense_are_passed_over) {
  Model model = model_of(kProgram);
  reconcile(model);
  const auto before = model.functions;
  for (const std::string& json :
       {std::string(), std::string("not json"), std::string("[]"), std::string("[1]"),
        std::string("{}"),
        std::string("[{\"inputSchema\": 3, \"functions\": [1, {}], \"userDefinedMetadata\": [1]}]"),
        std::string(
            "[{\"inputSchema\": [{\"name\": \"image\", \"type\": \"Image\", \"colorspace\": "
            "\"RGB\", \"width\": \"-1\", \"height\": \"x\"}]}]"),
        std::string(1 << 20, '['), std::string(5 << 20, ' ')}) {
    apply_metadata_hints(json, model);
    EXPECT_EQ(model.functions, before) << json.substr(0, 60);
  }
}

}  // namespace
}  // namespace mw::package
