// write(): the three containers, built in a temporary place and published at once.
#include <algorithm>
#include <array>
#include <new>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "package/coremldata.h"
#include "package/description_proto.h"
#include "package/flexible_shapes.h"
#include "package/hash.h"
#include "package/identifiers.h"
#include "package/manifest.h"
#include "package/metadata_json.h"
#include "package/output_file.h"
#include "package/program_proto.h"
#include "package/weight_plan.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr auto kOwnFiles = std::to_array<std::string_view>(
    {"Manifest.json", "model.mil", "coremldata.bin", "metadata.json", "model.espresso.net"});

void put_file(const fs::path& path, std::string_view content) {
  OutputFile file(path);
  file.write(content);
  file.close();
}

Container container_for(const fs::path& path) {
  const std::string extension = path.extension().string();
  for (const Container container :
       {Container::kMlmodelc, Container::kMlpackage, Container::kMlmodel}) {
    if (extension == name_of(container)) return container;
  }
  fail(ErrorCode::kInvalidArgument,
       "expected a path that ends in .mlpackage, .mlmodelc or .mlmodel, got '{}'",
       path.filename().string());
}

void expect_replaceable(const fs::path& target, Container container) {
  const fs::file_status status = fs::status(target);
  if (!fs::exists(status)) return;
  if (container == Container::kMlmodel) {
    if (!fs::is_regular_file(status)) {
      fail(ErrorCode::kIo, "expected a file to replace, got something else");
    }
    return;
  }
  if (!fs::is_directory(status)) {
    fail(ErrorCode::kIo, "expected a folder to replace, got a file; remove it first");
  }
  const bool is_model = std::any_of(kOwnFiles.begin(), kOwnFiles.end(), [&](std::string_view name) {
    return fs::exists(target / name);
  });
  if (!is_model && !fs::is_empty(target)) {
    fail(ErrorCode::kIo,
         "expected a Core ML model to replace, got a folder of other files; remove it first");
  }
}

// A copy whose description and program agree; constants are shared, so it costs little.
Model prepared(const Model& model, const WriteOptions& options) {
  if (!model.program || model.program->functions.empty()) {
    fail(ErrorCode::kInvalidArgument, "expected a program with at least one function, got none");
  }
  Model copy{.program = ir::clone(*model.program),
             .spec_version = model.spec_version,
             .functions = model.functions,
             .default_function = model.default_function,
             .multi_function = model.multi_function,
             .metadata = model.metadata,
             .doc_string = options.strip_metadata ? "" : model.doc_string,
             .updatable = model.updatable,
             .path = model.path,
             .container = model.container,
             .weight_files = model.weight_files,
             .description_bytes = model.description_bytes};
  for (const auto& function : copy.program->functions) {
    copy.spec_version = std::max(copy.spec_version, static_cast<int>(function->opset));
  }
  reconcile(copy);
  if (options.strip_metadata) copy.program->attributes.clear();
  return copy;
}

std::string spec_bytes(const Model& model, const WriteOptions& options, const BlobOf& blob_of) {
  pb::Model spec;
  spec.set_specificationversion(model.spec_version);
  *spec.mutable_description() = description_to_proto(model, options.strip_metadata);
  spec.set_isupdatable(model.updatable);
  program_to_proto(*model.program, blob_of, spec.mutable_mlprogram());
  if (!model.doc_string.empty()) spec.mutable_mlprogram()->set_docstring(model.doc_string);
  constexpr size_t kMost = (size_t{1} << 31) - 1;
  const size_t size = spec.ByteSizeLong();
  if (size > kMost) {
    fail(ErrorCode::kUnsupported,
         "a model file of {} bytes: expected less than 2 GiB; write a .mlpackage", size);
  }
  return spec.SerializeAsString();
}

void write_mlmodel(const Model& model, const WriteOptions& options, const fs::path& path) {
  put_file(path, spec_bytes(model, options, nullptr));
}

