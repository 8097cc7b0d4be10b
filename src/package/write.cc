// write(): the three containers, built in a temporary place and published at once.
#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "base/atomic_write.h"
#include "base/error.h"
#include "ir/text/text.h"
#include "package/container.h"
#include "package/coremldata.h"
#include "package/description_proto.h"
#include "package/extras.h"
#include "package/flexible_shapes.h"
#include "package/hash.h"
#include "package/identifiers.h"
#include "package/link.h"
#include "package/manifest.h"
#include "package/metadata_json.h"
#include "package/program_proto.h"
#include "package/weight_plan.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

using Notes = std::vector<std::string>;

void put_file(const fs::path& path, std::string_view content) {
  OutputFile file(path);
  file.write(content);
  file.close();
}

// A copy whose description and program agree.
Model prepared(const Model& model, const WriteOptions& options) {
  if (!model.program || model.program->functions.empty()) {
    fail(ErrorCode::kInvalidArgument, "expected a program with at least one function, got none");
  }
  Model copy = model.clone();
  if (options.strip_metadata) copy.doc_string.clear();
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
  const std::string spec = spec_bytes(model, options, nullptr);
  create_folders(path.parent_path());
  AtomicFile file(path, "");
  file.write(spec);
  file.publish();
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

// Of the files beside parts those that are of the whole model. A folder that merely holds the parts
// may hold anything.
bool belongs_to_whole(const Model& model, const std::string& name) {
  if (model.parts == nullptr) return true;
  const PartList& list = model.parts->list;
  return name != list.described_by && (list.owns_folder || is_of_tokenizer(name));
}

Notes write_folder(const Model& model, const Model& copy, const fs::path& path,
                   const WriteOptions& options, Container container) {
  AtomicFolder folder(path, "");
  if (container == Container::kMlpackage) {
    write_mlpackage(copy, options, folder.temporary());
  } else {
    write_mlmodelc(copy, options, folder.temporary(), folder.target());
  }
  Notes notes;
  std::error_code error;
  if (options.carry_extras && !fs::equivalent(model.path, folder.target(), error)) {
    notes = copy_extras(model.path, folder.temporary(),
                        [&](const std::string& name) { return belongs_to_whole(model, name); });
  }
  for (const auto& file : model.weight_files) file->check_intact();
  folder.publish([&](const fs::path& old) {
    expect_replaceable(old, container);
    keep_others(old, folder.temporary(), model.weight_files);
  });
  return notes;
}

Notes write_to(const Model& model, const fs::path& path, const WriteOptions& options);

Notes write_parts(const Model& model, const fs::path& path, const WriteOptions& options) {
  const PartList& list = model.parts->list;
  const std::vector<Model> parts = unlink(model);
  expect_replaceable_parts(path);
  if (options.carry_extras && list.owns_folder) expect_no_conflict(model.path, path);
  AtomicFolder folder(path, "");
  Notes notes;
  std::vector<fs::path> names;
  for (size_t i = 0; i < parts.size(); ++i) {
    names.emplace_back(list.files[i].name);
    in_context([&] { return list.files[i].name; },
               [&] {
                 create_folders((folder.temporary() / names[i]).parent_path());
                 const Notes more = write_to(parts[i], folder.temporary() / names[i], options);
                 notes.insert(notes.end(), more.begin(), more.end());
               });
  }
  std::error_code error;
  if (options.carry_extras && !fs::equivalent(model.path, folder.target(), error)) {
    const Notes more = copy_extras(model.path, folder.temporary(), [&](const std::string& name) {
      return list.owns_folder || is_of_tokenizer(name);
    });
    notes.insert(notes.end(), more.begin(), more.end());
  }
  if (!list.owns_folder) put_file(folder.temporary() / kPartsFile, parts_json_text(list));
  folder.publish([&](const fs::path& old) {
    expect_replaceable_parts(old);
    keep_others(old, folder.temporary(), model.weight_files, names);
  });
  return notes;
}

Notes write_to(const Model& model, const fs::path& path, const WriteOptions& options) {
  if (model.parts != nullptr && !container_named(path)) return write_parts(model, path, options);
  const Container container = container_for(path);
  const Model copy = prepared(model, options);
  expect_replaceable(path, container);
  if (container == Container::kMlmodel) {
    write_mlmodel(copy, options, path);
    return {};
  }
  if (options.carry_extras) expect_no_conflict(model.path, path);
  return write_folder(model, copy, path, options, container);
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

void expect_writable(const fs::path& source, const fs::path& target) {
  in_context([&] { return target.string(); },
             [&] {
               try {
                 if (!container_named(target) && holds_parts(source)) {
                   expect_replaceable_parts(target);
                 } else {
                   expect_replaceable(target, container_for(target));
                 }
                 expect_no_conflict(source, target);
               } catch (const fs::filesystem_error& e) {
                 fail(ErrorCode::kIo, "{}", e.code().message());
               }
             });
}

std::vector<std::string> write(const Model& model, const fs::path& path,
                               const WriteOptions& options) {
  const fs::path target = path.has_filename() ? path : path.parent_path();
  return in_context([&] { return target.string(); },
                    [&] {
                      try {
                        return write_to(model, target, options);
                      } catch (const fs::filesystem_error& e) {
                        fail(ErrorCode::kIo, "{}", e.code().message());
                      } catch (const std::bad_alloc&) {
                        fail(ErrorCode::kOutOfMemory, "the model file does not fit in memory");
                      }
                    });
}

}  // namespace mw::package
