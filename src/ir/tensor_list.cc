// TensorList: copying the path from the root to one element.
#include "ir/tensor_list.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace mw::ir {
namespace {

constexpr int kBits = 4;
constexpr size_t kWidth = size_t{1} << kBits;

// Which child of a node with `level` levels below it leads to `index`.
size_t child_at(size_t index, int level) { return (index >> (kBits * level)) % kWidth; }
bool reaches(int levels, size_t index) {
  return levels * kBits >= 64 || (index >> (kBits * levels)) == 0;
}

}  // namespace

// Inner nodes have children, those of level 0 a tensor.
struct TensorList::Node {
  std::unique_ptr<std::array<Link, kWidth>> children;
  Tensor item;
};

TensorList::TensorList(std::initializer_list<Tensor> items) {
  for (const Tensor& item : items) *this = with(size_, item);
}

const Tensor& TensorList::operator[](size_t index) const {
  static const Tensor kNeverWritten;
  MW_CHECK(index < size_);
  if (!reaches(levels_, index)) return kNeverWritten;
  const Node* node = root_.get();
  for (int level = levels_; node != nullptr && level > 0; --level) {
    node = (*node->children)[child_at(index, level - 1)].get();
  }
  return node == nullptr ? kNeverWritten : node->item;
}

TensorList::Link TensorList::replaced(const Node* node, int level, size_t index, Tensor&& value) {
  auto copy = std::make_shared<Node>();
  if (level == 0) {
    copy->item = std::move(value);
    return copy;
  }
  copy->children = node == nullptr ? std::make_unique<std::array<Link, kWidth>>()
                                   : std::make_unique<std::array<Link, kWidth>>(*node->children);
  Link& child = (*copy->children)[child_at(index, level - 1)];
  child = replaced(child.get(), level - 1, index, std::move(value));
  return copy;
}

TensorList TensorList::with(size_t index, Tensor value) const {
  TensorList result = *this;
  while (!reaches(result.levels_, index)) {
    ++result.levels_;
    if (result.root_ == nullptr) continue;
    auto above = std::make_shared<Node>();
    above->children = std::make_unique<std::array<Link, kWidth>>();
    (*above->children)[0] = std::move(result.root_);
    result.root_ = std::move(above);
  }
  result.root_ = replaced(result.root_.get(), result.levels_, index, std::move(value));
  result.size_ = std::max(size_, index + 1);
  return result;
}

const Tensor* TensorList::first_written() const {
  const Node* node = root_.get();
  for (int level = levels_; node != nullptr && level > 0; --level) {
    const Node* next = nullptr;
    for (const Link& child : *node->children) {
      if (child != nullptr && next == nullptr) next = child.get();
    }
    node = next;
  }
  return node == nullptr ? nullptr : &node->item;
}

}  // namespace mw::ir
