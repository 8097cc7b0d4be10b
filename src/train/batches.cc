// Which files hold what, and how many examples of them a model takes at once.
#include "train/batches.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/tensor_file.h"
#include "lm/language_model.h"
#include "text/chat_template.h"
#include "train/class_labels.h"
#include "train/data_text.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
constexpr int64_t kTextBatch = 8, kArrayBatch = 32, kTextLength = 256, kPromptTokens = 24;
// Tokens of a window that takes several calls, whose program grows with each of them.
constexpr int64_t kCallsLength = 64;

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

Files files_of(const RunSettings& options) {
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

// What a call can take along one axis of its inputs.
struct Extent {
  int64_t least = 1, most = kUnbounded;

  [[nodiscard]] bool fixed() const { return least == most; }
  void limit(const FeatureDescription& input, size_t axis) {
    int64_t lower = 1, upper = kUnbounded;
    if (!input.enumerated.empty()) {
      lower = kUnbounded;
      upper = 1;
      for (const Shape& shape : input.enumerated) {
        if (axis >= shape.size()) continue;
        lower = std::min(lower, shape[axis]);
        upper = std::max(upper, shape[axis]);
      }
    } else if (axis < input.ranges.size()) {
      lower = input.ranges[axis].first;
      if (input.ranges[axis].second > 0) upper = input.ranges[axis].second;
    } else if (axis < input.shape.size() && input.shape[axis] > 0) {
      lower = upper = input.shape[axis];
    }
    most = std::max<int64_t>(std::min(most, upper), 1);
    least = std::min(std::max(least, lower), most);
  }
};

// A batch runs in calls that are all as large as the model takes and `allows`.
void choose_batch(TrainingData& data, const Extent& extent, const std::optional<int64_t>& wanted,
                  int64_t usual, const std::function<bool(int64_t)>& allows) {
  data.fixed_calls = extent.fixed() || extent.least > 1;
  data.batch_size = wanted.value_or(std::clamp(usual, extent.least, extent.most));
  int64_t& call = data.call_size = std::min(extent.most, data.batch_size);
  while (call >= extent.least && (data.batch_size % call != 0 || !allows(call))) --call;
  if (call >= extent.least) return;
  fail(ErrorCode::kInvalidArgument,
       "{} {}: expected a multiple of {}, which the model takes at a time", setting("batch_size"),
       data.batch_size,
       extent.fixed() ? std::to_string(extent.most)
                      : fmt::format("a number from {} to {}", extent.least, extent.most));
}

void choose_seq_len(TrainingData& data, const Extent& time, const lm::CallShapes& shapes,
                    const std::optional<int64_t>& wanted) {
  data.seq_len = wanted.value_or(0);
  if (!wanted) {
    const int64_t usual = std::clamp(kTextLength, time.least, time.most);
    data.seq_len = std::max(shapes.longest(usual), time.least);
  }
  if (data.seq_len > time.most) {
    fail(ErrorCode::kInvalidArgument, "{} {}: the model takes at most {} tokens",
         setting("seq_len"), data.seq_len, time.most);
  }
  if (time.fixed() && data.seq_len != time.most) {
    fail(ErrorCode::kInvalidArgument, "{} {}: the model takes exactly {} tokens",
         setting("seq_len"), data.seq_len, time.most);
  }
  if (!shapes.allow_time(data.seq_len)) {
    fail(ErrorCode::kInvalidArgument, "{} {}: expected a number of tokens that the model takes: {}",
         setting("seq_len"), data.seq_len, shapes.times_text());
  }
}

// A file of data and what is asked of it.
struct Reader {
  const lm::Model& model;
  const RunSettings& run;
  const StudentOptions& student;
  const ReadProgress& progress;
};

// That a model gives logits, and for every id.
void check_logits(const lm::LanguageModel& lm, TrainingData& data, const Reader& reader,
                  bool calls) {
  if (reader.student.loss == Loss::kOutput) return;
  lm.entry().expect_logits("training");
  if (calls) {
    reader.model.tokenizer().check_fits(lm.classes(lm.largest_call(data.seq_len)));
    return;
  }
  const lm::CallShape shape = {data.call_size, data.seq_len};
  reader.model.tokenizer().check_fits(lm.classes(shape));
  if (!lm.entry().last_only(shape)) return;
  data.notes.push_back(
      fmt::format("output '{}' holds logits for the last token only: a window of {} tokens teaches "
                  "what follows its last one, and nothing else",
                  lm.output(), data.seq_len));
}

// A text that is longer than a call goes through the cache, row by row.
void choose_windows(TrainingData& data, const Reader& reader, const lm::LanguageModel& lm) {
  const FeatureDescription& input = lm.roles().ids_input();
  const auto rank = static_cast<size_t>(lm::rank_of(input));
  const std::optional<int64_t>& wanted = reader.run.seq_len;
  Extent batch, time;
  time.limit(input, rank - 1);
  time.most = std::min(time.most, lm.shapes().max_time());
  if (lm.has_cache()) time.most = std::min(time.most, lm.max_total());
  const bool calls = lm.has_cache() && wanted.value_or(kCallsLength) > time.most;
  if (rank > 1 && !calls) {
    batch.limit(input, 0);
  } else {
    batch.most = 1;
  }
  if (calls) {
    data.seq_len = lm.window(wanted.value_or(0), kCallsLength);
  } else {
    choose_seq_len(data, time, lm.shapes(), wanted);
  }
  choose_batch(data, batch, reader.run.batch_size, kTextBatch, [&](int64_t call) {
    return calls || lm.shapes().allow({call, data.seq_len});
  });
  check_logits(lm, data, reader, calls);
}

void load_texts(TrainingData& data, const Files& files, const Reader& reader) {
  const Tokenizer& tokenizer = reader.model.tokenizer();
  in_context([&] { return reader.model.name(); },
             [&] {
               choose_windows(data, reader, lm::LanguageModel(reader.model, reader.student.target));
             });
  const auto chat = text::ChatTemplate::find(fs::path(tokenizer.path()).parent_path());
  const auto read = [&](const fs::path& path, bool prompts) -> std::unique_ptr<Dataset> {
    if (path.empty()) return nullptr;
    TextReader text{&tokenizer, chat ? &*chat : nullptr};
    if (reader.progress) {
      text.progress = [&](int64_t done, int64_t all) {
        reader.progress(path.filename().string(), done, all);
      };
    }
    TokenStream stream = read_tokens(path, text);
    if (prompts) data.prompt = stream.prompt(kPromptTokens);
    return windows_of(std::move(stream), data.seq_len, path.string());
  };
  data.train = read(files.train, true);
  data.valid = read(files.valid, true);
  data.test = read(files.test, false);
}

std::unique_ptr<Dataset> read_arrays(const fs::path& path, const Reader& reader,
                                     std::vector<std::string>& notes) {
  if (path.empty()) return nullptr;
  TensorMap tensors = read_tensors(path);
  if (reader.student.loss != Loss::kOutput && !tensors.contains("labels")) {
    fail(ErrorCode::kInvalidArgument, "{}: expected a tensor named labels, got none",
         path.string());
  }
  const auto inputs = reader.model.inputs();
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
  const auto labels = tensors.find("labels");
  if (labels != tensors.end() && labels->second.dtype() == DType::kString) {
    in_context([&] { return path.string(); },
               [&] {
                 const ClassLabels classes(reader.model.target(reader.student.target).value);
                 labels->second = classes.indices_of(labels->second);
               });
  }
  const bool has_rows = !tensors.empty() && tensors.begin()->second.rank() > 0;
  const int64_t rows = has_rows ? tensors.begin()->second.dim(0) : 0;
  const Loss loss = reader.student.loss;
  const bool may_ignore = loss == Loss::kCrossEntropy || loss == Loss::kBinaryCrossEntropy;
  auto dataset = arrays_of(std::move(tensors), path.string(), may_ignore);
  if (dataset->size() < rows) {
    notes.push_back(fmt::format("{}: {} of {} examples have no label that counts and are left out",
                                path.string(), rows - dataset->size(), rows));
  }
  return dataset;
}

}  // namespace

