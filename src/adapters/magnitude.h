// Magnitudes beside directions (DoRA, Liu et al. 2024): each output of a weight with its adapter is
// brought to a length of its own.
//
//   y = g (W x + s B A x),  g = m / |W + s B A|    one length and one m per output
#pragma once

#include <vector>

#include "adapters/insert.h"
#include "adapters/sites.h"

namespace mw::adapters {

// The numbers of a weight, decoded where it is compressed.
Tensor value_of(const AdaptableWeight& weight, const ir::Function& function,
                const ir::Catalog& catalog);

// The squared lengths of what belongs to each output, in fp64; `value` lies as the weight does.
std::vector<double> squared_lengths(const AdaptableWeight& weight, const Tensor& value);

// The lengths in fp32, with which an adapter begins: [outputs].
Tensor lengths_of(const AdaptableWeight& weight, const Tensor& value);

// g of each output, in fp64, for the numbers of the weight. 1 where nothing is added and the
// magnitude is the length that was there, and where all is zero.
std::vector<double> factors_of(const AdaptableWeight& weight, const Tensor& value,
                               const Adapter& adapter);

// Multiplies what belongs to each output by its factor; `numbers` are fp64.
void scale_outputs(const AdaptableWeight& weight, const std::vector<double>& factors,
                   Tensor& numbers);

}  // namespace mw::adapters
