// insert_adapters(): the products of the factors computed beside their weights, which stay as they
// are.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/op_def.h"

namespace mw::adapters {

struct Adapter {
  std::string weight;     // AdaptableWeight::name()
  Tensor a, b;            // fp32
  double scale = 1;       // of their product
  Tensor magnitude = {};  // [outputs], of a weight split into magnitude and direction; else empty
};
std::string name_of_a(const std::string& weight);  // "WEIGHT.lora_A"
std::string name_of_b(const std::string& weight);
std::string name_of_magnitude(const std::string& weight);  // "WEIGHT.lora_magnitude"

// What is trained of an adapter, by name: a, b and, if there is one, the magnitude.
std::vector<std::pair<std::string, const Tensor*>> parts_of(const Adapter& adapter);
std::vector<std::pair<std::string, Tensor*>> parts_of(Adapter& adapter);

// A const that stands for one part of an adapter, and, where there is a magnitude, another with the
// same numbers, of which the length of the adapted weight is computed: as in the paper, gradients
// take that for a constant.
struct InsertedPart {
  std::string name;
  const ir::Operation *trained = nullptr, *still = nullptr;
};
struct InsertedAdapter {
  std::string weight;
  std::vector<InsertedPart> parts;  // a, b and, if there is one, the magnitude
};

// Adds the product of the factors beside every site of the named weights, which can be adapted, and
// scales the sum where there is a magnitude; the factors become consts at the beginning of the
// function. Weights stay as they are, and no product is as large as one of them. To be trained, the
// lengths of the adapted weights are computed in the function, else they are constants of it.
enum class Inserted : uint8_t { kToTrain, kToRun };
std::vector<InsertedAdapter> insert_adapters(ir::Function& function, const ir::Catalog& catalog,
                                             const std::vector<Adapter>& adapters, Inserted how);

}  // namespace mw::adapters
