// load_training_data(): the files of a run as datasets, in batches that the model can take.
//
//   TrainingData data = load_training_data(model, {.data = "corpus.txt", .batch_size = 4});
//   TensorMap batch = data.train->batch(examples);
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lm/model.h"
#include "millwright/run_settings.hpp"
#include "train/data.h"

namespace mw::training {

struct TrainingData {
  std::unique_ptr<Dataset> train, valid, test;  // the last two may be null
  int64_t batch_size = 0;
  int64_t call_size = 0;           // examples that one call takes; batch_size is a multiple of it
  bool fixed_calls = false;        // one call takes no fewer than that, either
  int64_t seq_len = 0;             // 0: not a text
  std::vector<std::string> notes;  // what of the files is left out
  std::vector<int32_t> prompt;  // from the beginning of the validation text, else the training text
};

// What is being read, bytes read, bytes in all; it may throw.
using ReadProgress = std::function<void(const std::string&, int64_t, int64_t)>;

// Data, sizes of batches and windows are the run's; loss and target, the student's. Names of
// classes become their indices.
TrainingData load_training_data(const lm::Model& model, const RunSettings& run,
                                const StudentOptions& student = {},
                                const ReadProgress& progress = nullptr);

}  // namespace mw::training
