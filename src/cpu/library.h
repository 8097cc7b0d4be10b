// Library: what computes products, convolutions and means of windows. This build was made with one
// (MW_GEMM chooses it); another one computes nothing and stands in plans that are only read.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cpu/convolution.h"
#include "cpu/matmul.h"

namespace mw::cpu {

// Immutable; lives forever.
class Library {
 public:
  Library() = default;
  virtual ~Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // Whether `op` can be applied inside a product or a convolution.
  [[nodiscard]] virtual bool activates(plan::RowOp op) const = 0;
  // Whether matrices of bf16 are faster multiplied as they are than widened to fp32.
  [[nodiscard]] virtual bool multiplies_bf16() const { return false; }
  // Null when there is no fast implementation for these strides. `like`, of this library, asks for
  // its packing.
  [[nodiscard]] virtual std::unique_ptr<Matmul> matmul(const MatmulShape& shape,
                                                       const Matmul* like = nullptr) const = 0;
  // Takes an activation that follows. Null when there is no fast implementation.
  [[nodiscard]] virtual std::unique_ptr<plan::Kernel> convolution(plan::Claim& claim,
                                                                  const Convolution& c) const = 0;
  // Null when there is no fast implementation.
  [[nodiscard]] virtual std::unique_ptr<plan::Kernel> mean_pooling(plan::Claim& claim,
                                                                   const MeanPooling& p) const = 0;
};

const Library& built_library();
// The same on every machine: takes what any library may take, in memory as the operands have it.
const Library& described_library();
const Library& library_of(const plan::Claim& claim);

// An activation that follows and that the library of the claim can apply.
std::optional<plan::Activation> take_activation(plan::Claim& claim);

// Name and version of the one that this build was made with, e.g. "oneDNN 3.2.1".
std::string library_text();

}  // namespace mw::cpu
