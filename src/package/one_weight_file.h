// OneWeightFile: the weights of all parts of a model as if they lay in one file.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "package/link.h"

namespace mw::package {

// Of parts that have the same bytes both get the same place, so that they are one weight. What was
// where is entered into `parts`, which outlives this.
class OneWeightFile {
 public:
  explicit OneWeightFile(Parts& parts) : parts_(parts) {}

  // Those of an op of that part, in its blocks, too.
  void take(size_t part, ir::Operation& op);

 private:
  struct Blob {
    size_t part;
    Tensor value;
    ir::BlobRef ref;
  };
  using Key = std::tuple<DType, int64_t, std::string>;  // elements, and the first bytes

  ir::ConstantPtr constant(size_t part, const ir::ConstantPtr& original);
  const ir::BlobRef& place(size_t part, const ir::Constant& constant);
  ir::BlobRef new_place(size_t part, const Tensor& value);

  Parts& parts_;
  std::unordered_map<ir::ConstantPtr, ir::ConstantPtr> made_;
  std::map<std::pair<size_t, ir::BlobRef>, ir::BlobRef> places_;
  std::map<Key, std::vector<Blob>> blobs_;
  uint64_t end_ = 64;
};

}  // namespace mw::package
