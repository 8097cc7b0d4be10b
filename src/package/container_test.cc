// Tests of read(): the containers, what is missing in them, and the errors of broken ones.
#include <sys/stat.h>

#include "package/container.h"
#include "package/package.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::error_of;
using testing::fixture;
using testing::has;
using testing::slurp;
using testing::spit;
using testing::TempFolder;
namespace fs = std::filesystem;

std::string read_error(const fs::path& path, ErrorCode* code = nullptr) {
  return error_of([&] { read(path); }, code);
}

// A copy of a fixture to break.
fs::path copy_of(const std::string& name, const TempFolder& folder) {
  const fs::path copy = folder / name;
  fs::copy(fixture(name), copy, fs::copy_options::recursive);
  return copy;
}

// The fixture as a compiled model.
fs::path compiled(const std::string& name, const TempFolder& folder) {
  const fs::path path = folder / (name + ".mlmodelc");
  write(read(fixture(name + ".mlpackage")), path);
  return path;
}

TEST(Read, a_package_gives_program_description_metadata_and_mapped_weights) {
  const Model model = read(fixture("linear.mlpackage"));
  EXPECT_EQ(model.container, Container::kMlpackage);
  EXPECT_EQ(model.spec_version, 7);
  EXPECT_EQ(model.default_function, "main");
  EXPECT_FALSE(model.multi_function);
  const FunctionDescription& main = model.default_description();
  EXPECT_EQ(
      main.inputs,
      (std::vector<Feature>{
          {.name = "x", .description = "rows of four", .dtype = DType::kF32, .shape = {2, 4}}}));
  EXPECT_EQ(main.outputs.size(), 1U);
  EXPECT_EQ(model.metadata.short_description, "A linear layer");
  EXPECT_EQ(model.metadata.author, "Millwright");
  EXPECT_EQ(model.metadata.version, "1.0");
  EXPECT_EQ(model.metadata.license, "none");
  EXPECT_EQ(model.metadata.user_defined.at("key"), "value \u00d7");
  ASSERT_EQ(model.weight_files.size(), 1U);
  const auto bytes = model.weight_files[0]->bytes();
  bool found = false;
  ir::for_each_op(model.program->functions[0]->body, [&](const ir::Operation& op) {
    if (!op.is_const()) return;
    const ir::ConstantPtr value = ir::find_attribute(op.attributes, "val");
    if (!value->blob_ref()) return;
    found = true;
    const auto* data = static_cast<const std::byte*>(value->value().raw());
    EXPECT_TRUE(data >= bytes.data() && data < bytes.data() + bytes.size());
  });
  EXPECT_TRUE(found);
  EXPECT_EQ(model.weight_bytes(), 60U);
}

TEST(Container, is_named_by_the_extension_whatever_slash_follows) {
  for (const char* path : {"a.mlpackage", "a.mlpackage/", "/b.c/a.mlpackage//"}) {
    EXPECT_EQ(container_named(path), Container::kMlpackage) << path;
    EXPECT_EQ(container_for(path), Container::kMlpackage) << path;
  }
  EXPECT_EQ(container_named("./a.b.mlmodelc"), Container::kMlmodelc);
  EXPECT_EQ(container_named("a.mlmodel"), Container::kMlmodel);
  for (const char* path : {"", "/", "a", "a.MLPACKAGE", "a.mlpackage/b", "a.mlpackage.zip"}) {
    EXPECT_EQ(container_named(path), std::nullopt) << path;
  }
  EXPECT_EQ(error_of([] { (void)container_for("out/a.zip"); }),
            "expected a path that ends in .mlpackage, .mlmodelc or .mlmodel, got 'a.zip'");
}

