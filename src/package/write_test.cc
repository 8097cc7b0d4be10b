// Tests of write(): round trips over the containers, ties, names, atomicity and refusals.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "package/identifiers.h"
#include "package/package.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::difference;
using testing::error_of;
using testing::fixture;
using testing::fixtures;
using testing::model_of;
using testing::slurp;
using testing::spit;
using testing::TempFolder;
using testing::weights_of;
namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Write, a_package_survives_unchanged_with_its_weights_byte_for_byte) {
  const TempFolder folder;
  for (const fs::path& path : fixtures()) {
    const Model model = read(path);
    const fs::path out = folder / path.filename().string();
    write(model, out);
    EXPECT_EQ(difference(read(out), model), "") << path;
    EXPECT_EQ(fs::exists(weights_of(path)), fs::exists(weights_of(out)));
    EXPECT_EQ(slurp(weights_of(path)), slurp(weights_of(out))) << path;
    const std::string once = slurp(testing::spec_of(out)) + slurp(out / "Manifest.json");
    write(read(out), out);
    EXPECT_EQ(slurp(testing::spec_of(out)) + slurp(out / "Manifest.json"), once) << path;
  }
}

TEST(Write, a_package_survives_the_way_through_a_compiled_model_and_a_single_file) {
  const TempFolder folder;
  for (const fs::path& path : fixtures()) {
    const Model model = read(path);
    write(model, folder / "a.mlmodelc");
    const Model compiled = read(folder / "a.mlmodelc");
    EXPECT_EQ(difference(compiled, model), "") << path;
    EXPECT_EQ(slurp(weights_of(path)), slurp(weights_of(folder / "a.mlmodelc"))) << path;
    write(compiled, folder / "b.mlpackage");
    EXPECT_EQ(difference(read(folder / "b.mlpackage"), model), "") << path;
    EXPECT_EQ(slurp(weights_of(path)), slurp(weights_of(folder / "b.mlpackage"))) << path;
    write(compiled, folder / "c.mlmodel");
    EXPECT_EQ(difference(read(folder / "c.mlmodel"), model), "") << path;
  }
}

TEST(Write, a_compiled_model_has_every_file_that_apples_compiler_writes) {
  const TempFolder folder;
  write(read(fixture("linear.mlpackage")), folder / "m.mlmodelc");
  EXPECT_EQ(names_in(folder / "m.mlmodelc"),
            (std::vector<std::string>{"analytics", "coremldata.bin", "metadata.json", "model.mil",
                                      "weights"}));
  const std::string json = slurp(folder / "m.mlmodelc/metadata.json");
  for (const char* part :
       {"\"metadataOutputVersion\": \"3.0\"", "\"Ios16.linear\": 1",
        "\"computePrecision\": \"Float32\"", "\"storagePrecision\": \"Float32\"",
        "\"generatedClassName\": \"m\"", "\"macOS\": \"13.0\"",
        "\"formattedType\": \"MultiArray (Float32 2 \u00d7 4)\"", "\"method\": \"predict\""}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
  }
}

// A constant's value in a function, by the name of its result.
ir::Operation& op_named(ir::Function& function, const std::string& name) {
  for (const auto& op : function.body.ops) {
    if (!op->outputs.empty() && op->outputs[0]->name == name) return *op;
  }
  throw std::runtime_error("no op " + name);
}
ir::ConstantPtr weight_in(const ir::Function& function) {
  for (const auto& op : function.body.ops) {
    const ir::ConstantPtr value = ir::find_attribute(op->attributes, "val");
    if (value && value->blob_ref() && value->type().rank() == 2) return value;
  }
  return nullptr;
}

TEST(Write, a_changed_weight_changes_its_bytes_alone) {
  const TempFolder folder;
  const Model model = read(fixture("linear.mlpackage"));
  const ir::ConstantPtr old = weight_in(*model.program->functions[0]);
  Tensor changed = old->value().clone();
  changed.set_number(0, 42);
  for (const auto& op : model.program->functions[0]->body.ops) {
    if (ir::find_attribute(op->attributes, "val") == old) {
      ir::set_attribute(op->attributes, "val", ir::Constant::blob(changed, *old->blob_ref()));
    }
  }
  write(model, folder / "m.mlpackage");
  const std::string before = slurp(weights_of(fixture("linear.mlpackage"))),
                    after = slurp(weights_of(folder / "m.mlpackage"));
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    const size_t data = old->blob_ref()->offset + 64;
    if (i < data || i >= data + 4) {
      ASSERT_EQ(before[i], after[i]) << i;
    }
  }
  EXPECT_EQ(weight_in(*read(folder / "m.mlpackage").program->functions[0])->value().number_at(0),
            42);
}

