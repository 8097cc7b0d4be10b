// Losses of arrays.
#include "reference.h"

#include <algorithm>
#include <cmath>

#include "base/tensor_file.h"
#include "reference_rows.h"
#include "train/data.h"

namespace mw::testing {
namespace {

constexpr uint64_t kUsualSeed = 0;  // of the order of examples

bool is_called_logits(const FloatOutput& output) { return output.name == "logits"; }

bool has_extent(const FloatOutput& output, int64_t extent) {
  const Extents& shape = output.value.shape;
  return !output.is_dictionary && std::find(shape.begin(), shape.end(), extent) != shape.end();
}

const FloatOutput* only(const std::vector<FloatOutput>& outputs, const auto& fits) {
  const FloatOutput* found = nullptr;
  for (const FloatOutput& output : outputs) {
    if (!fits(output)) continue;
    if (found != nullptr) return nullptr;
    found = &output;
  }
  return found;
}

Shape without(Shape shape, int64_t axis) {
  shape.erase(shape.begin() + axis);
  return shape;
}
Shape without_ones(Shape shape) {
  std::erase(shape, 1);
  return shape;
}

// Of an output without an activation or a layer that tells: what the labels leave over, where the
// first axis is taken for the examples; else the last one.
int64_t axis_by_labels(const Value& value, const Shape& shape, const Shape& labels) {
  for (const bool exactly : {true, false}) {
    std::vector<int64_t> axes;
    for (int64_t axis = 0; axis < static_cast<int64_t>(shape.size()); ++axis) {
      const auto at = static_cast<size_t>(axis);
      if (shape[at] < 2 || value.shape[at] < 0) continue;
      const Shape rest = without(shape, axis);
      const bool fits = exactly ? rest == labels : without_ones(rest) == without_ones(labels);
      if (fits) axes.push_back(axis);
    }
    if (axes.size() > 1) std::erase(axes, 0);
    if (!axes.empty()) return axes.front();
  }
  return static_cast<int64_t>(shape.size()) - 1;
}

// Labels of a classifier of integers are these; others are indices.
std::vector<int64_t> indices_of(const Tensor& labels, const Tensor* keys) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < labels.count(); ++i) {
    int64_t label = labels.integer_at(i);
    for (int64_t k = 0; keys != nullptr && k < keys->count(); ++k) {
      if (keys->integer_at(k) != label) continue;
      label = k;
      break;
    }
    indices.push_back(label);
  }
  return indices;
}

Tensor rows_of(const Tensor& tensor, const std::vector<int64_t>& rows) {
  Shape shape = tensor.shape();
  const int64_t each = tensor.count() / shape[0];
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor taken(tensor.dtype(), shape);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t i = 0; i < each; ++i) {
      const int64_t from = rows[r] * each + i, to = static_cast<int64_t>(r) * each + i;
      if (is_float(tensor.dtype())) {
        taken.set_number(to, tensor.number_at(from));
      } else {
        taken.set_integer(to, tensor.integer_at(from));
      }
    }
  }
  return taken;
}

// Rows of a file; those none of whose labels counts are left out.
std::vector<int64_t> examples_that_count(const std::string& kind, const TensorMap& all) {
  const bool ignores = kind != "mse" && kind != "output";
  const auto labels = all.find("labels");
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < all.begin()->second.dim(0); ++row) {
    bool counts = !ignores || labels == all.end();
    const int64_t each = counts ? 0 : labels->second.count() / labels->second.dim(0);
    for (int64_t i = row * each; i < (row + 1) * each; ++i) {
      counts = counts || labels->second.number_at(i) != training::kIgnoredLabel;
    }
    if (counts) rows.push_back(row);
  }
  return rows;
}

}  // namespace

void Sum::add(const Sum& other) {
  sum += other.sum;
  slack += other.slack;
  count += other.count;
  axis = other.axis;
  classes = other.classes;
}

Reference::Reference(const RandomModel& model)
    : model_(model),
      loaded_(CoreMLModelWrapper::load(model.path, {.compute = Compute::kFp64, .naive = true})),
      first_(loaded_.inputs().at(0)) {}

