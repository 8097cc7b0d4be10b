// Lines of metrics.jsonl, there and back.
#include "train/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/atomic_write.h"
#include "base/mapped_file.h"

namespace mw::training {
namespace {

using Json = nlohmann::json;

std::string line_of(const StepRecord& record) {
  Json json = {{"step", record.step}};
  const auto put = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  put("loss", record.loss);
  put("grad_norm", record.grad_norm);
  put("learning_rate", record.learning_rate);
  put("valid_loss", record.valid_loss);
  if (record.loss) {
    json["tokens"] = record.tokens;
    json["seconds"] = record.seconds;
    json["memory"] = record.memory;
  }
  return json.dump() + "\n";
}

std::optional<double> number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::optional<int64_t> count(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return static_cast<int64_t>(std::min<uint64_t>(found->get<uint64_t>(), INT64_MAX));
}

}  // namespace

std::vector<StepRecord> read_metrics(const std::filesystem::path& path) {
  std::vector<StepRecord> records;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return records;
  const auto file = MappedFile::open(path);
  std::istringstream lines(
      std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()));
  file->check_intact();
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !count(json, "step")) continue;
    StepRecord record;
    record.step = *count(json, "step");
    record.loss = number(json, "loss");
    record.grad_norm = number(json, "grad_norm");
    record.learning_rate = number(json, "learning_rate");
    record.valid_loss = number(json, "valid_loss");
    record.tokens = count(json, "tokens").value_or(0);
    record.seconds = number(json, "seconds").value_or(0);
    record.memory = count(json, "memory").value_or(0);
    records.push_back(record);
  }
  return records;
}

MetricsFile::MetricsFile(const std::filesystem::path& path, int64_t last) {
  std::string kept;
  if (last >= 0) {
    for (const StepRecord& record : read_metrics(path)) {
      if (record.step > last) continue;
      records_.push_back(record);
      kept += line_of(record);
    }
  }
  write_file_atomically(path, kept);
  file_.emplace(OutputFile::append_to(path));
}

void MetricsFile::append(const StepRecord& record) {
  records_.push_back(record);
  file_->write(line_of(record));
}

}  // namespace mw::training
