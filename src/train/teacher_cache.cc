// Predictions as records: the likeliest classes, their logarithms, and the rest's.
#include "train/teacher_cache.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/checksum.h"
#include "base/error.h"
#include "base/printable.h"

namespace mw::training {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKind = "millwright-teacher-cache-1";

template <class T>
void put(std::string& to, const T* from, size_t count) {
  to.append(reinterpret_cast<const char*>(from), count * sizeof(T));
}

template <class T>
std::vector<T> taken(const std::string& from, size_t& at, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  std::memcpy(values.data(), from.data() + at, values.size() * sizeof(T));
  at += values.size() * sizeof(T);
  return values;
}

// log(sum(exp(x))) of those that `ids` names.
double log_sum(const float* logits, std::span<const int32_t> ids, double temperature) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const int32_t id : ids) largest = std::max(largest, logits[id] / temperature);
  for (const int32_t id : ids) sum += std::exp(logits[id] / temperature - largest);
  return largest + std::log(sum);
}

float as_log(double value) { return static_cast<float>(std::max<double>(value, kNever)); }

}  // namespace

TopClasses top_classes(const Tensor& logits, int64_t top, double temperature) {
  TopClasses said{.positions = logits.dim(0), .classes = logits.dim(1)};
  said.kept = top > 0 ? std::min(top, said.classes) : said.classes;
  std::vector<int32_t> order(static_cast<size_t>(said.classes));
  const auto kept = static_cast<size_t>(said.kept);
  for (int64_t position = 0; position < said.positions; ++position) {
    const float* row = logits.data<float>() + position * said.classes;
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(
        order.begin(), order.begin() + said.kept, order.end(),
        [&](int32_t a, int32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    const double all = log_sum(row, order, temperature);
    for (size_t i = 0; i < kept; ++i) {
      said.ids.push_back(order[i]);
      said.known.push_back(as_log(row[order[i]] / temperature - all));
    }
    const auto others = std::span<const int32_t>(order).subspan(kept);
    said.rest.push_back(others.empty() ? kNever : as_log(log_sum(row, others, temperature) - all));
  }
  return said;
}

TeacherCache::TeacherCache(const std::filesystem::path& path, Binding binding)
    : binding_(std::move(binding)), file_(path, kKind) {
  if (file_.header()) expect_own(*file_.header());
}

void TeacherCache::expect_own(const std::string& header) const {
  const Json json = Json::parse(header, nullptr, false);
  for (const auto& [name, own] : binding_) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    const std::string its =
        found != json.end() && found->is_string() ? found->get<std::string>() : "none";
    if (its == own) continue;
    const bool is_setting = name == kTemperature || name == kTopK;
    fail(ErrorCode::kInvalidArgument,
         "{}: expected {}, got predictions of {} in {}; remove the file, or give another as {}",
         is_setting ? setting(name) : name, own, printable(its), file_.path().string(),
         setting("teacher_cache"));
  }
}

uint64_t TeacherCache::key_of(std::span<const int32_t> row, int64_t positions) {
  return Checksum().add(row.data(), row.size_bytes()).add(positions).value();
}

std::optional<TopClasses> TeacherCache::find(uint64_t key) const {
  const auto payload = file_.find(key);
  if (!payload) return std::nullopt;
  std::array<int64_t, 3> sizes{};
  TopClasses said;
  const auto fits = [&] {
    if (payload->size() < sizeof sizes) return false;
    std::memcpy(sizes.data(), payload->data(), sizeof sizes);
    const auto [positions, kept, classes] = sizes;
    constexpr int64_t kMost = int64_t{1} << 31;
    if (positions < 1 || positions > kMost || kept < 1 || kept > classes || classes > kMost) {
      return false;
    }
    const double bytes = static_cast<double>(positions) * (8.0 * static_cast<double>(kept) + 4);
    return bytes + sizeof sizes == static_cast<double>(payload->size());
  };
  if (!fits()) {
    fail(ErrorCode::kInvalidArgument, "{}: damaged: expected a prediction, got another record",
         file_.path().string());
  }
  said.positions = sizes[0];
  said.kept = sizes[1];
  said.classes = sizes[2];
  size_t at = sizeof sizes;
  said.ids = taken<int32_t>(*payload, at, said.positions * said.kept);
  said.known = taken<float>(*payload, at, said.positions * said.kept);
  said.rest = taken<float>(*payload, at, said.positions);
  for (const int32_t id : said.ids) {
    if (id >= 0 && id < said.classes) continue;
    fail(ErrorCode::kInvalidArgument, "{}: damaged: expected a class from 0 to {}, got {}",
         file_.path().string(), said.classes - 1, id);
  }
  return said;
}

void TeacherCache::add(uint64_t key, const TopClasses& said) {
  const std::array<int64_t, 3> sizes = {said.positions, said.kept, said.classes};
  std::string payload;
  put(payload, sizes.data(), sizes.size());
  put(payload, said.ids.data(), said.ids.size());
  put(payload, said.known.data(), said.known.size());
  put(payload, said.rest.data(), said.rest.size());
  Json header = Json::object();
  for (const auto& [name, own] : binding_) header[name] = own;
  file_.append(key, payload, header.dump());
}

}  // namespace mw::training