const FloatOutput* Reference::target(const std::string& wanted) const {
  const std::vector<FloatOutput>& all = model_.outputs;
  if (!wanted.empty()) return only(all, [&](const auto& o) { return o.name == wanted; });
  const FloatOutput* found = only(all, is_called_logits);
  if (found == nullptr && all.size() == 1) found = &all.front();
  if (found == nullptr) found = only(all, [](const auto& o) { return has_extent(o, kTokens); });
  return found;
}

TensorMap Reference::outputs(const TensorMap& inputs) const {
  State state = loaded_.make_state();
  return loaded_.predict(inputs, &state, {});
}

std::optional<Sum> Reference::loss_of(const std::string& kind, const FloatOutput& target,
                                      TensorMap batch) const {
  Tensor labels;
  if (const auto found = batch.find("labels"); found != batch.end()) {
    labels = found->second;
    batch.erase(found);
  }
  const TensorMap given = outputs(batch);
  Tensor values = given.at(target.name);
  if (target.is_dictionary) values = values.reshaped(target.value.shape);
  const Value& value = target.value;
  if (kind == "output") {
    Sum sum = rounded(values.number_at(0), value);
    return values.count() == 1 ? std::optional(sum) : std::nullopt;
  }
  if (kind == "mse") return squared_error(values, value, labels);
  if (kind == "binary_cross_entropy") return binary_cross_entropy(values, value, labels);
  if (values.rank() == 0) return std::nullopt;
  const int64_t axis =
      value.classes >= 0 ? value.classes : axis_by_labels(value, values.shape(), labels.shape());
  const auto keys = given.find(target.name + ".keys");
  const bool named = keys != given.end() && keys->second.dtype() != DType::kString;
  auto sum =
      cross_entropy(values, value, axis, indices_of(labels, named ? &keys->second : nullptr));
  if (sum && kind == "distillation") {
    // From itself a model has no divergence: what is left is the other half of the loss.
    sum->sum /= 2;
    sum->slack /= 2;
  }
  return sum;
}

std::optional<Sum> Reference::loss(const std::string& kind, const FloatOutput& target,
                                   const std::filesystem::path& file) const {
  return loss_of(kind, target, read_tensors(file));
}

// Along the first axis of all inputs.
bool Reference::takes_examples(int64_t count) const {
  const std::vector<FeatureDescription> inputs = loaded_.inputs();
  return std::all_of(inputs.begin(), inputs.end(), [&](const FeatureDescription& input) {
    if (!input.enumerated.empty()) {
      return std::any_of(input.enumerated.begin(), input.enumerated.end(),
                         [&](const Shape& shape) { return shape.empty() || shape[0] == count; });
    }
    if (!input.ranges.empty()) {
      const auto [least, most] = input.ranges[0];
      return count >= least && (most <= 0 || count <= most);
    }
    return input.shape.empty() || input.shape[0] == count;
  });
}

std::optional<Sum> Reference::first_step(const std::string& kind, const FloatOutput& target,
                                         const std::filesystem::path& file, int64_t batch) const {
  const TensorMap all = read_tensors(file);
  const std::vector<int64_t> examples = examples_that_count(kind, all);
  if (examples.empty()) return std::nullopt;
  std::vector<int64_t> order =
      training::Shuffle(static_cast<int64_t>(examples.size()), kUsualSeed).take(0, batch);
  for (int64_t& place : order) place = examples[static_cast<size_t>(place)];
  int64_t call = batch;
  while (call > 0 && (batch % call != 0 || !takes_examples(call))) --call;
  if (call == 0) return std::nullopt;
  Sum sum;
  for (int64_t at = 0; at < batch; at += call) {
    const std::vector<int64_t> chosen(order.begin() + at, order.begin() + at + call);
    TensorMap part;
    for (const auto& [name, tensor] : all) part[name] = rows_of(tensor, chosen);
    const auto more = loss_of(kind, target, part);
    if (!more) return std::nullopt;
    sum.add(*more);
  }
  return sum;
}

}  // namespace mw::testing
