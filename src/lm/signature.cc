// Inputs, outputs and states of a model, and what its metadata add.
#include "lm/signature.h"

#include <algorithm>
#include <charconv>

#include "base/plain_name.h"

namespace mw::lm {

std::string metadata_at_end(const Model& model, const std::string& name) {
  for (const auto& [key, value] : model.metadata()) {
    if (plain_name(key).ends_with(name)) return value;
  }
  return "";
}

std::vector<int64_t> numbers_in(const std::string& text) {
  std::vector<int64_t> numbers;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    int64_t number = 0;
    const auto [rest, error] = std::from_chars(at, end, number);
    if (error == std::errc()) numbers.push_back(number);
    at = error == std::errc() ? rest : at + 1;
  }
  return numbers;
}

Signature signature_of(const Model& model) {
  Signature signature{.inputs = model.inputs(),
                      .outputs = model.outputs(),
                      .states = model.states(),
                      .stated = stated_roles(model.stated_roles())};
  for (const FeatureDescription& state : signature.states) {
    if (const auto places = model.places(state.name)) signature.places[state.name] = *places;
  }
  const std::vector<int64_t> window = numbers_in(metadata_at_end(model, "slidingwindow"));
  if (window.size() == 1) signature.sliding_window = std::max<int64_t>(window[0], 0);
  return signature;
}

}  // namespace mw::lm