TEST(Write, a_shared_blob_stays_shared_until_one_function_changes_it) {
  const TempFolder folder;
  Model model = read(fixture("two_functions.mlpackage"));
  write(model, folder / "same.mlpackage");
  EXPECT_EQ(fs::file_size(weights_of(folder / "same.mlpackage")),
            fs::file_size(weights_of(fixture("two_functions.mlpackage"))));

  ir::Function& second = *model.program->functions[1];
  const ir::ConstantPtr old = weight_in(second);
  Tensor changed = old->value().clone();
  changed.set_number(5, -7);
  for (const auto& op : second.body.ops) {
    if (ir::find_attribute(op->attributes, "val") == old) {
      ir::set_attribute(op->attributes, "val", ir::Constant::blob(changed, *old->blob_ref()));
    }
  }
  write(model, folder / "split.mlpackage");
  const Model split = read(folder / "split.mlpackage");
  EXPECT_TRUE(bit_equal(weight_in(*split.program->functions[0])->value(), old->value()));
  EXPECT_TRUE(bit_equal(weight_in(*split.program->functions[1])->value(), changed));
  const std::string before = slurp(weights_of(fixture("two_functions.mlpackage")));
  EXPECT_EQ(slurp(weights_of(folder / "split.mlpackage")).substr(64, before.size() - 64),
            before.substr(64));
}

TEST(Write, fields_of_the_specification_beside_the_program_are_kept) {
  const TempFolder folder;
  Model model = read(fixture("linear.mlpackage"));
  EXPECT_FALSE(model.updatable);
  model.doc_string = "what it is for";
  model.updatable = true;
  write(model, folder / "a.mlpackage");
  const Model again = read(folder / "a.mlpackage");
  EXPECT_EQ(again.doc_string, model.doc_string);
  EXPECT_TRUE(again.updatable);
  write(again, folder / "b.mlmodelc");
  EXPECT_TRUE(read(folder / "b.mlmodelc").updatable);
  write(read(folder / "b.mlmodelc"), folder / "c.mlmodel");
  EXPECT_TRUE(read(folder / "c.mlmodel").updatable);
  write(again, folder / "d.mlmodel", {.strip_metadata = true});
  EXPECT_EQ(read(folder / "d.mlmodel").doc_string, "");
}

std::string ramp(int count, const char* format) {
  std::string text = "[";
  for (int i = 0; i < count; ++i)
    text += (i > 0 ? ", " : "") + fmt::format(fmt::runtime(format), i);
  return text + "]";
}

TEST(Write, large_numeric_constants_go_to_the_weight_file_and_small_ones_stay) {
  const TempFolder folder;
  for (const auto& [opset, blobs] : {std::pair("ios17", 2), std::pair("ios18", 3)}) {
    const Model model = model_of(fmt::format(
        "program(1.0) {{ func main<{}>(tensor<fp32, [12]> x) {{"
        " tensor<fp32, [12]> a = const()[val = tensor<fp32, [12]>({})];"
        " tensor<fp32, [9]> b = const()[val = tensor<fp32, [9]>({})];"
        " tensor<int32, [12]> c = const()[val = tensor<int32, [12]>({})];"
        " tensor<int8, [12]> d = const()[val = tensor<int8, [12]>({})];"
        " tensor<bool, [12]> e = const()[val = tensor<bool, [12]>([{}true])];"
        " tensor<fp32, [12]> y = add(x = x, y = tensor<fp32, [12]>({})); }} -> (y); }}",
        opset, ramp(12, "{}.0"), ramp(9, "{}.0"), ramp(12, "{}"), ramp(12, "{}"),
        "true, true, true, true, true, true, true, true, true, true, true, ", ramp(12, "{}.0")));
    write(model, folder / "m.mlpackage");
    EXPECT_EQ(slurp(weights_of(folder / "m.mlpackage"))[0], blobs) << opset;
    EXPECT_EQ(
        testing::Comparison(true).programs(*read(folder / "m.mlpackage").program, *model.program),
        "");
  }
}

