// Which files hold what, and how many examples of them a model takes at once.
#include "api/training_data.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "api/class_labels.h"
#include "api/impl.h"
#include "api/language_model.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "text/chat_template.h"
#include "train/data_text.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
constexpr int64_t kTextBatch = 8, kArrayBatch = 32, kTextLength = 256, kPromptTokens = 24;

bool is_arrays(const fs::path& path) {
  return path.extension() == ".npz" || path.extension() == ".safetensors" ||
         path.extension() == ".npy";
}

struct Files {
  fs::path train, valid, test;
};

// What stands there; not_found is no error.
fs::file_type kind_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type kind = fs::status(path, error).type();
  if (kind != fs::file_type::none) return kind;
  fail(ErrorCode::kIo, "{}: cannot be read: {}", path.string(), error.message());
}

fs::path part_of(const fs::path& folder, const std::string& stem) {
  for (const char* extension : {".jsonl", ".txt"}) {
    fs::path path = folder / (stem + extension);
    if (kind_of(path) != fs::file_type::not_found) return path;
  }
  return {};
}

Files files_of(const TrainingDataOptions& options) {
  Files files;
  const fs::file_type kind = kind_of(options.data);
  if (kind == fs::file_type::not_found) {
    fail(ErrorCode::kIo, "{}: no such file or folder", options.data.string());
  }
  if (kind == fs::file_type::directory) {
    files = {part_of(options.data, "train"), part_of(options.data, "valid"),
             part_of(options.data, "test")};
    if (files.train.empty()) {
      fail(ErrorCode::kIo, "{}: expected train.jsonl or train.txt in this folder, found neither",
           options.data.string());
    }
  } else {
    files.train = options.data;
  }
  if (!options.eval_data.empty()) files.valid = options.eval_data;
  return files;
}

// How many examples a call can take along the first axis of an input.
struct Extent {
  int64_t most = kUnbounded;
  bool fixed = false;

  void limit(const FeatureDescription& input, size_t axis) {
    if (!input.enumerated.empty()) {
      int64_t largest = 1;
      for (const Shape& shape : input.enumerated) {
        if (axis < shape.size()) largest = std::max(largest, shape[axis]);
      }
      most = std::min(most, largest);
    } else if (axis < input.ranges.size()) {
      if (input.ranges[axis].second > 0) most = std::min(most, input.ranges[axis].second);
    } else if (axis < input.shape.size() && input.shape[axis] > 0) {
      most = std::min(most, input.shape[axis]);
      fixed = true;
    }
  }
};

void choose_batch(TrainingData& data, const Extent& extent, int64_t wanted, int64_t usual) {
  const int64_t most = std::max<int64_t>(extent.most, 1);
  data.fixed_calls = extent.fixed;
  data.batch_size = wanted;
  if (wanted == 0) data.batch_size = extent.fixed ? most : std::min(most, usual);
  if (extent.fixed && data.batch_size % most != 0) {
    fail(ErrorCode::kInvalidArgument,
         "--batch-size {}: expected a multiple of {}, which the model takes at a time",
         data.batch_size, most);
  }
  data.call_size = std::min(most, data.batch_size);
  while (data.batch_size % data.call_size != 0) --data.call_size;
}

void choose_seq_len(TrainingData& data, const Extent& time, int64_t wanted) {
  data.seq_len = wanted > 0 ? wanted : (time.fixed ? time.most : std::min(time.most, kTextLength));
  if (data.seq_len > time.most) {
    fail(ErrorCode::kInvalidArgument, "--seq-len {}: the model takes at most {} tokens",
         data.seq_len, time.most);
  }
  if (time.fixed && data.seq_len != time.most) {
    fail(ErrorCode::kInvalidArgument, "--seq-len {}: the model takes exactly {} tokens",
         data.seq_len, time.most);
  }
}

// That a model takes such windows, and gives logits for every token of one and for every id.
void check_windows(const LanguageModel& lm, const TrainingData& data,
                   const TrainingDataOptions& options, const Tokenizer& tokenizer) {
  (void)lm.window(options.seq_len, kTextLength, "training");
  const lm::CallShape shape = {data.call_size, data.seq_len};
  if (!lm.shapes().allow(shape)) {
    fail(ErrorCode::kInvalidArgument,
         "--seq-len {}: expected a number of tokens that the model takes: {}", data.seq_len,
         lm.shapes().times_text());
  }
  if (!options.needs_labels) return;
  lm.expect_all_positions(shape, "training");
  tokenizer.check_fits(lm.classes(shape));
}

FeatureDescription ids_input(const CoreMLModelWrapper& model) {
  const auto inputs = model.inputs();
  for (const FeatureDescription& input : inputs) {
    if (input.name == "input_ids") return input;
  }
  return inputs.at(0);  // a language model without input_ids has one input
}

