// Calls of one function: inputs made by roles, caches carried over, logits read from the outputs.
#include "lm/entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "lm/signature.h"

namespace mw::lm {
namespace {

// [1, 1, vocabulary] of the winners of each part; every other token never comes.
Tensor winners(const Tensor& index, const Tensor& logit, const std::vector<int64_t>& sizes,
               const std::string& name) {
  int64_t all = 0;
  for (const int64_t size : sizes) all += size;
  Tensor logits(DType::kF32, {1, 1, all});
  std::fill_n(logits.mutable_data<float>(), all, -std::numeric_limits<float>::infinity());
  int64_t begin = 0;
  for (size_t part = 0; part < sizes.size(); ++part) {
    const auto i = static_cast<int64_t>(part);
    const int64_t within = index.integer_at(i);
    if (within < 0 || within >= sizes[part]) {
      fail(ErrorCode::kInvalidArgument, "output '{}': expected an index from 0 to {}, got {}", name,
           sizes[part] - 1, within);
    }
    logits.set_number(begin + within, logit.number_at(i));
    begin += sizes[part];
  }
  return logits;
}

Tensor joined(const std::vector<Logits>& parts) {
  int64_t classes = 0;
  for (const Logits& part : parts) classes += part.classes();
  const int64_t rows = parts[0].batch() * parts[0].positions();
  Tensor whole(DType::kF32, {parts[0].batch(), parts[0].positions(), classes});
  for (int64_t row = 0, at = 0; row < rows; ++row) {
    for (const Logits& part : parts) {
      std::copy_n(part.values().data<float>() + row * part.classes(), part.classes(),
                  whole.mutable_data<float>() + at);
      at += part.classes();
    }
  }
  return whole;
}

}  // namespace

Entry::Entry(const Model& model, const std::string& target)
    : model_(&model), roles_(signature_of(model)), target_(model.target(target)) {}

Memory Entry::make_memory() const {
  Memory memory{.states = model_->make_states(), .caches = {}};
  for (const Cache& cache : roles_.caches()) {
    memory.caches[cache.input] = Tensor(cache.dtype, cache.empty);
  }
  return memory;
}

int64_t Entry::hidden() const {
  int64_t hidden = 0;
  for (const Cache& cache : roles_.caches()) hidden = std::max(hidden, cache.hidden);
  if (hidden > 0 && !roles_.has(InputRole::kAttentionMask) && !roles_.has(InputRole::kCausalMask)) {
    fail(
        ErrorCode::kUnsupported,
        "input '{}': holds at least {} place{}, and no mask leaves out those of a text that begins",
        roles_.caches()[0].input, hidden, hidden == 1 ? "" : "s");
  }
  return hidden;
}

TensorMap Entry::inputs_for(const Tensor& ids, Place place) const {
  place.hidden = hidden();
  TensorMap inputs = roles_.inputs_for(ids, place);
  for (const Cache& cache : roles_.caches()) {
    inputs[cache.input] = Tensor(cache.dtype, cache.empty);
  }
  return inputs;
}

TensorMap Entry::inputs_of_call(const Tensor& ids, Place place, const Memory& memory) const {
  place.hidden = hidden();
  TensorMap inputs = roles_.inputs_for(ids, place);
  for (const auto& [name, cache] : memory.caches) inputs[name] = cache;
  return inputs;
}

void Entry::keep_caches(const exec::RunResult& result, Memory& memory) const {
  for (const Cache& cache : roles_.caches()) {
    memory.caches[cache.input] = result.outputs.at(cache.output).tensor;
  }
}

Logits Entry::run(const Tensor& ids, Place place, Memory& memory) const {
  const exec::RunResult result = model_->run(inputs_of_call(ids, place, memory), memory.states);
  keep_caches(result, memory);
  return read_logits_of(result, {ids.dim(0), ids.dim(1)}, false);
}

Logits Entry::run_for(const Tensor& ids, Place place, Memory& memory, int64_t token) const {
  const CallShape shape = {ids.dim(0), ids.dim(1)};
  if (shape.time == 1 || target_.best) return run(ids, place, memory);
  if (shape.time <= kFewTokens) {
    const Logits all = run(ids, place, memory);
    return all.positions() == shape.time ? all.at(token) : all;
  }
  Reading reading =
      in_context([&] { return model_->name(); }, [&] { return this->reading(shape); });
  if (reading.chosen.empty()) return run(ids, place, memory);
  reading.position = token;
  const exec::RunResult result =
      model_->read(inputs_of_call(ids, place, memory), memory.states, reading);
  keep_caches(result, memory);
  return read_logits_of(result, shape, true);
}

void Entry::run_for_memory(const Tensor& ids, Place place, Memory& memory) const {
  Reading reading;
  for (const Cache& cache : roles_.caches()) reading.whole.push_back(cache.output);
  keep_caches(model_->read(inputs_of_call(ids, place, memory), memory.states, reading), memory);
}

// Where the positions lie is the same for all calls of so many rows. Nothing is chosen where the
// model gives the logits of the last token only, or has no axis of positions alone.
const Reading& Entry::reading(CallShape ids) const {
  {
    const std::lock_guard lock(mutex_);
    const auto known = readings_.find(ids.batch);
    if (known != readings_.end()) return known->second;
  }
  Reading reading;
  for (const Cache& cache : roles_.caches()) reading.whole.push_back(cache.output);
  const int64_t axis = target_.is_dictionary ? -1 : layout(ids).time;
  for (const TargetPart& part : target_.parts) {
    if (axis >= 0) reading.chosen.emplace_back(part.name, axis);
  }
  reading.calls = [this, ids] { return calls_like(ids); };
  const std::lock_guard lock(mutex_);
  return readings_.emplace(ids.batch, std::move(reading)).first->second;
}

std::vector<Shapes> Entry::calls_like(CallShape ids) const {
  std::vector<Shapes> calls = {input_shapes(ids)};
  const CallShapes& shapes = roles_.shapes();
  for (const int64_t time : {ids.time + 1, ids.time - 1, shapes.max_time(), shapes.min_time()}) {
    if (time < 2 || time == ids.time || time > roles_.places()) continue;
    if (!shapes.allow({ids.batch, time})) continue;
    calls.push_back(input_shapes({ids.batch, time}));
    break;
  }
  return calls;
}

Logits Entry::read_logits_of(const exec::RunResult& result, CallShape ids, bool one_token) const {
  return in_context([&] { return model_->name(); },
                    [&] {
                      if (target_.best) return read_best(result, ids);
                      std::vector<Logits> parts;
                      parts.reserve(target_.parts.size());
                      for (const TargetPart& part : target_.parts) {
                        parts.push_back(read_part(result, part, ids, one_token));
                      }
                      if (parts.size() == 1) return parts[0];
                      return Logits(joined(parts), parts[0].last_only(), parts[0].numbers(),
                                    target_.name);
                    });
}

const Filler* Entry::filler() const {
  const std::lock_guard lock(mutex_);
  if (!filler_) filler_ = Filler::beside(*model_, roles_);
  return filler_->get();
}

Logits Entry::read_part(const exec::RunResult& result, const TargetPart& part, CallShape ids,
                        bool one_token) const {
  Asked wanted = asked(part, ids);
  if (one_token) wanted.time = 1;
  return read_logits(result.outputs.at(part.name), wanted, part.name);
}

Logits Entry::read_best(const exec::RunResult& result, CallShape ids) const {
  const Tensor& index = result.outputs.at(target_.best->index.name).tensor;
  const Tensor& logit = result.outputs.at(target_.best->logit.name).tensor;
  if (ids.batch != 1 || index.count() != logit.count() || index.count() < 1) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected an index and a logit ('{}') per part of the vocabulary, for one "
         "row, got {} and {} for {} rows",
         target_.name, target_.best->logit.name, to_string(index.shape()), to_string(logit.shape()),
         ids.batch);
  }
  return {winners(index, logit, sizes_of_best(index.count()), target_.name), ids.time > 1,
          Numbers::kLogits, target_.name};
}