TEST(Write, weight_files_keep_their_names_and_foreign_places_become_files_of_the_package) {
  const TempFolder folder;
  Model model = model_of(
      "program(1.0) { func main<ios17>(tensor<fp32, [2]> x) {"
      " tensor<fp32, [2]> a = const()[val = tensor<fp32, [2]>([0x1p+0, 0x1p+1])];"
      " tensor<fp32, [2]> b = const()[val = tensor<fp32, [2]>([0x1p+2, 0x1p+3])];"
      " tensor<fp32, [2]> c = const()[val = tensor<fp32, [2]>([0x1p+4, 0x1p+5])];"
      " tensor<fp32, [2]> y = add(x = a, y = x); } -> (y); }");
  const std::pair<const char*, const char*> paths[] = {{"a", "@model_path/weights/mine.bin"},
                                                       {"b", "@model_path/../common/mine.bin"},
                                                       {"c", "@model_path/weights/mine.bin"}};
  for (const auto& [name, path] : paths) {
    ir::Operation& op = op_named(*model.program->functions[0], name);
    const Tensor value = ir::find_attribute(op.attributes, "val")->value();
    ir::set_attribute(op.attributes, "val",
                      ir::Constant::blob(value, {path, name[0] == 'a' ? 640U : 64U}));
  }
  write(model, folder / "m.mlmodelc");
  EXPECT_EQ(names_in(folder / "m.mlmodelc/weights"),
            (std::vector<std::string>{"1_mine.bin", "mine.bin"}));
  const Model again = read(folder / "m.mlmodelc");
  EXPECT_EQ(testing::Comparison(true).programs(*again.program, *model.program), "");
  ir::Function& main = *again.program->functions[0];
  EXPECT_EQ(ir::find_attribute(op_named(main, "a").attributes, "val")->blob_ref()->offset, 192U);
  EXPECT_EQ(ir::find_attribute(op_named(main, "c").attributes, "val")->blob_ref()->offset, 64U);
}

