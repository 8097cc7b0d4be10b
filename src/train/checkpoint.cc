// Writing, reading and listing checkpoints.
#include "train/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/atomic_write.h"
#include "base/checked_tensors.h"
#include "base/error.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const CheckedNames kNames = {"run.position", "run.checksum"};
constexpr const char* kPrefix = "step-";
constexpr const char* kSuffix = ".safetensors";

std::string json_of(const RunPosition& position) {
  Json json = {{"step", position.step},           {"cursor", position.cursor},
               {"tokens", position.tokens},       {"seconds", position.seconds},
               {"best_step", position.best_step}, {"stale", position.stale},
               {"fixed", position.fixed}};
  if (position.validated_step >= 0) json["validated_step"] = position.validated_step;
  if (position.best_loss) json["best_loss"] = *position.best_loss;
  return json.dump();
}

int64_t count_in(const Json& json, const char* key) {
  const Json& value = json.at(key);
  const uint64_t count = value.is_number_unsigned() ? value.get<uint64_t>() : UINT64_MAX;
  if (count <= INT64_MAX) return static_cast<int64_t>(count);
  fail(ErrorCode::kInvalidArgument, "its {}: expected a whole number of at least 0, got {}", key,
       value.dump());
}

// Checkpoints of earlier versions hold options as they were typed: --batch-size.
std::string setting_named(std::string name) {
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

RunPosition position_of(const std::string& text) {
  const Json json = Json::parse(text);
  RunPosition position;
  position.step = count_in(json, "step");
  position.cursor = count_in(json, "cursor");
  position.tokens = count_in(json, "tokens");
  position.best_step = count_in(json, "best_step");
  json.at("seconds").get_to(position.seconds);
  for (const auto& [name, value] : json.at("fixed").items()) {
    position.fixed[setting_named(name)] = value.get<std::string>();
  }
  if (json.contains("best_loss")) position.best_loss = json["best_loss"].get<double>();
  if (!(position.seconds >= 0 && std::isfinite(position.seconds))) {
    fail(ErrorCode::kInvalidArgument, "its seconds: expected at least 0, got {}", position.seconds);
  }
  if (position.best_step > position.step) {
    fail(ErrorCode::kInvalidArgument, "its best_step: expected at most its step {}, got {}",
         position.step, position.best_step);
  }
  // Checkpoints of earlier versions have no such counters.
  if (json.contains("validated_step")) position.validated_step = count_in(json, "validated_step");
  if (json.contains("stale")) position.stale = count_in(json, "stale");
  if (position.validated_step > position.step || position.stale > position.step) {
    fail(ErrorCode::kInvalidArgument,
         "its validations: expected them within its {} steps, got step {} and {} since the best",
         position.step, position.validated_step, position.stale);
  }
  return position;
}

Checkpoint parse(CheckedTensors content) {
  Checkpoint checkpoint;
  try {
    checkpoint.position = position_of(content.text);
  } catch (const Json::exception&) {
    fail(ErrorCode::kInvalidArgument, "its position cannot be read");
  }
  checkpoint.state = std::move(content.tensors);
  return checkpoint;
}

}  // namespace

void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
  write_checked(path, {checkpoint.state, json_of(checkpoint.position)}, kNames);
}

Checkpoint read_checkpoint(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail(ErrorCode::kIo, "{}: no such checkpoint", path.string());
  try {
    return parse(read_checked(path, kNames));
  } catch (const Error& e) {
    fail(e.code(), "{}: damaged checkpoint: {}", path.string(), e.message());
  }
}

std::optional<Checkpoint> find_checkpoint(const fs::path& path) {
  try {
    return parse(read_checked(path, kNames));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string checkpoint_name(int64_t step) {
  return fmt::format("{}{:08}{}", kPrefix, step, kSuffix);
}

std::vector<CheckpointFile> checkpoints_in(const fs::path& folder) {
  std::vector<CheckpointFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const size_t length = name.size() - std::strlen(kPrefix) - std::strlen(kSuffix);
    const std::string digits = name.substr(std::strlen(kPrefix), length);
    const bool number =
        length > 0 && length < 18 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number) files.push_back({std::stoll(digits), entry.path()});
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.step < b.step; });
  return files;
}

void tidy_checkpoints(const fs::path& folder, size_t keep) {
  std::error_code ignored;
  sweep_leftovers(folder);
  const auto files = checkpoints_in(folder);
  for (size_t i = 0; i + keep < files.size(); ++i) fs::remove(files[i].path, ignored);
}

}  // namespace mw::training
