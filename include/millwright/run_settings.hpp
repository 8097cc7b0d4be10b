// Settings of a whole run, written once each as in settings.hpp: its own, and all that it is told.
#pragma once

#include "millwright/settings.hpp"

namespace mw {

// How adapters are written: a .safetensors file, or a folder as Hugging Face PEFT or mlx-lm has it.
enum class AdapterFormat : uint8_t { kMillwright, kPeft, kMlx };
template <>
struct Choices<AdapterFormat> {
  static constexpr std::array kNames = {"millwright", "peft", "mlx"};
};

// What a run does around the steps of its student.
struct RunSettings {
  // A text (.txt), .jsonl, .npz or .safetensors; or a folder with train.*, valid.* and test.* of
  // the first two kinds. docs/training.md has what is in them.
  std::filesystem::path data;
  // The package that is written (.mlpackage, .mlmodelc or .mlmodel), or, of a student with
  // adapters, these alone. A package with adapters in it has them in a file beside it, too.
  std::filesystem::path output;
  std::filesystem::path eval_data;  // empty: valid.* of the folder
  int64_t eval_every = 100;
  // Validations without a new best after which the run ends; the best weights are then the ones
  // that are written, in any case. Without it the last ones are.
  std::optional<int64_t> patience;
  std::optional<int64_t> batch_size, seq_len;  // chosen for the model where there is none
  uint64_t seed = 0;
  int64_t steps = 1000, accumulate = 1;
  // Of lines of .jsonl: whether what is asked is not learnt, whether several examples share a
  // window, and keys that are called otherwise, as "prompt=question".
  bool mask_prompt = true, pack = true;
  std::vector<std::string> data_keys;
  std::optional<int64_t> eval_batches, test_batches;  // of each validation, of the test: all
  // Adapters that the run begins with; the student's are then of their rank, alpha and weights.
  std::filesystem::path from_adapter;
  // Where there is none: that of an adapter that the output replaces, else that of `from_adapter`,
  // else Millwright's own.
  std::optional<AdapterFormat> adapter_format;
  std::filesystem::path adapter_names;   // as in StudentModel::save_adapter()
  std::filesystem::path checkpoint_dir;  // empty: beside the output, NAME.run
  int64_t checkpoint_every = 100;
  bool resume = false;
  std::filesystem::path resume_from;
  bool overwrite = false;
  bool only_function = false;  // as in SaveOptions

  static constexpr const char* kName = "RunSettings";
  static constexpr const char* kHelp = "what a run does around the steps of its student";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("data", self.data, allowed::kAnything,
      "a text, .jsonl with text, prompt and completion or messages, a folder with train.jsonl and "
      "valid.jsonl, or .npz/.safetensors with a tensor per input and labels");
    v("output", self.output, allowed::kAnything,
      "the package to write (.mlpackage or .mlmodelc); of adapters also these alone (.safetensors, "
      "or a folder in the formats peft and mlx)");
    v("eval_data", self.eval_data, allowed::kAnything,
      "validation data (default: valid.jsonl of the folder)");
    v("eval_every", self.eval_every, allowed::kCountOrNone,
      "steps between validations (0: at the end only)");
    v("patience", self.patience, allowed::kCount,
      "stop after this many validations without a new best, and write the best weights");
    v("batch_size", self.batch_size, allowed::kCount,
      "examples per batch (default: 8 windows, 32 arrays)");
    v("seq_len", self.seq_len, allowed::kCount,
      "tokens per window (default: the model's, at most 256)");
    v("seed", self.seed, allowed::kAtLeastZero, "of the order of examples");
    v("steps", self.steps, allowed::kSteps, "updates of the weights");
    v("accumulate", self.accumulate, allowed::kCount, "batches per step");
    v("mask_prompt", self.mask_prompt, allowed::kAnything,
      "learn of prompts and completions, and of messages, the answers alone");
    v("pack", self.pack, allowed::kAnything,
      "let examples share a window; without, each has one of its own, cut off at seq_len");
    v("data_keys", self.data_keys, allowed::kAnything,
      "KEY=NAME: how lines call text, prompt, completion or messages");
    v("eval_batches", self.eval_batches, allowed::kCount, "batches of a validation (default: all)");
    v("test_batches", self.test_batches, allowed::kCountOrNone,
      "batches of test.jsonl at the end (default: all)");
    v("from_adapter", self.from_adapter, allowed::kAnything,
      "begin with this adapter, of Millwright, Hugging Face PEFT or mlx-lm");
    v("adapter_format", self.adapter_format, allowed::kAnything,
      "millwright, a .safetensors file; peft or mlx, a folder as Hugging Face PEFT or mlx-lm has "
      "it (default: that of the adapter it replaces or begins with)");
    v("adapter_names", self.adapter_names, allowed::kAnything,
      "how modules are called, for the formats peft and mlx: weights of the model that this one "
      "was converted from (.safetensors, or the index .json of several), or a file that says which "
      "module has which weight");
    v("checkpoint_dir", self.checkpoint_dir, allowed::kAnything,
      "folder for checkpoints, metrics.jsonl and report.html (default: beside the output, "
      "NAME.run)");
    v("checkpoint_every", self.checkpoint_every, allowed::kCountOrNone,
      "steps between checkpoints (0: at the end)");
    v("resume", self.resume, allowed::kAnything, "go on from the last checkpoint, if there is one");
    v("resume_from", self.resume_from, allowed::kAnything, "go on from this checkpoint");
    v("overwrite", self.overwrite, allowed::kAnything,
      "start anew although the folder holds checkpoints");
    v("only_function", self.only_function, allowed::kAnything,
      "change the function in training alone, also where others share its weights");
  }
};

// All that a run is told.
struct TrainingSettings {
  RunSettings run;
  // Where the run decides, it may be left out: `total_steps` of the schedule is then the run's
  // steps, and the seed of adapters that of the run.
  StudentOptions student;
  DistillOptions distill;  // of a teacher, if there is one

  static constexpr const char* kName = "TrainingSettings";
  static constexpr const char* kHelp = "all that a run is told";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("run", self.run, Within{}, RunSettings::kHelp);
    v("student", self.student, Within{}, StudentOptions::kHelp);
    v("distill", self.distill, Within{}, DistillOptions::kHelp);
  }
};

}  // namespace mw