TEST(Read, the_features_of_each_fixture_are_known) {
  const Model range = read(fixture("range_shape.mlpackage"));
  EXPECT_EQ(range.functions[0].inputs[0].ranges, (std::vector<ShapeRange>{{1, 8}, {4, 4}}));
  const Model listed = read(fixture("enumerated_shapes.mlpackage"));
  EXPECT_EQ(listed.functions[0].inputs[0].enumerated.size(), 3U);
  const Model image = read(fixture("image.mlpackage"));
  EXPECT_EQ(image.functions[0].inputs[0].color_space, ColorSpace::kBgr);
  const Model classifier = read(fixture("classifier.mlpackage"));
  EXPECT_EQ(classifier.functions[0].predicted_feature_name, "classLabel");
  EXPECT_EQ(classifier.functions[0].outputs[1].element, Feature::Element::kString);
  const Model stateful = read(fixture("stateful.mlpackage"));
  EXPECT_EQ(stateful.functions[0].states[0].name, "memory");
  EXPECT_EQ(stateful.functions[0].inputs.size(), 1U);
  const Model two = read(fixture("two_functions.mlpackage"));
  EXPECT_TRUE(two.multi_function);
  EXPECT_EQ(two.default_function, "triple");
  EXPECT_EQ(two.default_description().name, "triple");
  EXPECT_NE(two.find_function("double"), nullptr);
  EXPECT_EQ(two.find_function("main"), nullptr);
  EXPECT_EQ(read(fixture("returned_twice.mlpackage")).functions[0].outputs.size(), 4U);
}

TEST(Read, a_blob_named_by_two_functions_is_one_piece_of_memory) {
  const Model two = read(fixture("two_functions.mlpackage"));
  std::vector<const void*> weights;
  for (const auto& function : two.program->functions) {
    ir::for_each_op(function->body, [&](const ir::Operation& op) {
      const ir::ConstantPtr value = ir::find_attribute(op.attributes, "val");
      if (value && value->blob_ref() && value->type().rank() == 2)
        weights.push_back(value->value().raw());
    });
  }
  ASSERT_EQ(weights.size(), 2U);
  EXPECT_EQ(weights[0], weights[1]);
}

TEST(Read, the_model_file_of_a_package_opens_by_itself_beside_its_weights) {
  const Model model = read(testing::spec_of(fixture("linear.mlpackage")));
  EXPECT_EQ(model.container, Container::kMlmodel);
  EXPECT_EQ(testing::difference(model, read(fixture("linear.mlpackage"))), "");
}

TEST(Read, identifiers_of_a_manifest_may_differ_in_case_and_the_model_in_name) {
  const TempFolder folder;
  const fs::path path = copy_of("linear.mlpackage", folder);
  fs::rename(testing::spec_of(path), path / "Data/com.apple.CoreML/other.bin");
  spit(
      path / "Manifest.json",
      R"({"rootModelIdentifier": "ABC", "itemInfoEntries": {"abc": {"path": "com.apple.CoreML/other.bin"}}})");
  EXPECT_EQ(testing::difference(read(path), read(fixture("linear.mlpackage"))), "");
}

TEST(Read, weights_may_lie_in_another_item_of_the_package) {
  const TempFolder folder;
  const fs::path path = copy_of("linear.mlpackage", folder);
  fs::create_directories(path / "Data/mine");
  fs::rename(testing::spec_of(path), path / "Data/mine/model.mlmodel");
  spit(path / "Manifest.json", R"({"rootModelIdentifier": "a", "itemInfoEntries": {
    "a": {"path": "mine/model.mlmodel"}, "b": {"path": "com.apple.CoreML/weights"}}})");
  EXPECT_EQ(testing::difference(read(path), read(fixture("linear.mlpackage"))), "");
}

TEST(Read, a_compiled_model_needs_only_its_text_and_weights) {
  const TempFolder folder;
  for (const char* name :
       {"linear", "range_shape", "enumerated_shapes", "stateful", "two_functions", "image"}) {
    const fs::path path = compiled(name, folder);
    const Model whole = read(path);
    EXPECT_EQ(whole.container, Container::kMlmodelc);
    fs::remove(path / "coremldata.bin");
    Model hinted = read(path);
    EXPECT_EQ(hinted.default_function, whole.default_function) << name;
    EXPECT_EQ(hinted.metadata, whole.metadata) << name;
    EXPECT_EQ(hinted.spec_version, whole.spec_version) << name;
    for (const FunctionDescription& function : whole.functions) {
      EXPECT_EQ(hinted.find_function(function.name)->inputs, function.inputs) << name;
      EXPECT_EQ(hinted.find_function(function.name)->states, function.states) << name;
    }
    spit(path / "metadata.json", "garbage");
    fs::remove_all(path / "analytics");
    hinted = read(path);
    EXPECT_EQ(testing::Comparison(true).programs(*hinted.program, *whole.program), "") << name;
    EXPECT_TRUE(hinted.metadata.author.empty());
  }
}

