// load_training_data(): the files of a run as datasets, in batches that the model can take.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "millwright/training.hpp"
#include "train/data.h"

namespace mw {

struct TrainingDataOptions {
  // .txt, .jsonl; .npz and .safetensors; or a folder with train.*, valid.* and test.* of the first
  // two kinds.
  std::filesystem::path data;
  std::filesystem::path eval_data;  // empty: valid.* of the folder
  std::string target;
  int64_t batch_size = 0, seq_len = 0;  // 0: chosen for the model
  Loss loss = Loss::kCrossEntropy;
  // What is being read, bytes read, bytes in all.
  std::function<void(const std::string&, int64_t, int64_t)> progress;
};

struct TrainingData {
  std::unique_ptr<train::Dataset> train, valid, test;  // the last two may be null
  int64_t batch_size = 0;
  int64_t call_size = 0;           // examples that one call takes; batch_size is a multiple of it
  bool fixed_calls = false;        // one call takes no fewer than that, either
  int64_t seq_len = 0;             // 0: not a text
  std::vector<std::string> notes;  // what of the files is left out
  std::vector<int32_t> prompt;  // from the beginning of the validation text, else the training text
};

TrainingData load_training_data(const CoreMLModelWrapper& model,
                                const TrainingDataOptions& options);

}  // namespace mw
