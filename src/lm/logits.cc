// Reading logits: which axis is which, and copying them into rows.
#include "lm/logits.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/probabilities.h"

namespace mw::lm {
namespace {

int64_t extent(const Shape& shape, int64_t axis) { return shape[static_cast<size_t>(axis)]; }

// Every way to read a shape as logits of what was asked for.
class Readings {
 public:
  Readings(const Shape& shape, const Asked& asked) : shape_(shape), asked_(asked) {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
    std::vector<int64_t> large;
    for (int64_t axis = 0; axis < static_cast<int64_t>(shape.size()); ++axis) {
      if (extent(shape, axis) > 1) large.push_back(axis);
    }
    if (!shape.empty() && shape.back() == 1) add(static_cast<int64_t>(shape.size()) - 1, large);
    for (const int64_t classes : large) {
      std::vector<int64_t> rest;
      std::copy_if(large.begin(), large.end(), std::back_inserter(rest),
                   [&](int64_t axis) { return axis != classes; });
      add(classes, rest);
    }
  }

  [[nodiscard]] const std::vector<Layout>& found() const { return found_; }

  // Keeps those that `fits` holds for, unless it holds for none.
  template <class Fits>
  void prefer(const Fits& fits) {
    std::vector<Layout> kept;
    std::copy_if(found_.begin(), found_.end(), std::back_inserter(kept), fits);
    if (!kept.empty()) found_ = std::move(kept);
  }

  // Whether the program leaves the extent of an axis open.
  [[nodiscard]] bool is_open(int64_t axis) const {
    const ir::Type* type = asked_.type;
    return type != nullptr && type->is_tensor() && type->has_rank() &&
           type->shape().size() == shape_.size() && extent(type->shape(), axis) < 0;
  }

 private:
  void add(int64_t classes, const std::vector<int64_t>& rest) {
    for (Layout layout : explain(rest)) {
      layout.classes = classes;
      // What grows with the text is no number of classes.
      const bool grows = is_open(classes) && extent(shape_, classes) == asked_.time;
      if (!layout.last_only || !grows) found_.push_back(layout);
    }
  }

  // What the axes beside the classes are of batch and time; several where the two are alike.
  [[nodiscard]] std::vector<Layout> explain(const std::vector<int64_t>& rest) const {
    const int64_t batch = asked_.batch, time = asked_.time;
    Shape extents;
    for (const int64_t axis : rest) extents.push_back(extent(shape_, axis));
    const bool one = time == 1;
    if (batch == 1) {
      if (extents.empty()) return {{.last_only = !one}};
      if (extents == Shape{time}) return {{.time = rest[0]}};
      return {};
    }
    if (extents == Shape{batch}) return {{.batch = rest[0], .last_only = !one}};
    if (one) return {};
    std::vector<Layout> found;
    if (extents == Shape{batch, time}) found.push_back({.batch = rest[0], .time = rest[1]});
    if (extents == Shape{time, batch}) found.push_back({.batch = rest[1], .time = rest[0]});
    if (extents == Shape{batch * time}) found.push_back({.batch = rest[0], .flat = true});
    return found;
  }

  const Shape& shape_;
  const Asked& asked_;
  std::vector<Layout> found_;
};

// Classes last, and nothing between them and the positions.
bool is_usual(const Layout& layout) {
  int64_t next = layout.classes;
  for (const int64_t axis : {layout.time, layout.batch}) {
    if (axis < 0) continue;
    if (axis != next - 1) return false;
    next = axis;
  }
  return true;
}

std::string positions_text(const Asked& asked) {
  const std::string rows = asked.batch == 1 ? "" : fmt::format(" in each of {} rows", asked.batch);
  if (asked.time == 1) return "one position" + rows;
  return fmt::format("{} positions, or for the last one{}", asked.time,
                     rows.empty() ? "" : "," + rows);
}

// The probabilities of a classifier in the order of its classes, which must be 0, 1, ...
Tensor in_order_of_ids(const ir::TensorList& dictionary, const std::string& name) {
  MW_CHECK(dictionary.size() == 2 && dictionary[0].count() == dictionary[1].count());
  const Tensor& keys = dictionary[0];
  const int64_t count = keys.count();
  if (!is_integer(keys.dtype())) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected logits of a language model, got classes named by texts", name);
  }
  Tensor ordered(DType::kF32, {count});
  std::vector<bool> seen(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = keys.integer_at(i);
    if (id < 0 || id >= count || seen[static_cast<size_t>(id)]) {
      fail(ErrorCode::kInvalidArgument,
           "output '{}': expected the classes to be the token ids 0 to {}, got {}", name, count - 1,
           id);
    }
    seen[static_cast<size_t>(id)] = true;
    ordered.set_number(id, dictionary[1].number_at(i));
  }
  return ordered;
}

// `tensor` (fp32) as [batch, positions, classes].
Tensor arranged(const Tensor& tensor, const Layout& layout, const Asked& asked) {
  const Shape& shape = tensor.shape();
  const int64_t positions = layout.last_only ? 1 : asked.time;
  const Shape wanted = {asked.batch, positions, extent(shape, layout.classes)};
  const bool in_order = layout.classes > layout.time && layout.classes > layout.batch &&
                        (layout.time < 0 || layout.batch < layout.time);
  if (in_order) return tensor.reshaped(wanted);
  std::vector<int64_t> strides(shape.size() + 1, 1);
  for (size_t i = shape.size(); i-- > 0;) strides[i] = strides[i + 1] * shape[i];
  const auto stride = [&](int64_t axis) {
    return axis < 0 ? 0 : strides[static_cast<size_t>(axis) + 1];
  };
  const int64_t step = stride(layout.flat ? layout.batch : layout.time);
  const int64_t row = layout.flat ? step * positions : stride(layout.batch);
  Tensor result(DType::kF32, wanted);
  const float* from = tensor.data<float>();
  float* to = result.mutable_data<float>();
  for (int64_t b = 0; b < wanted[0]; ++b) {
    for (int64_t t = 0; t < wanted[1]; ++t) {
      for (int64_t v = 0; v < wanted[2]; ++v) {
        *to++ = from[b * row + t * step + v * stride(layout.classes)];
      }
    }
  }
  return result;
}

}  // namespace

