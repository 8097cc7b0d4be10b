// Classes by their text: integers are compared as their digits.
#include "train/class_labels.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ops/catalog.h"
#include "ops/reduce/classify.h"
#include "train/data.h"

namespace mw::training {
namespace {

constexpr size_t kMostListed = 8;
constexpr int64_t kSeveral = -1;  // the index of a name that several classes have

std::string text_at(const Tensor& tensor, int64_t i) {
  return tensor.dtype() == DType::kString ? tensor.data<std::string>()[i]
                                          : std::to_string(tensor.integer_at(i));
}

}  // namespace

ClassLabels::ClassLabels(const ir::Value* output) {
  const auto classifier = ops::classifier_of(output, ops::catalog());
  if (!classifier) return;
  classes_ = classifier->classes;
  for (int64_t i = 0; i < classes_->count(); ++i) {
    const auto [entry, is_new] = indices_.emplace(text_at(*classes_, i), i);
    if (!is_new) entry->second = kSeveral;
  }
}

bool ClassLabels::are_numbers() const { return classes_ && classes_->dtype() != DType::kString; }

std::vector<std::string> ClassLabels::names() const {
  std::vector<std::string> names;
  for (int64_t i = 0; classes_ && i < classes_->count(); ++i) {
    names.push_back(text_at(*classes_, i));
  }
  return names;
}

std::string ClassLabels::listed() const {
  std::vector<std::string> some = names();
  const size_t all = some.size();
  some.resize(std::min(all, kMostListed));
  const std::string more = all > kMostListed ? fmt::format(", ... ({} in all)", all) : "";
  return fmt::format("{}{}", fmt::join(some, ", "), more);
}

int64_t ClassLabels::index_of(const std::string& name) const {
  if (const auto found = indices_.find(name); found != indices_.end()) {
    if (found->second != kSeveral) return found->second;
    fail(ErrorCode::kInvalidArgument, "labels: expected a name of one class, got {}, of several{}",
         name, are_numbers() ? "" : "; give its index");
  }
  fail(ErrorCode::kInvalidArgument, "labels: expected one of the classes {}, got {}", listed(),
       name);
}

Tensor ClassLabels::indices_of(const Tensor& labels) const {
  const bool named = labels.dtype() == DType::kString;
  if (named && (!classes_ || classes_->dtype() != DType::kString)) {
    fail(ErrorCode::kInvalidArgument, "labels: expected integers, got names; the model has none");
  }
  if (is_float(labels.dtype())) {
    fail(ErrorCode::kInvalidArgument, "labels: expected integers, got {}", name_of(labels.dtype()));
  }
  if (are_numbers() && indices_.contains(std::to_string(kIgnoredLabel))) {
    fail(ErrorCode::kUnsupported, "labels: the class {} is the label of what does not count",
         kIgnoredLabel);
  }
  Tensor indices(DType::kI32, labels.shape());
  for (int64_t i = 0; i < labels.count(); ++i) {
    int64_t label = 0;
    if (named) {
      label = index_of(labels.data<std::string>()[i]);
    } else {
      label = labels.integer_at(i);
      if (are_numbers() && label != kIgnoredLabel) label = index_of(std::to_string(label));
    }
    const bool wrapped = labels.dtype() == DType::kU64 && label < 0;
    if (label != static_cast<int32_t>(label) || wrapped) {
      fail(ErrorCode::kInvalidArgument, "labels: expected indices of classes, got {}",
           wrapped ? std::to_string(static_cast<uint64_t>(label)) : std::to_string(label));
    }
    indices.set_integer(i, label);
  }
  return indices;
}

Tensor ClassLabels::labels_of(const Tensor& indices) const {
  if (!are_numbers()) return indices;
  Tensor labels(DType::kI64, indices.shape());
  for (int64_t i = 0; i < indices.count(); ++i) {
    labels.set_integer(i, classes_->integer_at(indices.integer_at(i)));
  }
  return labels;
}

void ClassLabels::expect_same(const ClassLabels& teacher) const {
  const auto ours = names(), theirs = teacher.names();
  if (ours.empty() || theirs.empty() || ours == theirs) return;
  fail(ErrorCode::kInvalidArgument, "{}: expected the student's classes {}, got {}",
       setting("teacher"), listed(), teacher.listed());
}

}  // namespace mw::training
