// Calls: taking back tokens, and keeping what the cache holds of a text for later.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "lm/calls.h"

namespace mw::lm {
namespace {

// The first `count` places of one axis, copied between a tensor that has them all and one that has
// these alone.
template <bool kOut>
void copy_places(const Tensor& from, Tensor& to, size_t axis, int64_t count) {
  const Tensor& whole = kOut ? from : to;
  int64_t rows = 1, bytes = whole.nbytes();
  for (size_t i = 0; i < axis; ++i) rows *= whole.shape()[i];
  if (rows == 0 || bytes == 0 || count == 0) return;
  bytes /= rows;  // of the places of a row
  const auto part = static_cast<size_t>(bytes / whole.shape()[axis] * count);
  const auto* source = static_cast<const char*>(from.raw());
  auto* target = static_cast<char*>(to.mutable_raw());
  const size_t source_step = kOut ? static_cast<size_t>(bytes) : part;
  const size_t target_step = kOut ? part : static_cast<size_t>(bytes);
  for (int64_t row = 0; row < rows; ++row, source += source_step, target += target_step) {
    std::memcpy(target, source, part);
  }
}

}  // namespace

bool Calls::truncate(int64_t count) {
  if (count >= size()) return true;
  if (count > 0 && count < cached_ && !entry_.roles().can_rewrite()) return false;
  ids_.resize(static_cast<size_t>(count));
  cached_ = std::min(cached_, count);
  if (count == 0) memory_ = entry_.make_memory();
  return true;
}

// The axis that counts the tokens, of a state that may be written again: behind the last token
// nothing is read there.
std::optional<size_t> Calls::places_axis(const Tensor& state) const {
  const Shape& shape = state.shape();
  const int64_t places = entry_.roles().places();
  if (!entry_.roles().can_rewrite() || std::count(shape.begin(), shape.end(), places) != 1) {
    return std::nullopt;
  }
  return static_cast<size_t>(std::find(shape.begin(), shape.end(), places) - shape.begin());
}

Calls::Snapshot Calls::snapshot() const {
  Snapshot made{{ids_.begin(), ids_.begin() + cached_}, {}};
  for (const auto& [name, cache] : memory_.caches) made.states[name] = cache.clone();
  for (const auto& [name, cell] : memory_.states.cells()) {
    const auto axis = places_axis(cell->value);
    if (!axis) {
      made.states[name] = cell->value.clone();
      continue;
    }
    Shape shape = cell->value.shape();
    shape[*axis] = cached_;
    Tensor part(cell->value.dtype(), shape);
    copy_places<true>(cell->value, part, *axis, cached_);
    made.states[name] = std::move(part);
  }
  return made;
}

Shape Calls::kept_shape(const std::string& name, const Tensor& now, int64_t count) const {
  for (const Cache& cache : entry_.roles().caches()) {
    if (cache.input != name || cache.axis < 0) continue;
    Shape shape = cache.empty;
    shape[static_cast<size_t>(cache.axis)] = cache.hidden + count;
    return shape;
  }
  Shape shape = now.shape();
  if (const auto axis = places_axis(now)) shape[*axis] = count;
  return shape;
}

void Calls::restore(const Snapshot& snapshot) {
  const auto count = static_cast<int64_t>(snapshot.ids.size());
  if (count > entry_.roles().places()) {
    fail(ErrorCode::kInvalidArgument, "expected at most {} tokens, got {}", entry_.roles().places(),
         count);
  }
  Memory fresh = entry_.make_memory();
  const auto check = [&](const std::string& name, const Tensor& now) {
    const Shape shape = kept_shape(name, now, count);
    const auto found = snapshot.states.find(name);
    const std::string wanted = fmt::format("{} {}", name_of(now.dtype()), to_string(shape));
    const std::string got = found == snapshot.states.end()
                                ? "none"
                                : fmt::format("{} {}", name_of(found->second.dtype()),
                                              to_string(found->second.shape()));
    if (got == wanted) return;
    fail(ErrorCode::kInvalidArgument, "state '{}': expected {}, got {}", name, wanted, got);
  };
  for (const auto& [name, cell] : fresh.states.cells()) check(name, cell->value);
  for (const auto& [name, cache] : fresh.caches) check(name, cache);
  for (const auto& [name, cell] : fresh.states.cells()) {
    const Tensor& saved = snapshot.states.at(name);
    if (const auto axis = places_axis(cell->value)) {
      copy_places<false>(saved, cell->value, *axis, count);
    } else {
      fresh.states.set(name, saved);
    }
  }
  for (auto& [name, cache] : fresh.caches) cache = snapshot.states.at(name);
  memory_ = std::move(fresh);
  ids_ = snapshot.ids;
  cached_ = count;
}

}  // namespace mw::lm
