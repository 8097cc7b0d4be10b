// Declares the options of training and resolves them to those of a StudentModel.
#include "cli/training_options.h"

#include <set>

#include "cli/command.h"
#include "cli/numbers.h"

namespace mw::cli {
namespace {

const auto kCount = CLI::Range(int64_t{1}, int64_t{1} << 40);
const auto kCountOrNone = CLI::Range(int64_t{0}, int64_t{1} << 40);
// As many steps as a checkpoint can count.
const auto kSteps = CLI::Range(int64_t{0}, int64_t{INT32_MAX} - 1);
// Settings that other options of a run decide, or that are for programs.
const std::set<std::string> kElsewhere = {"total_steps", "groups", "naive", "lora_seed",
                                          "wrt_inputs"};

void add_data(TrainingOptions& o, CLI::App& c) {
  c.add_option("--config", o.config,
               "a YAML file with the same keys; the command line counts more");
  c.add_option("--data", o.data,
               "a text, .jsonl with text, prompt and completion or messages, a folder with "
               "train.jsonl and valid.jsonl, or .npz/.safetensors with a tensor per input and "
               "labels");
  c.add_option("--output", o.output,
               "the package to write (.mlpackage or .mlmodelc); with --lora-rank also an adapter "
               "alone (.safetensors, or a folder with --adapter-format peft)");
  c.add_option("--eval-data", o.eval_data, "validation data (default: valid.jsonl of the folder)");
  c.add_option("--eval-every", o.eval_every, "steps between validations (0: at the end only)")
      ->check(kCountOrNone)
      ->capture_default_str();
  c.add_option("--patience", o.patience,
               "stop after this many validations without a new best, and write the best weights")
      ->check(kCount);
  c.add_option("--batch-size", o.batch_size, "examples per batch (default: 8 windows, 32 arrays)")
      ->check(kCount);
  c.add_option("--seq-len", o.seq_len, "tokens per window (default: the model's, at most 256)")
      ->check(kCount);
  c.add_option("--seed", o.seed, "of the order of examples")
      ->check(seed_number())
      ->capture_default_str();
}

void add_updates(TrainingOptions& o, CLI::App& c) {
  c.add_option("--steps", o.steps, "updates of the weights")->check(kSteps)->capture_default_str();
  c.add_option("--accumulate", o.accumulate, "batches per step")
      ->check(kCount)
      ->capture_default_str();
  o.settings.add_to(c, [](const std::string& name) { return !kElsewhere.contains(name); });
  o.settings.option("lora_alpha").default_str("twice the rank");
  for (const char* name : {"lora_rank", "lora_targets"}) o.settings.option(name).default_str("");
}

void add_weights(TrainingOptions& o, CLI::App& c) {
  c.add_option("--adapter-format", o.adapter_format,
               "millwright, a .safetensors file; or peft, a folder as Hugging Face PEFT has it")
      ->check(CLI::IsMember({"millwright", "peft"}))
      ->capture_default_str();
  c.add_option("--adapter-names", o.adapter_names,
               "weights of the model that this one was converted from (.safetensors, or the index "
               ".json of several): how its modules are called, for --adapter-format peft");
  c.add_option("--group", o.groups,
               "GLOB:lr=NUMBER,decay=NUMBER: learning rate and weight decay of the parameters that "
               "match, one or both; the last match counts")
      ->take_all();
}

void add_run(TrainingOptions& o, CLI::App& c) {
  c.add_option("--checkpoint-dir", o.checkpoint_dir,
               "folder for checkpoints, metrics.jsonl and report.html (default: beside the output, "
               "NAME.run)");
  c.add_option("--checkpoint-every", o.checkpoint_every,
               "steps between checkpoints (0: at the end)")
      ->check(kCountOrNone)
      ->capture_default_str();
  c.add_flag("--resume", o.resume, "go on from the last checkpoint, if there is one");
  c.add_option("--resume-from", o.resume_from, "go on from this checkpoint");
  c.add_flag("--overwrite", o.overwrite, "start anew although the folder holds checkpoints");
  c.add_option("--compute", o.compute, "what floats are computed in: fp32, or fp64, exact and slow")
      ->capture_default_str();
  c.add_option("--device", o.device, "what computes")->capture_default_str();
  c.add_option("--threads", o.threads, "number of threads (default: all cores)")
      ->check(CLI::Range(0, 1024));
  c.add_option("--function", o.function, "function of a multi-function package");
  c.add_flag("--only-function", o.only_function,
             "change that function alone, also where others share its weights");
  c.add_option("--tokenizer", o.tokenizer,
               "tokenizer.json or its folder (default: in or beside the model)");
  add_print_after(c, o.print_after);
  c.add_flag("--json", o.json, "print JSON");
}

}  // namespace

void TrainingOptions::add_to(CLI::App& command) {
  add_data(*this, command);
  add_updates(*this, command);
  add_weights(*this, command);
  add_run(*this, command);
}

}  // namespace mw::cli
