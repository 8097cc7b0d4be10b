// Helpers of this room's tests: fixtures, temporary folders, programs compared, bytes edited.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/testing.h"
#include "ir/text/text.h"
#include "package/package.h"

namespace mw::package::testing {

namespace fs = std::filesystem;

inline fs::path fixture(const std::string& name) {
  const char* root = std::getenv("MW_TEST_DATA");
  return fs::path(root == nullptr ? "tests/data" : root) / "packages" / name;
}

inline std::vector<fs::path> fixtures() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fixture(""))) {
    if (entry.path().extension() == ".mlpackage") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

using ::mw::testing::has;
using ::mw::testing::TempFolder;

// By blocks: tests are built without optimisation, where a byte at a time takes seconds.
inline std::string slurp(const fs::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(bytes).str();
}
inline void spit(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

inline fs::path spec_of(const fs::path& package) {
  return package / "Data/com.apple.CoreML/model.mlmodel";
}
inline fs::path weights_of(const fs::path& model) {
  const fs::path inside = "weights/weight.bin";
  return model.extension() == ".mlpackage" ? model / "Data/com.apple.CoreML" / inside
                                           : model / inside;
}

inline Model model_of(const std::string& mil) {
  Model model;
  model.program = ir::text::parse(mil);
  return model;
}

// The message of the mw::Error that `body` throws; "" when it throws none.
inline std::string error_of(const std::function<void()>& body, ErrorCode* code = nullptr) {
  try {
    body();
  } catch (const Error& e) {
    if (code != nullptr) *code = e.code();
    return e.what();
  }
  return "";
}

// Operation by operation; names of values do not count, nor the attribute `name` when `names` is
// false.
class Comparison {
 public:
  explicit Comparison(bool names) : names_(names) {}

  std::string programs(const ir::Program& a, const ir::Program& b) {
    if (a.functions.size() != b.functions.size()) return "numbers of functions differ";
    for (const auto& function : a.functions) {
      const ir::Function* other = b.find_function(function->name);
      if (other == nullptr) return "function " + function->name + " is missing";
      if (function->opset != other->opset) return "opsets differ";
      if (function->body.arguments.size() != other->body.arguments.size()) return "inputs differ";
      for (const auto& argument : function->body.arguments) {
        const ir::Value* twin = other->find_argument(argument->name);
        if (twin == nullptr || !(twin->type == argument->type)) return "input " + argument->name;
        twin_[argument.get()] = twin;
      }
      if (std::string found = blocks(function->body, other->body); !found.empty()) return found;
    }
    return "";
  }

 private:
  std::string blocks(const ir::Block& a, const ir::Block& b) {
    if (a.ops.size() != b.ops.size() || a.outputs.size() != b.outputs.size())
      return "sizes of blocks";
    auto other = b.ops.begin();
    for (const auto& op : a.ops) {
      std::string found = ops(*op, **other++);
      if (!found.empty()) return op->type + " " + op->name() + ": " + found;
    }
    for (size_t i = 0; i < a.outputs.size(); ++i) {
      if (twin_[a.outputs[i]] != b.outputs[i]) return "outputs";
    }
    return "";
  }

  std::string ops(const ir::Operation& a, const ir::Operation& b) {
    if (a.type != b.type) return "becomes " + b.type;
    if (a.inputs.size() != b.inputs.size() || a.outputs.size() != b.outputs.size())
      return "signature";
    for (const ir::Input& input : a.inputs) {
      const ir::Input* twin = b.find_input(input.name);
      if (twin == nullptr || !operands(input.operands, twin->operands)) return input.name;
    }
    for (const auto& [name, value] : a.attributes) {
      if (name == "name" && !names_) continue;
      const ir::ConstantPtr twin = ir::find_attribute(b.attributes, name);
      if (!twin || !equal(*twin, *value)) return name;
    }
    if (a.blocks.size() != b.blocks.size()) return "blocks";
    for (size_t i = 0; i < a.blocks.size(); ++i) {
      const auto& [from, to] = std::pair(a.blocks[i].get(), b.blocks[i].get());
      if (from->arguments.size() != to->arguments.size()) return "arguments of a block";
      for (size_t k = 0; k < from->arguments.size(); ++k)
        twin_[from->arguments[k].get()] = to->arguments[k].get();
      if (std::string found = blocks(*from, *to); !found.empty()) return found;
    }
    for (size_t i = 0; i < a.outputs.size(); ++i) {
      if (!(a.outputs[i]->type == b.outputs[i]->type)) return "type of " + a.outputs[i]->name;
      twin_[a.outputs[i].get()] = b.outputs[i].get();
    }
    return "";
  }

  bool operands(const std::vector<ir::Operand>& a, const std::vector<ir::Operand>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      if ((a[i].literal == nullptr) != (b[i].literal == nullptr)) return false;
      if (a[i].literal ? !equal(*a[i].literal, *b[i].literal) : twin_[a[i].value] != b[i].value)
        return false;
    }
    return true;
  }

  bool names_;
  std::unordered_map<const ir::Value*, const ir::Value*> twin_;
};

// "" when the two mean the same; else where they differ.
inline std::string difference(const Model& a, const Model& b, bool names = true) {
  if (std::string found = Comparison(names).programs(*a.program, *b.program); !found.empty())
    return found;
  if (a.spec_version != b.spec_version) return "specification versions";
  if (a.functions != b.functions) return "descriptions of functions";
  if (a.default_function != b.default_function || a.multi_function != b.multi_function)
    return "default function";
  return a.metadata == b.metadata ? "" : "metadata";
}

}  // namespace mw::package::testing
