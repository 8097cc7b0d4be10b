// parse() and print(): textual MIL (model.mil) to a Program and back.
//
//   std::unique_ptr<Program> program = text::parse(source, {.blobs = &weights, .file = path});
//   std::string same = text::print(*program);
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ir/program.h"

namespace mw::ir::text {

struct ParseOptions {
  BlobResolver* blobs = nullptr;   // null: blob constants get a type and a reference, but no value
  std::string file = "model.mil";  // how error messages name the source
};

// Throws invalid_model, or unsupported for a dialect or opset that is not known, as
// `file:line:column: function 'f': ...`. Time and memory are linear in the length of `source`,
// whatever sizes it declares. Names are resolved; ops and their types are not checked: that is
// verify().
std::unique_ptr<Program> parse(std::string_view source, const ParseOptions& options = {});

struct PrintOptions {
  // The dialect, "1.0" or "1.3"; from 1.3 on a rank-0 type is its bare dtype. Empty: that of the
  // program, or 1.3 where only a part of one is printed.
  std::string version;
  bool sort_arguments = true;  // arguments and attributes by name, as Apple's compiler has them
  // The reference to print for a tensor, nullopt to print its elements; empty: its own blob_ref().
  std::function<std::optional<BlobRef>(const Constant&)> blob_ref;
};

// Text in the layout of Apple's compiler. It parses to an equal program, and that prints the same
// text, unless two values of one block share a name.
std::string print(const Program& program, const PrintOptions& options = {});
std::string print(const Function& function, const PrintOptions& options = {});
std::string print(const Operation& op, const PrintOptions& options = {});

}  // namespace mw::ir::text
