// Facts about features, tensors and tables as text and JSON, for the commands that print them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ir/program.h"
#include "package/package.h"

namespace mw::cli {

// "int32 [1..64, 1..128]", "image rgb 224 x 224"; `value` fills in what the feature leaves out.
std::string feature_text(const package::Feature& feature, const ir::Value* value);
nlohmann::json feature_json(const package::Feature& feature, const ir::Value* value);

// The argument or output of that name, or null.
const ir::Value* argument_named(const ir::Function& function, const std::string& name);
const ir::Value* output_named(const ir::Function& function, const std::string& name);

// "0.25 -1.5 3", at most `count` elements and then "...".
std::string first_values(const Tensor& tensor, int64_t count);
nlohmann::json tensor_json(const Tensor& tensor, int64_t count);

// Columns aligned by their widest cell, two spaces apart, the last one ragged. A cell stays on its
// line whatever a file put into it.
class Table {
 public:
  explicit Table(std::string indent) : indent_(std::move(indent)) {}
  void row(const std::vector<std::string>& cells);
  [[nodiscard]] std::string str() const;

 private:
  std::string indent_;
  std::vector<std::vector<std::string>> rows_;
};

// `words` joined by two spaces, broken into indented lines of at most 100 columns.
std::string wrapped(const std::vector<std::string>& words, const std::string& indent);

}  // namespace mw::cli
