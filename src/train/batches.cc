// Which files hold what, and how many examples of them a model takes at once.
#include "train/batches.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
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
  void limit(const FeatureDescription& input, int64_t axis) {
    if (axis >= lm::rank_of(input)) return;
    most = std::max<int64_t>(std::min(most, lm::largest(input, axis)), 1);
    least = std::min(std::max(least, lm::smallest(input, axis)), most);
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
  // Where examples stand apart, what the longest needs is known already.
  const int64_t needed = data.seq_len;
  data.seq_len = wanted.value_or(0);
  if (needed > 0) {
    const int64_t most = std::clamp(needed, time.least, time.most);
    const auto held = shapes.padded({1, most});
    data.seq_len = held && shapes.allow_time(held->time) ? held->time : shapes.longest(most);
  } else if (!wanted) {
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
  const int64_t rank = lm::rank_of(input);
  const std::optional<int64_t>& wanted = reader.run.seq_len;
  Extent batch, time;
  time.limit(input, rank - 1);
  time.most = std::min(time.most, lm.shapes().max_time());
  if (lm.has_cache()) time.most = std::min(time.most, lm.max_total());
  const int64_t asked = reader.run.pack ? wanted.value_or(kCallsLength) : data.seq_len;
  const bool calls = lm.has_cache() && asked > time.most;
  if (rank > 1 && !calls) {
    batch.limit(input, 0);
  } else {
    batch.most = 1;
  }
  if (calls) {
    data.seq_len = reader.run.pack ? lm.window(wanted.value_or(0), kCallsLength)
                                   : std::min(data.seq_len, lm.max_total());
  } else {
    choose_seq_len(data, time, lm.shapes(), wanted);
  }
  choose_batch(data, batch, reader.run.batch_size, kTextBatch, [&](int64_t call) {
    return calls || lm.shapes().allow({call, data.seq_len});
  });
  check_logits(lm, data, reader, calls);
}

// "prompt=question": by what a line of data is known here, and what it is called there.
std::map<std::string, std::string> keys_of(const std::vector<std::string>& given) {
  static const std::set<std::string> kKnown = {"text", "prompt", "completion", "messages"};
  std::map<std::string, std::string> keys;
  for (const std::string& one : given) {
    const size_t sign = one.find('=');
    const std::string key = one.substr(0, sign);
    const std::string name = sign == std::string::npos ? "" : one.substr(sign + 1);
    if (!kKnown.contains(key) || name.empty() || !keys.emplace(key, name).second) {
      fail(ErrorCode::kInvalidArgument,
           "{} '{}': expected text, prompt, completion or messages, each once, as KEY=NAME",
           setting("data_keys"), one);
    }
  }
  return keys;
}

// Where each example has a window of its own: as long as the longest needs, in steps of 32, and no
// longer than the run and the model allow.
void choose_length_for(TrainingData& data, int64_t longest, const Reader& reader) {
  constexpr int64_t kStep = 32;
  if (reader.run.pack) return;
  const int64_t needed = std::max<int64_t>(longest - 1, 1);
  const int64_t rounded = (needed + kStep - 1) / kStep * kStep;
  data.seq_len = std::min(reader.run.seq_len.value_or(kUnbounded), rounded);
}

void load_texts(TrainingData& data, const Files& files, const Reader& reader) {
  const Tokenizer& tokenizer = reader.model.tokenizer();
  const lm::LanguageModel lm =
      in_context([&] { return reader.model.name(); },
                 [&] { return lm::LanguageModel(reader.model, reader.student.target); });
  const auto choose = [&] {
    in_context([&] { return reader.model.name(); }, [&] { choose_windows(data, reader, lm); });
  };
  if (reader.run.pack) choose();
  const auto chat = text::ChatTemplate::find(fs::path(tokenizer.path()).parent_path());
  const auto keys = keys_of(reader.run.data_keys);
  const auto read = [&](const fs::path& path) -> std::optional<TokenStream> {
    if (path.empty()) return std::nullopt;
    TextReader text{&tokenizer, chat ? &*chat : nullptr};
    text.mask_prompt = reader.run.mask_prompt;
    text.keys = keys;
    if (reader.progress) {
      text.progress = [&](int64_t done, int64_t all) {
        reader.progress(path.filename().string(), done, all);
      };
    }
    return read_tokens(path, text);
  };
  std::optional<TokenStream> train = read(files.train), valid = read(files.valid),
                             test = read(files.test);
  if (!reader.run.pack) {
    int64_t longest = 0;
    for (const auto* stream : {&train, &valid, &test}) {
      if (*stream) longest = std::max(longest, (*stream)->longest());
    }
    choose_length_for(data, longest, reader);
    choose();
  }
  const auto windows = [&](std::optional<TokenStream>& stream, const fs::path& path) {
    return stream ? windows_of(std::move(*stream), data.seq_len, path.string(), !reader.run.pack)
                  : nullptr;
  };
  data.prompt = (valid ? *valid : *train).prompt(kPromptTokens);
  data.train = windows(train, files.train);
  data.valid = windows(valid, files.valid);
  data.test = windows(test, files.test);
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
  const char* stray = run.seq_len              ? "seq_len"
                      : !run.pack              ? "pack"
                      : !run.mask_prompt       ? "mask_prompt"
                      : !run.data_keys.empty() ? "data_keys"
                                               : nullptr;
  if (stray != nullptr) {
    fail(ErrorCode::kInvalidArgument, "{}: {} holds no text", setting(stray), files.train.string());
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