void load_texts(TrainingData& data, const Files& files, const CoreMLModelWrapper& model,
                const TrainingDataOptions& options) {
  const Tokenizer& tokenizer = model.tokenizer();
  const LanguageModel lm = in_context([&] { return model.path().string(); },
                                      [&] { return LanguageModel(model, options.target); });
  const FeatureDescription input = ids_input(model);
  const size_t rank = std::max(input.shape.size(), input.ranges.size());
  Extent batch, time;
  time.limit(input, rank - 1);
  time.most = std::min(time.most, lm.shapes().max_time());
  if (rank > 1) {
    batch.limit(input, 0);
  } else {
    batch = {1, true};
  }
  choose_batch(data, batch, options.batch_size, kTextBatch);
  choose_seq_len(data, time, options.seq_len);
  in_context([&] { return model.path().string(); },
             [&] { check_windows(lm, data, options, tokenizer); });

  const auto chat = text::ChatTemplate::find(fs::path(tokenizer.path()).parent_path());
  const auto read = [&](const fs::path& path, bool prompts) -> std::unique_ptr<train::Dataset> {
    if (path.empty()) return nullptr;
    train::TextReader reader{&tokenizer, chat ? &*chat : nullptr};
    if (options.progress) {
      reader.progress = [&](int64_t done, int64_t all) {
        options.progress(path.filename().string(), done, all);
      };
    }
    train::TokenStream stream = train::read_tokens(path, reader);
    if (prompts) data.prompt = stream.prompt(kPromptTokens);
    return train::windows_of(std::move(stream), data.seq_len, path.string());
  };
  data.train = read(files.train, true);
  data.valid = read(files.valid, true);
  data.test = read(files.test, false);
}

// Names of classes as indices; at least one label counts.
Tensor checked_labels(const Tensor& labels, const CoreMLModelWrapper& model,
                      const std::string& target) {
  if (labels.dtype() == DType::kString) {
    return ClassLabels(model.impl().target(target).value).indices_of(labels);
  }
  for (int64_t i = 0; i < labels.count(); ++i) {
    if (labels.number_at(i) != train::kIgnoredLabel) return labels;
  }
  fail(ErrorCode::kInvalidArgument, "labels: expected at least one that counts, got only {}",
       train::kIgnoredLabel);
}

std::unique_ptr<train::Dataset> read_arrays(const fs::path& path, const CoreMLModelWrapper& model,
                                            const TrainingDataOptions& options) {
  if (path.empty()) return nullptr;
  TensorMap tensors = read_tensors(path);
  if (options.needs_labels && !tensors.contains("labels")) {
    fail(ErrorCode::kInvalidArgument, "{}: expected a tensor named labels, got none",
         path.string());
  }
  const auto inputs = model.inputs();
  for (const auto& [name, tensor] : tensors) {
    const bool known = name == "labels" || std::any_of(inputs.begin(), inputs.end(),
                                                       [&, &key = name](const auto& input) {
                                                         return input.name == key;
                                                       });
    if (!known) {
      fail(ErrorCode::kInvalidArgument, "{}: '{}' is no input of the model", path.string(), name);
    }
  }
  for (const FeatureDescription& input : inputs) {
    if (input.optional || tensors.contains(input.name)) continue;
    fail(ErrorCode::kInvalidArgument, "{}: expected a tensor for input '{}', got none",
         path.string(), input.name);
  }
  if (const auto labels = tensors.find("labels"); labels != tensors.end()) {
    labels->second =
        in_context([&] { return path.string(); },
                   [&] { return checked_labels(labels->second, model, options.target); });
  }
  return train::arrays_of(std::move(tensors), path.string());
}

}  // namespace

TrainingData load_training_data(const CoreMLModelWrapper& model,
                                const TrainingDataOptions& options) {
  const Files files = files_of(options);
  TrainingData data;
  if (!is_arrays(files.train)) {
    load_texts(data, files, model, options);
    return data;
  }
  if (options.seq_len > 0) {
    fail(ErrorCode::kInvalidArgument, "--seq-len: {} holds no text", files.train.string());
  }
  data.train = read_arrays(files.train, model, options);
  data.valid = read_arrays(files.valid, model, options);
  Extent batch;
  for (const FeatureDescription& input : model.inputs()) {
    if (!input.optional) batch.limit(input, 0);
  }
  choose_batch(data, batch, options.batch_size, kArrayBatch);
  if (data.fixed_calls && data.train->size() < data.call_size) {
    fail(ErrorCode::kInvalidArgument, "{}: expected at least {} examples, got {}",
         files.train.string(), data.call_size, data.train->size());
  }
  return data;
}

}  // namespace mw