TEST(Read, a_compiled_model_may_use_weights_beside_its_folder_and_none_further_up) {
  const TempFolder folder;
  const fs::path path = compiled("linear", folder);
  fs::create_directories(folder / "common");
  fs::rename(testing::weights_of(path), folder / "common/w.bin");
  std::string text = slurp(path / "model.mil");
  const auto point_to = [&](const std::string& target) {
    std::string edited = text;
    const std::string from = "@model_path/weights/weight.bin";
    for (size_t at = edited.find(from); at != std::string::npos; at = edited.find(from))
      edited.replace(at, from.size(), target);
    spit(path / "model.mil", edited);
  };
  point_to("@model_path/../common/w.bin");
  EXPECT_EQ(read_error(path), "");
  for (const char* target : {"@model_path/../../common/w.bin", "/etc/passwd", "common/w.bin"}) {
    point_to(target);
    ErrorCode code{};
    EXPECT_NE(read_error(path, &code), "") << target;
    EXPECT_EQ(code, ErrorCode::kInvalidModel) << target;
  }
}

TEST(Read, other_kinds_of_compiled_models_are_refused_by_name) {
  const TempFolder folder;
  const auto kind = [&](uint32_t number) {
    const fs::path path = folder / std::to_string(number) / "m.mlmodelc";
    spit(path / "coremldata.bin",
         std::string(reinterpret_cast<const char*>(&number), 4) + std::string(60, '\0'));
    ErrorCode code{};
    std::string got = read_error(path, &code);
    EXPECT_EQ(code, ErrorCode::kUnsupported) << got;
    return got;
  };
  EXPECT_NE(kind(500).find("kind 'neuralNetwork'"), std::string::npos);
  EXPECT_NE(kind(402).find("kind 'treeEnsembleClassifier'"), std::string::npos);
  EXPECT_NE(kind(202).find("kind 'pipeline'"), std::string::npos);
  spit(folder / "nn.mlmodelc/model.espresso.net", "{}");
  EXPECT_NE(read_error(folder / "nn.mlmodelc").find("kind 'neuralNetwork'"), std::string::npos);
}

TEST(Read, what_is_not_there_or_no_model_is_an_error_that_names_the_path) {
  const TempFolder folder;
  ErrorCode code{};
  std::string got = read_error(folder / "none.mlpackage", &code);
  EXPECT_EQ(got, (folder / "none.mlpackage").string() + ": no such file or folder");
  EXPECT_EQ(code, ErrorCode::kIo);
  fs::create_directories(folder / "empty.mlpackage");
  EXPECT_NE(read_error(folder / "empty.mlpackage").find("found neither"), std::string::npos);
  spit(folder / "only.mlmodelc/coremldata.bin", std::string("\xf6\1\0\0", 4));
  EXPECT_NE(read_error(folder / "only.mlmodelc").find("expected model.mil"), std::string::npos);
  spit(folder / "text.mlmodel", "program(1.0) {}");
  EXPECT_NE(read_error(folder / "text.mlmodel"), "");
  spit(folder / "zero.mlmodel", "");
  EXPECT_NE(read_error(folder / "zero.mlmodel").find("expected a model, got a file of 0 bytes"),
            std::string::npos);
  fs::create_symlink(folder / "loop.mlpackage", folder / "loop.mlpackage");
  EXPECT_NE(read_error(folder / "loop.mlpackage", &code).find("cannot open"), std::string::npos);
  EXPECT_EQ(code, ErrorCode::kIo);
}