TEST(Identifiers, values_are_renamed_and_the_original_stays_in_the_name_attribute) {
  const auto program = ir::text::parse(
      "program(1.0) { func main<ios17>(tensor<fp32, [1]> x) {"
      " tensor<fp32, [1]> \"a/b\" = relu(x = x);"
      " tensor<fp32, [1]> a_b = relu(x = \"a/b\")[name = tensor<string, []>(\"kept\")];"
      " tensor<fp32, [1]> \"1 \u00d7\" = relu(x = a_b)[name = tensor<string, []>(\"mine\")];"
      " tensor<fp32, [1]> y = add(x = \"1 \u00d7\", y = \"a/b\"); } -> (y); }");
  const auto renamed = with_identifiers(*program);
  std::vector<std::string> names, labels;
  for (const auto& op : renamed->functions[0]->body.ops) {
    names.push_back(op->outputs[0]->name);
    labels.push_back(op->name());
    EXPECT_TRUE(is_identifier(names.back()));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a_b", "a_b_0", "_1___", "y"}));
  EXPECT_EQ(labels, (std::vector<std::string>{"a/b", "kept", "mine", "y"}));
  EXPECT_EQ(testing::Comparison(false).programs(*program, *renamed), "");
}

TEST(Identifiers, inputs_and_outputs_keep_their_names_or_are_refused) {
  const TempFolder folder;
  for (const char* name : {"x.1", "a b", "\u00e4"}) {
    const Model model =
        model_of(fmt::format("program(1.0) {{ func main<ios17>(tensor<fp32, [1]> \"{0}\") {{ "
                             "tensor<fp32, [1]> y = relu(x = \"{0}\"); }} -> (y); }}",
                             name));
    write(model, folder / "m.mlpackage");
    EXPECT_EQ(difference(read(folder / "m.mlpackage"), read(folder / "m.mlpackage")), "");
    const std::string got = error_of([&] { write(model, folder / "m.mlmodelc"); });
    EXPECT_NE(got.find(fmt::format("function 'main': input '{}': expected letters", name)),
              std::string::npos)
        << got;
    EXPECT_FALSE(fs::exists(folder / "m.mlmodelc"));
  }
}

TEST(Write, stripping_leaves_out_metadata_and_keeps_the_program) {
  const TempFolder folder;
  const Model model = read(fixture("linear.mlpackage"));
  for (const char* name : {"m.mlpackage", "m.mlmodelc"}) {
    write(model, folder / name, {.strip_metadata = true});
    const Model stripped = read(folder / name);
    EXPECT_EQ(stripped.metadata, Metadata{});
    EXPECT_TRUE(stripped.program->attributes.empty());
    EXPECT_EQ(stripped.functions[0].inputs[0].description, "");
    EXPECT_EQ(testing::Comparison(true).programs(*stripped.program, *model.program), "");
    for (const auto& entry : fs::recursive_directory_iterator(folder / name)) {
      if (entry.is_regular_file()) {
        EXPECT_EQ(slurp(entry.path()).find("Millwright"), std::string::npos) << entry.path();
      }
    }
  }
}

TEST(Write, saving_over_the_input_works_while_its_weights_are_mapped) {
  const TempFolder folder;
  for (const char* name : {"m.mlpackage", "m.mlmodelc", "m.mlmodel"}) {
    write(read(fixture("linear.mlpackage")), folder / name);
    const Model model = read(folder / name);
    write(model, folder / name);
    EXPECT_EQ(difference(read(folder / name), model), "") << name;
    for (const auto& file : model.weight_files) EXPECT_NO_THROW(file->check_intact());
  }
  EXPECT_EQ(names_in(folder.path()),
            (std::vector<std::string>{"m.mlmodel", "m.mlmodelc", "m.mlpackage"}));
}

TEST(Write, files_that_stand_beside_the_model_in_its_folder_come_along) {
  const TempFolder folder;
  write(read(fixture("linear.mlpackage")), folder / "a.mlpackage");
  spit(folder / "a.mlpackage/tokenizer.json", "{}");
  spit(folder / "a.mlpackage/.DS_Store", "x");
  const Model model = read(folder / "a.mlpackage");
  write(model, folder / "b.mlmodelc");
  EXPECT_EQ(slurp(folder / "b.mlmodelc/tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(folder / "b.mlmodelc/.DS_Store"));
  EXPECT_FALSE(fs::exists(folder / "b.mlmodelc/Manifest.json"));
  write(model, folder / "a.mlpackage");
  EXPECT_EQ(slurp(folder / "a.mlpackage/tokenizer.json"), "{}");
  write(model, folder / "c.mlmodelc", {.carry_extras = false});
  EXPECT_FALSE(fs::exists(folder / "c.mlmodelc/tokenizer.json"));
}

TEST(Write, a_link_to_a_model_stays_a_link) {
  const TempFolder folder;
  const Model model = read(fixture("linear.mlpackage"));
  write(model, folder / "real/m.mlpackage");
  fs::create_symlink(folder / "real/m.mlpackage", folder / "link.mlpackage");
  write(model, folder / "link.mlpackage");
  EXPECT_TRUE(fs::is_symlink(folder / "link.mlpackage"));
  EXPECT_EQ(difference(read(folder / "real/m.mlpackage"), model), "");
}

TEST(Write, what_is_not_a_model_is_never_replaced) {
  const TempFolder folder;
  const Model model = read(fixture("linear.mlpackage"));
  spit(folder / "a.mlpackage/thesis.txt", "precious");
  spit(folder / "b.mlpackage", "a file");
  fs::create_directories(folder / "c.mlmodel");
  for (const char* name : {"a.mlpackage", "b.mlpackage", "c.mlmodel", "d.txt", "e"}) {
    EXPECT_NE(error_of([&] { write(model, folder / name); }), "") << name;
  }
  EXPECT_EQ(slurp(folder / "a.mlpackage/thesis.txt"), "precious");
  EXPECT_EQ(slurp(folder / "b.mlpackage"), "a file");
  EXPECT_EQ(names_in(folder.path()),
            (std::vector<std::string>{"a.mlpackage", "b.mlpackage", "c.mlmodel"}));
  fs::create_directories(folder / "empty.mlpackage");
  EXPECT_NO_THROW(write(model, (folder / "empty.mlpackage").string() + "/"));
}

TEST(Write, a_failure_leaves_the_old_model_and_no_temporary_files) {
  const TempFolder folder;
  write(read(fixture("linear.mlpackage")), folder / "m.mlpackage");
  const Model model = read(folder / "m.mlpackage");
  const auto files = names_in(folder.path());
  // A limit on file sizes fails the write in the middle, as a full disk does.
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{.rlim_cur = 200, .rlim_max = old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  ErrorCode code{};
  const std::string got = error_of([&] { write(model, folder / "m.mlpackage"); }, &code);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, previous);
  EXPECT_NE(got.find("m.mlpackage: Data/com.apple.CoreML/model.mlmodel: cannot write"),
            std::string::npos)
      << got;
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_EQ(names_in(folder.path()), files);
  EXPECT_EQ(difference(read(folder / "m.mlpackage"), model), "");
}

TEST(Write, a_folder_that_may_not_be_written_is_an_io_error) {
  const TempFolder folder;
  spit(folder / "file", "x");
  ErrorCode code{};
  EXPECT_NE(error_of([&] { write(read(fixture("linear.mlpackage")), folder / "file/m.mlpackage"); },
                     &code),
            "");
  EXPECT_EQ(code, ErrorCode::kIo);
}

TEST(Write, a_model_without_a_program_or_with_a_wrong_description_is_refused) {
  const TempFolder folder;
  EXPECT_NE(error_of([&] { write(Model{}, folder / "m.mlpackage"); }).find("expected a program"),
            std::string::npos);
  Model model = read(fixture("linear.mlpackage"));
  model.functions[0].inputs[0].name = "other";
  EXPECT_NE(error_of([&] { write(model, folder / "m.mlpackage"); }).find("input 'other'"),
            std::string::npos);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

}  // namespace
}  // namespace mw::package
