// LoadOptions: how a model is opened. Written once as the settings of settings.hpp are.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "millwright/setting.hpp"

namespace mw {

// What floats inside the model are computed in; inputs, outputs and states keep their own dtypes.
enum class Compute : uint8_t {
  kFp32,
  kFp64,  // slow and exact: the oracle
  kFp16,  // fp32 arithmetic, every fp16 value of the file rounded to fp16, as a device would
  kBf16,  // what is multiplied and what weights make of it in bf16; all sums and the rest in fp32
};
template <>
struct Choices<Compute> {
  static constexpr std::array kNames = {"fp32", "fp64", "fp16", "bf16"};
};

struct LoadOptions {
  std::string function;        // of a multi-function package; empty: its default
  std::string device = "cpu";  // what computes; load() answers an unknown name with those there are
  int threads = 0;             // 0: all cores
  Compute compute = Compute::kFp32;
  // A tokenizer.json or its folder; empty: look in and beside the model.
  std::filesystem::path tokenizer;
  // What StudentModel::save_adapter(), Hugging Face PEFT or mlx-lm wrote; empty: none.
  std::filesystem::path adapter;
  // Which weights its modules have, where their names do not tell: docs/formats.md; empty: they do.
  std::filesystem::path module_names;
  // What inputs of a language model take, where their names do not say so: "NAME=ROLE", with the
  // roles of docs/language-models.md.
  std::vector<std::string> role;
  bool naive = false;    // run op by op with the reference implementations
  bool profile = false;  // keep the time of every step; `millwright run --profile` prints them
  // Passes (docs/passes.md) after which the program goes to stderr as text; "all": after each.
  std::vector<std::string> print_after;

  static constexpr const char* kName = "LoadOptions";
  static constexpr const char* kHelp = "how a model is opened";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("function", self.function, allowed::kAnything,
      "function of a multi-function package (default: the package's own)");
    v("compute", self.compute, allowed::kAnything, "what floats are computed in");
    v("device", self.device, allowed::kAnything, "what computes");
    v("threads", self.threads, Allowed{.least = 0, .most = 1024},
      "number of threads; 0: all cores");
    v("tokenizer", self.tokenizer, allowed::kAnything,
      "tokenizer.json or its folder (default: in or beside the model)");
    v("adapter", self.adapter, allowed::kAnything,
      "what a student, Hugging Face PEFT or mlx-lm wrote of its adapters");
    v("module_names", self.module_names, allowed::kAnything,
      "which weights the adapter's modules have, where their names do not tell");
    v("role", self.role, allowed::kAnything,
      "what an input of a language model takes, NAME=ROLE: ids, attention_mask, causal_mask, "
      "sliding_mask, positions, past_length, update_mask, zeros or cache:OUTPUT");
    v("naive", self.naive, allowed::kAnything, "run op by op with the reference implementations");
    v("profile", self.profile, allowed::kAnything, "keep the time of every step");
    v("print_after", self.print_after, allowed::kAnything,
      "print the program to stderr after the pass of this name, or after `all`");
  }
};

}  // namespace mw
