// Inputs by the declared shapes, labels by the shape of the output that they are likely to be for.
#include "verb_data.h"

#include <cmath>
#include <optional>
#include <vector>

#include "base/tensor_file.h"
#include "millwright/millwright.hpp"

namespace mw::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kIgnored = -100;

class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  uint64_t next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return state_ >> 40;
  }
  double share() { return static_cast<double>(next()) / (1 << 24); }

 private:
  uint64_t state_;
};

// Within (-1, 1); small ones for integers.
void fill(Tensor& tensor, uint64_t seed) {
  Numbers numbers(seed);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    if (is_float(tensor.dtype())) {
      tensor.set_number(i, 2 * numbers.share() - 1);
    } else {
      tensor.set_integer(
          i, static_cast<int64_t>(numbers.next() % (tensor.dtype() == DType::kBool ? 2 : 4)));
    }
  }
}

Shape shape_of(const FeatureDescription& feature) {
  Shape shape = feature.enumerated.empty() ? feature.shape : feature.enumerated.front();
  for (int64_t& extent : shape) extent = extent < 0 ? 2 : extent;
  return shape;
}

Shape times(Shape shape, int64_t factor) {
  if (!shape.empty()) shape[0] *= factor;
  return shape;
}

// A tensor per input; the first axis, if there is one, `factor` times as long.
TensorMap inputs_of(const CoreMLModelWrapper& model, int64_t factor) {
  TensorMap inputs;
  for (const FeatureDescription& feature : model.inputs()) {
    if (feature.kind != "MultiArray") continue;
    Tensor tensor(feature.dtype, times(shape_of(feature), factor));
    fill(tensor, inputs.size());
    inputs.emplace(feature.name, std::move(tensor));
  }
  return inputs;
}

struct Target {
  Shape shape = {1};
  std::vector<int64_t> classes;  // where they are integers
};

// The one called logits, else the largest one of floats.
Target target_of(const TensorMap& outputs, int64_t examples) {
  Target target;
  int64_t largest = 0;
  for (const auto& [name, tensor] : outputs) {
    if (!is_float(tensor.dtype())) continue;
    const int64_t weight = name == "logits" ? INT64_MAX : tensor.count();
    if (weight <= largest) continue;
    largest = weight;
    target = {tensor.shape(), {}};
    const auto keys = outputs.find(name + ".keys");
    if (keys == outputs.end()) continue;
    const int64_t count = tensor.count();
    const bool apart = examples < count && count % examples == 0;
    target.shape = apart ? Shape{examples, count / examples} : Shape{count};
    for (int64_t i = 0; keys->second.dtype() != DType::kString && i < count; ++i) {
      target.classes.push_back(keys->second.integer_at(i));
    }
  }
  return target;
}

// Labels count examples along their first axis, outputs may have ones before it.
Shape led_by(Shape shape, int64_t examples) {
  while (shape.size() > 1 && shape[0] == 1 && examples > 1) shape.erase(shape.begin());
  return shape;
}

Tensor indices(const Target& target, int64_t axis, int64_t examples, int64_t factor) {
  Shape shape = target.shape;
  int64_t classes = 1;
  if (axis >= 0 && axis < static_cast<int64_t>(shape.size())) {
    classes = shape[static_cast<size_t>(axis)];
    shape.erase(shape.begin() + axis);
  }
  Tensor labels(target.classes.empty() ? DType::kI32 : DType::kI64,
                times(led_by(shape, examples), factor));
  for (int64_t i = 0; i < labels.count(); ++i) {
    const int64_t index = (7 * i + i / 3 + 3) % classes;
    const bool counts = i % 5 != 4;
    const int64_t label =
        target.classes.empty() ? index : target.classes[static_cast<size_t>(index)];
    labels.set_integer(i, counts ? label : kIgnored);
  }
  return labels;
}

Tensor floats(const Shape& shape) {
  Tensor labels(DType::kF32, shape);
  fill(labels, 77);
  return labels;
}

Tensor shares(const Shape& shape) {
  Tensor labels = floats(shape);
  for (int64_t i = 0; i < labels.count(); ++i) {
    labels.set_number(i, i % 5 == 4 ? kIgnored : std::abs(labels.number_at(i)));
  }
  return labels;
}

}  // namespace

VerbData write_verb_data(const fs::path& path, const fs::path& folder) {
  VerbData data;
  TensorMap one, two, outputs;
  int64_t examples = 1;
  try {
    const CoreMLModelWrapper model = CoreMLModelWrapper::load(path);
    one = inputs_of(model, 1);
    two = inputs_of(model, 2);
    for (const auto& [name, tensor] : one) examples = tensor.rank() > 0 ? tensor.dim(0) : 1;
    State state = model.make_state();
    outputs = model.predict(one, &state, {});
  } catch (const Error&) {
    // The commands say so, too.
  }
  data.examples = 2 * examples;
  for (const auto& [name, tensor] : outputs) {
    const bool is_dictionary = outputs.contains(name + ".keys");
    if (!data.scalar.empty() || is_dictionary) continue;
    if (is_float(tensor.dtype()) && tensor.count() == 1) data.scalar = name;
  }
  write_safetensors(folder / "inputs.safetensors", one);
  const Target target = target_of(outputs, examples);
  const auto rank = static_cast<int64_t>(target.shape.size());
  const auto write = [&](const std::string& kind, const std::optional<Tensor>& of_one,
                         const std::optional<Tensor>& of_two) {
    if (of_one) one["labels"] = *of_one;
    if (of_two) two["labels"] = *of_two;
    write_safetensors(folder / ("batch-" + kind + ".safetensors"), one);
    write_safetensors(folder / ("data-" + kind + ".safetensors"), two);
  };
  write("none", std::nullopt, std::nullopt);
  for (const auto& [kind, axis] : {std::pair{"last", rank - 1}, std::pair{"second", int64_t{1}}}) {
    write(kind, indices(target, axis, examples, 1), indices(target, axis, examples, 2));
  }
  const Shape led = led_by(target.shape, examples);
  write("shares", shares(led), shares(times(led, 2)));
  write("floats", floats(target.shape), floats(times(target.shape, 2)));
  return data;
}

}  // namespace mw::testing