// As the metadata has them; else the vocabulary in equal parts, the last one maybe smaller.
std::vector<int64_t> Entry::sizes_of_best(int64_t count) const {
  std::vector<int64_t> sizes = numbers_in(metadata_at_end(*model_, "lmheadchunksizes"));
  const auto is_size = [](int64_t size) { return size > 0 && size < int64_t{1} << 32; };
  if (static_cast<int64_t>(sizes.size()) == count &&
      std::all_of(sizes.begin(), sizes.end(), is_size)) {
    return sizes;
  }
  const int64_t vocabulary = model_->vocabulary();
  if (!sizes.empty() || vocabulary < count) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': how many tokens each of its {} parts stands for is not stated", target_.name,
         count);
  }
  const int64_t usual = (vocabulary + count - 1) / count;
  sizes.assign(static_cast<size_t>(count), usual);
  sizes.back() = vocabulary - usual * (count - 1);
  if (sizes.back() > 0) return sizes;
  fail(ErrorCode::kInvalidArgument, "output '{}': {} parts of a vocabulary of {} tokens",
       target_.name, count, vocabulary);
}

Asked Entry::asked(const TargetPart& part, CallShape ids) const {
  return {ids.batch,
          ids.time,
          &part.value->type,
          [this] { return target_.parts.size() == 1 ? model_->vocabulary() : 0; },
          model_->ending(part.name, [&] { return input_shapes(ids); }),
          [this, &part, ids] { return time_first(part, ids); }};
}