TrainingData load_training_data(const lm::Model& model, const RunSettings& run,
                                const StudentOptions& student, const ReadProgress& progress) {
  const Reader reader{model, run, student, progress};
  const Files files = files_of(run);
  TrainingData data;
  if (!is_arrays(files.train)) {
    load_texts(data, files, reader);
    return data;
  }
  if (run.seq_len) {
    fail(ErrorCode::kInvalidArgument, "{}: {} holds no text", setting("seq_len"),
         files.train.string());
  }
  data.train = read_arrays(files.train, reader, data.notes);
  data.valid = read_arrays(files.valid, reader, data.notes);
  Extent batch;
  std::vector<std::set<int64_t>> listed;
  for (const FeatureDescription& input : model.inputs()) {
    if (input.optional) continue;
    batch.limit(input, 0);
    if (input.enumerated.empty()) continue;
    listed.emplace_back();
    for (const Shape& shape : input.enumerated) {
      if (!shape.empty()) listed.back().insert(shape[0]);
    }
  }
  choose_batch(data, batch, run.batch_size, kArrayBatch, [&](int64_t call) {
    return std::all_of(listed.begin(), listed.end(),
                       [&](const auto& extents) { return extents.contains(call); });
  });
  data.fixed_calls = data.fixed_calls || !listed.empty();
  if (data.fixed_calls && data.train->size() < data.call_size) {
    fail(ErrorCode::kInvalidArgument, "{}: expected at least {} examples, got {}",
         files.train.string(), data.call_size, data.train->size());
  }
  return data;
}

}  // namespace mw::training
