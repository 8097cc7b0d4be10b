// Lines of metrics.jsonl, there and back.
#include "train/metrics.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/atomic_write.h"

namespace mw::train {
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

}  // namespace

std::vector<StepRecord> read_metrics(const std::filesystem::path& path) {
  std::vector<StepRecord> records;
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !number(json, "step")) continue;
    StepRecord record;
    record.step = static_cast<int64_t>(*number(json, "step"));
    record.loss = number(json, "loss");
    record.grad_norm = number(json, "grad_norm");
    record.learning_rate = number(json, "learning_rate");
    record.valid_loss = number(json, "valid_loss");
    record.tokens = static_cast<int64_t>(number(json, "tokens").value_or(0));
    record.seconds = number(json, "seconds").value_or(0);
    record.memory = static_cast<int64_t>(number(json, "memory").value_or(0));
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

}  // namespace mw::train