Layout layout_of(const Shape& shape, const Asked& asked, const std::string& name) {
  Readings readings(shape, asked);
  readings.prefer([&](const Layout& l) { return !readings.is_open(l.classes); });
  readings.prefer([&](const Layout& l) { return l.classes == asked.ending.axis; });
  const bool ask = readings.found().size() > 1 && asked.vocabulary != nullptr;
  if (const int64_t vocabulary = ask ? asked.vocabulary() : 0; vocabulary > 0) {
    readings.prefer([&](const Layout& l) { return extent(shape, l.classes) >= vocabulary; });
    readings.prefer([&](const Layout& l) { return extent(shape, l.classes) == vocabulary; });
  }
  const bool square = asked.batch == asked.time && asked.batch > 1;
  if (square && !readings.found().empty() && asked.time_first != nullptr) {
    readings.prefer(
        [first = asked.time_first()](const Layout& l) { return (l.time < l.batch) == first; });
  }
  readings.prefer(is_usual);
  readings.prefer([](const Layout& l) { return !l.time_first(); });
  if (readings.found().size() == 1) return readings.found().front();
  if (readings.found().empty()) {
    fail(ErrorCode::kInvalidArgument, "output '{}': expected logits for {}, got {}", name,
         positions_text(asked), to_string(shape));
  }
  fail(ErrorCode::kInvalidArgument,
       "output '{}': expected logits, got {}; which axis holds the classes and which the positions "
       "cannot be told",
       name, to_string(shape));
}

Logits::Logits(Tensor values, bool last_only, Numbers numbers, std::string name)
    : values_(std::move(values)),
      last_only_(last_only),
      stated_(numbers),
      numbers_(numbers),
      name_(std::move(name)) {
  MW_CHECK(values_.rank() == 3 && values_.dtype() == DType::kF32);
  if (numbers_ != Numbers::kUnknown) return;
  numbers_ = hold_probabilities(values_, 2) ? Numbers::kProbabilities : Numbers::kLogits;
}

std::vector<float> Logits::row(int64_t batch, int64_t position) const {
  MW_CHECK(batch >= 0 && batch < this->batch() && position >= 0 && position < positions());
  if (numbers_ == Numbers::kSeparate) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected logits or a softmax of them, got a sigmoid, which says of each "
         "token by itself how likely it is, not of one out of all; choose another output",
         name_);
  }
  const float* begin = values_.data<float>() + (batch * positions() + position) * classes();
  std::vector<float> numbers(begin, begin + classes());
  if (numbers_ == Numbers::kProbabilities) {
    for (float& number : numbers) number = std::log(number);
  }
  return numbers;
}

Logits Logits::at(int64_t position) const {
  MW_CHECK(position >= 0 && position < positions());
  Tensor one(DType::kF32, {batch(), 1, classes()});
  for (int64_t b = 0; b < batch(); ++b) {
    std::copy_n(values_.data<float>() + (b * positions() + position) * classes(), classes(),
                one.mutable_data<float>() + b * classes());
  }
  return {one, last_only_, numbers_, name_};
}

Logits Logits::cut(int64_t batch, int64_t positions) const {
  MW_CHECK(batch <= this->batch() && positions <= this->positions());
  Tensor first(DType::kF32, {batch, positions, classes()});
  const int64_t row = positions * classes();
  for (int64_t b = 0; b < batch; ++b) {
    std::copy_n(values_.data<float>() + b * this->positions() * classes(), row,
                first.mutable_data<float>() + b * row);
  }
  return {first, last_only_, stated_, name_};
}

Logits read_logits(const ir::Datum& returned, const Asked& asked, const std::string& name) {
  Tensor tensor = returned.list ? in_order_of_ids(*returned.list, name) : returned.tensor;
  if (!is_float(tensor.dtype())) {
    fail(ErrorCode::kInvalidArgument, "output '{}': expected logits, got {} {}", name,
         name_of(tensor.dtype()), to_string(tensor.shape()));
  }
  const Layout layout = layout_of(tensor.shape(), asked, name);
  // A softmax over another axis makes no probabilities of the classes.
  const bool elsewhere = asked.ending.axis != layout.classes;
  const Numbers numbers = asked.ending.numbers == Numbers::kProbabilities && elsewhere
                              ? Numbers::kUnknown
                              : asked.ending.numbers;
  return {arranged(tensor.to(DType::kF32), layout, asked), layout.last_only, numbers, name};
}

}  // namespace mw::lm
