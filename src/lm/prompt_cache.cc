// The file of a prompt cache: states and tokens as tensors, and whose they are as JSON.
#include "lm/prompt_cache.h"

#include <nlohmann/json.hpp>

#include "base/checked_tensors.h"
#include "base/error.h"
#include "base/file_digest.h"
#include "base/paths.h"

namespace mw::lm {
namespace {

using Json = nlohmann::json;

const CheckedNames kNames = {"cache.of", "cache.checksum"};
constexpr const char* kIds = "cache.ids";
constexpr const char* kLogits = "cache.logits";
constexpr const char* kState = "state.";

// What the states depend on, by what a sentence calls it.
std::map<std::string, std::string> identity_of(const Model& model) {
  auto identity = model.identity();
  identity["tokenizer"] = digest_of(model.tokenizer().path());
  return identity;
}

template <class T>
std::vector<T> numbers(const TensorMap& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.dtype() != dtype_of<T>() ||
      found->second.rank() != 1) {
    fail(ErrorCode::kInvalidArgument, "expected {} {} [n], got {}", name, name_of(dtype_of<T>()),
         found == tensors.end() ? "none"
                                : fmt::format("{} {}", name_of(found->second.dtype()),
                                              to_string(found->second.shape())));
  }
  const auto values = found->second.values<T>();
  return {values.begin(), values.end()};
}

void expect_identity(const Model& model, const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) fail(ErrorCode::kInvalidArgument, "it does not say whose states it holds");
  for (const auto& [name, own] : identity_of(model)) {
    const auto found = json.find(name);
    const std::string its =
        found != json.end() && found->is_string() ? found->get<std::string>() : "none";
    if (its == own) continue;
    fail(ErrorCode::kInvalidArgument,
         "expected states of this {} ({}), got those of another ({}); remove the file, or give "
         "another as {}",
         name, own, its, setting("prompt_cache"));
  }
}

}  // namespace

PromptCache::PromptCache(std::filesystem::path file, const LanguageModel& lm, const Model& model)
    : file_(std::move(file)), model_(model) {
  if (lm.has_cache()) return;
  fail(ErrorCode::kInvalidArgument,
       "{}: expected a model with states, got {}, which has none to keep", setting("prompt_cache"),
       model.name());
}

bool PromptCache::is_there() const { return mw::is_there(file_); }

void PromptCache::expect_writable() const {
  const auto folder = file_.has_parent_path() ? file_.parent_path() : ".";
  if (is_folder(folder)) return;
  fail(ErrorCode::kIo, "{} {}: expected a file in a folder that is there, got none at {}",
       setting("prompt_cache"), file_.string(), folder.string());
}

std::string PromptCache::used(int64_t held, int64_t reused) const {
  const std::string name = fmt::format("prompt cache {}", file_.string());
  if (reused == held) return fmt::format("{}: its {} tokens are not run again", name, held);
  if (reused > 0) {
    return fmt::format("{}: the prompt has the first {} of its {} tokens; the rest is run", name,
                       reused, held);
  }
  return fmt::format("{}: the prompt does not begin with its {} tokens and is run as a whole", name,
                     held);
}

std::string PromptCache::written(int64_t count) const {
  return fmt::format("prompt cache {}: written, {} tokens", file_.string(), count);
}

std::string PromptCache::not_written(int64_t count) const {
  return fmt::format(
      "prompt cache {}: not written, the {} tokens before the first message are fewer than a call "
      "of the model takes",
      file_.string(), count);
}

CheckedTensors PromptCache::checked() const {
  try {
    return read_checked(file_, kNames);
  } catch (const Error& e) {
    fail(e.code(), "{}: damaged prompt cache: {}; remove the file, or give another as {}",
         file_.string(), e.message(), setting("prompt_cache"));
  }
}

std::vector<float> PromptCache::read(LanguageModel::Stream& stream) const {
  CheckedTensors content = checked();
  return in_context([&] { return fmt::format("{}: prompt cache", file_.string()); },
                    [&] {
                      expect_identity(model_, content.text);
                      LanguageModel::Stream::Snapshot snapshot;
                      snapshot.ids = numbers<int32_t>(content.tensors, kIds);
                      std::vector<float> logits = numbers<float>(content.tensors, kLogits);
                      for (auto& [name, tensor] : content.tensors) {
                        if (!name.starts_with(kState)) continue;
                        snapshot.states[name.substr(std::string(kState).size())] = tensor;
                      }
                      stream.restore(snapshot);
                      return logits;
                    });
}

void PromptCache::write(const LanguageModel::Stream& stream,
                        const std::vector<float>& logits) const {
  CheckedTensors content;
  LanguageModel::Stream::Snapshot snapshot = stream.snapshot();
  const auto count = static_cast<int64_t>(snapshot.ids.size());
  for (auto& [name, tensor] : snapshot.states) content.tensors[kState + name] = std::move(tensor);
  content.tensors[kIds] = Tensor::from(snapshot.ids, {count});
  content.tensors[kLogits] = Tensor::from(logits, {static_cast<int64_t>(logits.size())});
  content.text = Json(identity_of(model_)).dump();
  write_checked(file_, content, kNames);
}

}  // namespace mw::lm