// Told by a call of another shape. Where the model takes no other, the usual order counts.
bool Entry::time_first(const TargetPart& part, CallShape ids) const {
  const CallShape others[] = {{ids.batch, ids.time + 1},
                              {ids.batch, ids.time - 1},
                              {ids.batch + 1, ids.time},
                              {ids.batch - 1, ids.time}};
  for (const CallShape& other : others) {
    if (other.batch < 2 || other.time < 2 || !roles_.shapes().allow(other)) continue;
    return layout_of_part(part, other).time_first();
  }
  return false;
}

Shapes Entry::input_shapes(CallShape ids) const {
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  Shapes shapes;
  for (const auto& [name, tensor] : model_->prepare(inputs_for(zeros, {}))) {
    shapes[name] = tensor.shape();
  }
  return shapes;
}

Shape Entry::shape_of(const TargetPart& part, CallShape ids) const {
  if (const auto known = model_->shape_of(part.name, input_shapes(ids))) return *known;
  exec::States states = model_->make_states();
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  return read_part(model_->run(inputs_for(zeros, {}), states), part, ids).values().shape();
}

Layout Entry::layout_of_part(const TargetPart& part, CallShape ids) const {
  return layout_of(shape_of(part, ids), asked(part, ids), part.name);
}

Layout Entry::layout(CallShape ids) const {
  const std::pair key = {ids.batch, ids.time};
  {
    const std::lock_guard lock(mutex_);
    const auto known = layouts_.find(key);
    if (known != layouts_.end()) return known->second;
  }
  const Layout found = layout_of_part(target_.parts[0], ids);
  const std::lock_guard lock(mutex_);
  return layouts_[key] = found;
}

Shape Entry::output_shape(CallShape ids) const {
  const std::vector<Part> all = parts(ids);
  Shape shape = all[0].shape;
  const auto axis = static_cast<size_t>(all[0].layout.classes);
  for (size_t i = 1; i < all.size(); ++i) shape[axis] += all[i].shape[axis];
  return shape;
}

int64_t Entry::classes(CallShape ids) const {
  int64_t all = 0;
  if (target_.best) {
    Memory memory = make_memory();
    const Tensor zeros(DType::kI32, {ids.batch, ids.time});
    return run(zeros, {}, memory).classes();
  }
  for (const Part& part : parts(ids)) {
    all += part.shape[static_cast<size_t>(part.layout.classes)];
  }
  return all;
}

bool Entry::last_only(CallShape ids) const {
  if (ids.time == 1) return false;
  if (target_.best) return true;
  return layout(ids).last_only;
}

std::vector<Entry::Part> Entry::parts(CallShape ids) const {
  std::vector<Part> parts;
  for (const TargetPart& part : target_.parts) {
    const Shape shape = shape_of(part, ids);
    parts.push_back({part.name, shape, layout_of(shape, asked(part, ids), part.name)});
  }
  return parts;
}

void Entry::fail_last_only(int64_t time) const {
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("output '{}' holds logits for the last token only, and the model takes {} "
                  "tokens: expected a text of as many, got {}; the last token of a padded one "
                  "would be a pad",
                  target_.name, roles_.shapes().times_text(), time),
      model_->name());
}

void Entry::expect_logits(const std::string& purpose) const {
  if (!target_.best) return;
  fail(ErrorCode::kUnsupported,
       "output '{}' names the likeliest token only, and {} needs the logits of all; take a form of "
       "the model that gives them",
       target_.name, purpose);
}

}  // namespace mw::lm