TEST(Read, what_may_not_be_opened_is_not_called_missing) {
  const TempFolder folder;
  fs::permissions(folder.path(), fs::perms::all);
  fs::copy(fixture("linear.mlpackage"), folder / "m.mlpackage", fs::copy_options::recursive);
  write(read(fixture("linear.mlpackage")), folder / "m.mlmodelc");
  for (const fs::path& denied :
       {folder / "m.mlpackage/Data", folder / "m.mlpackage/Data/com.apple.CoreML",
        testing::weights_of(folder / "m.mlpackage").parent_path(), folder / "m.mlmodelc",
        folder / "m.mlmodelc/weights"}) {
    const fs::perms before = fs::status(denied).permissions();
    fs::permissions(denied, fs::perms::none);
    const bool is_root = geteuid() == 0;  // who may open everything, and for this is somebody else
    if (is_root) {
      ASSERT_EQ(seteuid(65534), 0);
    }
    const bool is_package = has(denied.string(), ".mlpackage");
    ErrorCode code{};
    const std::string got = read_error(folder / (is_package ? "m.mlpackage" : "m.mlmodelc"), &code);
    if (is_root) {
      ASSERT_EQ(seteuid(0), 0);
    }
    EXPECT_TRUE(has(got, "Permission denied")) << denied << ": " << got;
    EXPECT_FALSE(has(got, "missing")) << got;
    EXPECT_EQ(code, ErrorCode::kIo) << got;
    fs::permissions(denied, before);
  }
}

TEST(Read, broken_manifests_are_errors) {
  const TempFolder folder;
  const fs::path path = copy_of("linear.mlpackage", folder);
  const std::pair<const char*, const char*> rows[] = {
      {"", "Manifest.json: expected a JSON object"},
      {"[1]", "Manifest.json: expected a JSON object"},
      {"{\"rootModelIdentifier\": 3}", "expected rootModelIdentifier and itemInfoEntries"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": []}",
       "expected rootModelIdentifier and itemInfoEntries"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"b\": {\"path\": \"x\"}}}",
       "expected the root model 'a'"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": {\"path\": \"x\"}}}",
       "the model file is missing"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": {\"path\": \"../../x\"}}}",
       "a path leaves the model"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": {\"path\": "
       "\"/etc/passwd\"}}}",
       "expected a relative path"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": {}}}",
       "expected the path of a file under Data"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": 3}}",
       "expected the path of a file under Data"},
      {"{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": {\"a\": {\"path\": "
       "\"com.apple.CoreML\"}}}",
       "model file is missing"},
  };
  for (const auto& [manifest, message] : rows) {
    spit(path / "Manifest.json", manifest);
    ErrorCode code{};
    const std::string got = read_error(path, &code);
    EXPECT_NE(got.find(message), std::string::npos) << manifest << ": " << got;
    EXPECT_EQ(code, ErrorCode::kInvalidModel);
  }
}

TEST(Read, missing_or_short_weights_are_errors_with_function_op_and_input) {
  const TempFolder folder;
  const fs::path path = copy_of("linear.mlpackage", folder);
  const std::string bytes = slurp(testing::weights_of(path));
  fs::resize_file(testing::weights_of(path), bytes.size() - 1);
  std::string got = read_error(path);
  EXPECT_NE(got.find("model.mlmodel: function 'main': const '"), std::string::npos) << got;
  EXPECT_NE(got.find("': val: @model_path/weights/weight.bin: offset "), std::string::npos) << got;
  fs::remove(testing::weights_of(path));
  got = read_error(path);
  EXPECT_NE(got.find("weight file '@model_path/weights/weight.bin' is missing"), std::string::npos)
      << got;
  fs::create_symlink("weight.bin", testing::weights_of(path));
  EXPECT_NE(read_error(path), "");
  fs::remove(testing::weights_of(path));
  fs::create_directory(testing::weights_of(path));
  EXPECT_NE(read_error(path).find("expected a regular file"), std::string::npos);
  fs::remove(testing::weights_of(path));
  ASSERT_EQ(mkfifo(testing::weights_of(path).c_str(), 0600), 0);
  EXPECT_NE(read_error(path).find("expected a regular file"), std::string::npos);
}

}  // namespace
}  // namespace mw::package
