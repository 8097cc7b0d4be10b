// Declares the options of training and resolves them to those of a StudentModel.
#include "cli/training_options.h"

namespace mw::cli {

void TrainingOptions::add_to(CLI::App& c) {
  const auto count = CLI::Range(int64_t{1}, int64_t{1} << 40);
  const auto count_or_none = CLI::Range(int64_t{0}, int64_t{1} << 40);
  const auto at_least_zero = CLI::Range(0.0, 1e30);
  c.add_option("--config", config, "a YAML file with the same keys; the command line counts more");
  c.add_option("--data", data,
               "a text, .jsonl with text, prompt and completion or messages, a folder with "
               "train.jsonl and valid.jsonl, or .npz/.safetensors with a tensor per input and "
               "labels");
  c.add_option("--output", output, "the package to write (.mlpackage or .mlmodelc)");
  c.add_option("--steps", steps, "updates of the weights")
      ->check(count_or_none)
      ->capture_default_str();
  c.add_option("--batch-size", batch_size, "examples per batch (default: 8 windows, 32 arrays)")
      ->check(count);
  c.add_option("--seq-len", seq_len, "tokens per window (default: the model's, at most 256)")
      ->check(count);
  c.add_option("--accumulate", accumulate, "batches per step")->check(count)->capture_default_str();
  c.add_option("--optimizer", optimizer, "adamw, adam or sgd")
      ->check(CLI::IsMember({"adamw", "adam", "sgd"}))
      ->capture_default_str();
  c.add_option("--lr", lr, "learning rate (default: 0.001, of sgd 0.01)")->check(at_least_zero);
  c.add_option("--momentum", momentum, "of sgd")->check(CLI::Range(0.0, 1.0));
  c.add_option("--weight-decay", weight_decay, "(default: 0.01 for adamw, else 0)")
      ->check(at_least_zero);
  c.add_option("--schedule", schedule, "of the learning rate: constant, linear or cosine, to zero")
      ->check(CLI::IsMember({"constant", "linear", "cosine"}))
      ->capture_default_str();
  c.add_option("--warmup", warmup, "steps in which the learning rate rises")
      ->check(count_or_none)
      ->capture_default_str();
  c.add_option("--clip", clip, "largest norm of the gradients together (0: any)")
      ->check(at_least_zero)
      ->capture_default_str();
  c.add_option("--trainable", trainable,
               "globs over parameter names (default: what inspect lists as trainable)")
      ->take_all();
  c.add_option("--loss", loss, "cross_entropy, mse, or output: the target is the loss")
      ->check(CLI::IsMember({"cross_entropy", "mse", "output"}))
      ->capture_default_str();
  c.add_option("--target", target, "the output to train on (default: the logits)");
  c.add_option("--label-smoothing", label_smoothing, "of cross entropy")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  c.add_option("--eval-data", eval_data, "validation data (default: valid.jsonl of the folder)");
  c.add_option("--eval-every", eval_every, "steps between validations (0: at the end only)")
      ->check(count_or_none)
      ->capture_default_str();
  c.add_option("--checkpoint-dir", checkpoint_dir,
               "folder for checkpoints, metrics.jsonl and report.html (default: beside the output, "
               "NAME.run)");
  c.add_option("--checkpoint-every", checkpoint_every, "steps between checkpoints (0: at the end)")
      ->check(count_or_none)
      ->capture_default_str();
  c.add_flag("--resume", resume, "go on from the last checkpoint, if there is one");
  c.add_option("--resume-from", resume_from, "go on from this checkpoint");
  c.add_flag("--overwrite", overwrite, "start anew although the folder holds checkpoints");
  c.add_option("--seed", seed, "of the order of examples")->capture_default_str();
  c.add_option("--threads", threads, "number of threads (default: all cores)")
      ->check(CLI::Range(0, 1024));
  c.add_option("--function", function, "function of a multi-function package");
  c.add_option("--tokenizer", tokenizer,
               "tokenizer.json or its folder (default: in or beside the model)");
  c.add_flag("--json", json, "print JSON");
}

}  // namespace mw::cli
