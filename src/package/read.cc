// read(): finds out what a path holds, and brings program, description and weights together.
#include <sys/stat.h>

#include <array>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "ir/text/text.h"
#include "package/container.h"
#include "package/coremldata.h"
#include "package/description_proto.h"
#include "package/enclosure.h"
#include "package/link.h"
#include "package/manifest.h"
#include "package/metadata_json.h"
#include "package/program_proto.h"
#include "package/read_spec.h"
#include "package/weight_files.h"
#include "package/wire.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void read_spec_file(const fs::path& path, WeightFiles& weights, Model& model) {
  const auto file = MappedFile::open(path);
  read_spec(file->bytes(), &weights, model);
  file->check_intact();
  model.weight_files = weights.files();
}

void read_mlpackage(const fs::path& path, Model& model) {
  Manifest manifest = read_manifest(path);
  WeightFiles weights(manifest.spec.parent_path(), /*may_leave=*/true, std::move(manifest.items),
                      path);
  in_context([&] { return manifest.spec.filename().string(); },
             [&] { read_spec_file(manifest.spec, weights, model); });
}

int newest_opset(const ir::Program& program) {
  ir::Opset newest = ir::Opset::kIos15;
  for (const auto& function : program.functions) newest = std::max(newest, function->opset);
  return static_cast<int>(newest);
}

CompiledData read_compiled_data(const fs::path& folder) {
  const fs::path path = folder / "coremldata.bin";
  if (!is_file(path)) return {};
  return read_coremldata(MappedFile::open(Enclosure(folder).inside(path))->bytes());
}

void expect_ml_program(const fs::path& folder, const CompiledData& data) {
  if (data.kind != 0 && data.kind != kMlProgram) refuse_kind(data.kind);
  if (is_file(folder / "model.mil")) return;
  if (is_file(folder / "model.espresso.net")) refuse_kind(500);
  fail(ErrorCode::kInvalidModel,
       "expected model.mil in a compiled ML Program, found none; was the folder copied whole?");
}

void read_mlmodelc(const fs::path& path, Model& model) {
  const CompiledData data = read_compiled_data(path);
  expect_ml_program(path, data);
  const auto text = MappedFile::open(Enclosure(path).inside(path / "model.mil"));
  WeightFiles weights(path, /*may_leave=*/true);
  model.program = ir::text::parse(text_of(*text), {.blobs = &weights, .file = "model.mil"});
  text->check_intact();
  if (model.program->functions.empty()) {
    fail(ErrorCode::kInvalidModel, "model.mil: expected a function, got none");
  }
  model.weight_files = weights.files();
  const int newest = newest_opset(*model.program);
  model.spec_version = data.spec_version >= 6 ? std::max(data.spec_version, newest) : newest;
  if (data.description) description_from_proto(*data.description, model);
  reconcile(model);
  if (!is_file(path / "metadata.json")) return;
  const auto metadata = MappedFile::open(Enclosure(path).inside(path / "metadata.json"));
  model.updatable = says_updatable(text_of(*metadata));
  if (!data.description) apply_metadata_hints(text_of(*metadata), model);
}

void read_mlmodel(const fs::path& path, Model& model) {
  WeightFiles weights(path.parent_path(), /*may_leave=*/false);
  read_spec_file(path, weights, model);
}

// Which folder or file stands at the path, so that another in its place is noticed.
std::array<int64_t, 3> identity_of(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino),
          static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

void read_one_into(const fs::path& path, Model& model) {
  model.path = path;
  model.container = container_at(path);
  switch (model.container) {
    case Container::kMlpackage:
      return read_mlpackage(path, model);
    case Container::kMlmodelc:
      return read_mlmodelc(path, model);
    case Container::kMlmodel:
      return read_mlmodel(path, model);
  }
}

void read_into(const fs::path& path, Model& model) {
  auto list = parts_at(path);
  if (!list) return read_one_into(path, model);
  model = link(std::move(*list), [](const fs::path& part) {
    Model read;
    read_one_into(part, read);
    return read;
  });
}

// A model that is replaced while it is read is read again: files of the old one and of the new one
// do not make a model.
Model read_unmixed(const fs::path& path) {
  constexpr int kMostTries = 50;
  for (int attempt = 1;; ++attempt) {
    const auto before = identity_of(path);
    const auto is_settled = [&] { return attempt == kMostTries || identity_of(path) == before; };
    try {
      Model model;
      read_into(path, model);
      if (is_settled()) return model;
    } catch (const Error&) {
      if (is_settled()) throw;
    }
  }
}

}  // namespace

void read_spec(std::span<const std::byte> bytes, ir::BlobResolver* blobs, Model& model) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    fail(ErrorCode::kUnsupported, "a model file of {} bytes: expected less than 2 GiB",
         bytes.size());
  }
  const Survey outline = survey(bytes);
  if (outline.kind == 0) {
    fail(ErrorCode::kInvalidModel, "expected a model, got a file of {} bytes without one",
         bytes.size());
  }
  if (outline.kind != kMlProgram) refuse_kind(outline.kind);
  google::protobuf::Arena arena;
  auto* spec = google::protobuf::Arena::CreateMessage<pb::Model>(&arena);
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(kMaxMessageDepth + 10);
  const google::protobuf::LogSilencer silence;
  if (!spec->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    fail(ErrorCode::kInvalidModel,
         "expected an ML Program in the released schema, got a file that does not decode");
  }
  model.program = program_from_proto(spec->mlprogram(), blobs);
  model.spec_version = std::max(spec->specificationversion(), newest_opset(*model.program));
  model.doc_string = spec->mlprogram().docstring();
  model.updatable = spec->isupdatable();
  description_from_proto(spec->description(), model);
  reconcile(model);
}

Model read(const fs::path& path) {
  return in_context([&] { return path.string(); },
                    [&] {
                      try {
                        return read_unmixed(path);
                      } catch (const fs::filesystem_error& e) {
                        fail(ErrorCode::kIo, "{}", e.code().message());
                      } catch (const std::bad_alloc&) {
                        fail(ErrorCode::kOutOfMemory, "the model does not fit in memory");
                      }
                    });
}

}  // namespace mw::package
