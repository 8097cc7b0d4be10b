// TensorList: an immutable list of tensors whose changed copies share all but a few nodes with it.
//
//   const TensorList longer = list.with(list.size(), value);  // `list` is as it was
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>

#include "millwright/tensor.hpp"

namespace mw::ir {

// A tree of wide nodes over the indices: with() and reading cost a few node visits whoever else
// holds the list, and what was never written takes no memory.
class TensorList {
 public:
  TensorList() = default;
  explicit TensorList(size_t count) : size_(count) {}  // of elements that were never written
  TensorList(std::initializer_list<Tensor> items);

  [[nodiscard]] size_t size() const { return size_; }
  // empty() where it was never written. Requires index < size().
  [[nodiscard]] const Tensor& operator[](size_t index) const;
  // The list with another element; an index beyond the end makes it longer.
  [[nodiscard]] TensorList with(size_t index, Tensor value) const;
  // The first element that was written; null when there is none.
  [[nodiscard]] const Tensor* first_written() const;

 private:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  static Link replaced(const Node* node, int level, size_t index, Tensor&& value);

  size_t size_ = 0;
  int levels_ = 0;  // of inner nodes above the elements
  Link root_;
};

}  // namespace mw::ir
