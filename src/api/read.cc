// Runs of a model for some of its outputs: the functions for them, each made once.
#include "api/impl.h"
#include "api/open.h"
#include "api/pipeline.h"
#include "base/error.h"

namespace mw {
namespace {

std::string key_of(const lm::Reading& reading) {
  std::string key;
  for (const std::string& name : reading.whole) key += fmt::format("{}\n", name);
  for (const auto& [name, axis] : reading.chosen) key += fmt::format("{} {}\n", axis, name);
  return key;
}

}  // namespace

const CoreMLModelWrapper::Impl::Read& CoreMLModelWrapper::Impl::read_for(
    const lm::Reading& reading) const {
  const std::lock_guard lock(reads_mutex_);
  const std::string key = key_of(reading);
  const auto known = reads_.find(key);
  if (known != reads_.end()) return known->second;
  Read made;
  auto [function, position] = read_of(*lowered, reading, watch.get());
  made.function = std::move(function);
  made.position = std::move(position);
  made.session = make_session(*this, *made.function, {});
  return reads_.emplace(key, std::move(made)).first->second;
}

exec::RunResult CoreMLModelWrapper::Impl::read(const TensorMap& inputs, exec::States& states,
                                               const lm::Reading& reading) const {
  return in_context([&] { return path.string(); },
                    [&] {
                      TensorMap prepared = prepare(inputs);
                      const Read& read = read_for(reading);
                      if (!read.position.empty()) {
                        const auto position = static_cast<int32_t>(reading.position);
                        prepared[read.position] = Tensor::from<int32_t>({position}, {1});
                      }
                      return read.session->run(prepared, &states);
                    });
}

uint64_t CoreMLModelWrapper::Impl::weight_bytes_held() const {
  uint64_t held = session->weight_bytes_held();
  const std::lock_guard lock(reads_mutex_);
  for (const auto& [key, read] : reads_) held = std::max(held, read.session->weight_bytes_held());
  return held;
}

}  // namespace mw