void write_mlpackage(const Model& model, const WriteOptions& options, const fs::path& folder) {
  const fs::path inner = folder / "Data" / "com.apple.CoreML";
  fs::create_directories(inner);
  const WeightPlan weights(*model.program, model.spec_version);
  const std::string spec = spec_bytes(
      model, options, [&](const ir::Constant& constant) { return weights.blob_of(constant); });
  put_file(inner / "model.mlmodel", spec);
  weights.write(inner);
  put_file(folder / "Manifest.json", manifest_text(!weights.empty(), spec));
}

std::string mil_text(const Model& model, const WeightPlan& weights) {
  const auto program = with_identifiers(*model.program);
  for (const auto& function : program->functions) {
    const FunctionDescription* description = model.find_function(function->name);
    if (description == nullptr) continue;
    if (const ir::ConstantPtr shapes = flexible_shapes_for(*description, *function)) {
      ir::set_attribute(function->attributes, kFlexibleShapes, shapes);
    }
  }
  return ir::text::print(*program, {.blob_ref = [&](const ir::Constant& constant) {
    return weights.blob_of(constant);
  }});
}

void write_mlmodelc(const Model& model, const WriteOptions& options, const fs::path& folder,
                    const fs::path& target) {
  fs::create_directories(folder / "analytics");
  const WeightPlan weights(*model.program, model.spec_version);
  const std::string text = mil_text(model, weights);
  put_file(folder / "model.mil", text);
  weights.write(folder);
  const pb::ModelDescription description = description_to_proto(model, options.strip_metadata);
  put_file(folder / "coremldata.bin",
           coremldata_bytes(model.spec_version, description, model.functions.size()));
  put_file(
      folder / "metadata.json",
      metadata_json_text(model, identifier_from(target.stem().string()), options.strip_metadata));
  put_file(folder / "analytics" / "coremldata.bin", analytics_bytes(model_hash_of(text)));
}

// What users keep in a model folder beside the model, such as a tokenizer.
void copy_extras(const Model& model, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(model.path, error)) return;
  for (const auto& entry : fs::directory_iterator(model.path)) {
    const std::string name = entry.path().filename().string();
    const bool is_own = std::find(kOwnFiles.begin(), kOwnFiles.end(), name) != kOwnFiles.end();
    if (is_own || name.starts_with('.') || !entry.is_regular_file(error)) continue;
    const auto file = MappedFile::open(entry.path());
    OutputFile out(folder / name);
    out.write(file->bytes());
    out.close();
  }
}

void write_to(const Model& model, const fs::path& path, const WriteOptions& options) {
  const Container container = container_for(path);
  const Model copy = prepared(model, options);
  AtomicTarget target(path);
  expect_replaceable(target.target(), container);
  switch (container) {
    case Container::kMlmodel:
      write_mlmodel(copy, options, target.temporary());
      break;
    case Container::kMlpackage:
      write_mlpackage(copy, options, target.temporary());
      break;
    case Container::kMlmodelc:
      write_mlmodelc(copy, options, target.temporary(), target.target());
      break;
  }
  if (options.carry_extras && container != Container::kMlmodel) {
    copy_extras(model, target.temporary());
  }
  for (const auto& file : model.weight_files) file->check_intact();
  target.publish();
}

}  // namespace

std::string_view name_of(Container container) {
  switch (container) {
    case Container::kMlmodelc:
      return ".mlmodelc";
    case Container::kMlpackage:
      return ".mlpackage";
    case Container::kMlmodel:
      break;
  }
  return ".mlmodel";
}

void write(const Model& model, const fs::path& path, const WriteOptions& options) {
  const fs::path target = path.has_filename() ? path : path.parent_path();
  in_context([&] { return target.string(); },
             [&] {
               try {
                 write_to(model, target, options);
               } catch (const fs::filesystem_error& e) {
                 fail(ErrorCode::kIo, "{}", e.code().message());
               } catch (const std::bad_alloc&) {
                 fail(ErrorCode::kOutOfMemory, "the model file does not fit in memory");
               }
             });
}

}  // namespace mw::package
