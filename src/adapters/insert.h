// insert_adapters(): the products of the factors computed beside their weights, which stay as they
// are.
#pragma once

#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::adapters {

struct Adapter {
  std::string weight;  // AdaptableWeight::name()
  Tensor a, b;         // fp32
  double scale = 1;    // of their product
};
std::string name_of_a(const std::string& weight);  // "WEIGHT.lora_A"
std::string name_of_b(const std::string& weight);

struct InsertedAdapter {
  std::string weight;
  const ir::Operation *a = nullptr, *b = nullptr;  // consts
};

// Adds the product of the factors beside every site of the named weights, which can be adapted; the
// factors become consts at the beginning of the function. Weights stay as they are.
std::vector<InsertedAdapter> insert_adapters(ir::Function& function, const ir::Catalog& catalog,
                                             const std::vector<Adapter>& adapters);

}  // namespace mw::adapters
