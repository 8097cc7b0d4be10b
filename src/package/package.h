// read() and write(): Core ML model files (.mlmodelc, .mlpackage, .mlmodel) to a Model and back.
//
//   package::Model model = package::read("student.mlmodelc");
//   package::correct(model, catalog);            // read() does not know the ops
//   package::write(model, "student.mlpackage");  // the extension chooses the container
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "ir/program.h"
#include "ir/verify.h"
#include "package/feature.h"

namespace mw::package {

enum class Container : uint8_t { kMlmodelc, kMlpackage, kMlmodel };
std::string_view name_of(Container container);  // ".mlpackage"

struct Parts;  // link.h

// What a model is beside its program.
struct ModelFacts {
  int spec_version = 6;
  // One per function of the program. Their order is the file's; read() fills in what the file
  // leaves out from the signatures of the program.
  std::vector<FunctionDescription> functions;
  std::string default_function;
  // The descriptions stand under function names in the file; one function alone may do without.
  bool multi_function = false;
  Metadata metadata;
  // Two fields of the specification. A compiled model has a place for the second only, and that in
  // metadata.json.
  std::string doc_string;
  bool updatable = false;

  std::filesystem::path path;  // where it was read from
  Container container = Container::kMlpackage;
  // Constants that lie in these files point into them and keep them mapped.
  std::vector<std::shared_ptr<const MappedFile>> weight_files;
  // The description as it was read: write() keeps the fields of it that have no place above.
  std::string description_bytes;
};

struct Model : ModelFacts {
  std::unique_ptr<ir::Program> program;
  // The files that the program was linked of; null where it stands in one.
  std::shared_ptr<const Parts> parts;

  // A copy that can be changed; it shares the constants, so it costs little.
  [[nodiscard]] Model clone() const;
  [[nodiscard]] const FunctionDescription* find_function(std::string_view name) const;
  // The function that runs when none is asked for.
  [[nodiscard]] const FunctionDescription& default_description() const;
  // Bytes of the distinct weights of the program, each tie counted once.
  [[nodiscard]] uint64_t weight_bytes() const;
};

// Reads any of the three containers, or a model in parts (parts.h), which are linked; what the path
// holds decides, not its name. Weights are mapped, not read. `path` may be a symbolic link; links
// inside its folder that lead out of it are refused. Paths written inside the model may name files
// beside its folder (`@model_path/../weights/..`), never anything further away.
//
// Throws io for what the operating system refuses, unsupported for a model of another kind than an
// ML Program, invalid_model for a broken file, out_of_memory for one that declares more objects
// than its size warrants. Ops are not checked: that is correct().
Model read(const std::filesystem::path& path);

// ir::correct() of the program; the shapes that the description states of corrected outputs follow.
// Whoever compares, runs, trains or writes what was read calls it first, so that a file means the
// same everywhere and is written as it is run.
std::vector<ir::Correction> correct(Model& model, const ir::Catalog& catalog);

struct WriteOptions {
  // Leaves out metadata: author, licence, descriptions, user-defined pairs and the build's
  // versions.
  bool strip_metadata = false;
  // Copies what else stands at the top of the folder it was read from, e.g. tokenizer.json.
  bool carry_extras = true;
};

// Writes by the extension of `path`: .mlmodelc, .mlpackage or .mlmodel (values inline, one file). A
// model in parts is written in parts where the path has none of these: each part under its name,
// and all else that its folder holds.
//
// Atomic: everything is written and synced beside the target, then renamed over it; a failure
// leaves the target as it was. Writing over the files a model was read from works, since they are
// replaced and never truncated. Of a folder that is replaced the model alone goes: other files in
// it, hidden ones and sub-folders stay. Refuses to replace what is not a Core ML model, or a file
// of the folder by one of the same name that would come along with the model.
//
// Weights keep their order and, if nothing changed, their offsets: the weight file of an unchanged
// model is byte-identical, except that uninitialised reserved words of its records become zeros and
// records that no constant names are left out. Constants that came from one blob stay one blob
// as long as their bytes are equal.
// Returns sentences about files beside the model that did not come along.
// NOLINTNEXTLINE(modernize-use-nodiscard)
std::vector<std::string> write(const Model& model, const std::filesystem::path& path,
                               const WriteOptions& options = {});

// Throws what write() of a model that was read from `source` would throw before it begins.
void expect_writable(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace mw::package
