// Which constants of a function are one parameter, and how a parameter is called in every copy of
// its function.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ir/program.h"

namespace mw::ir {

// A constant, or one use of it. It means the same in a copy of the function, also where operations
// were added that do not use the constant.
struct ParameterId {
  std::string value;  // name of the result of a const
  int64_t use = -1;   // its place in uses_in(); -1: the constant as a whole
};

// Every element is the same. Converters give such constants (zero biases, gains of one) one blob
// because their bytes are equal, so sharing it ties nothing.
bool is_one_number(const Tensor& tensor);

// Tied weights: consts that show the same blob are one parameter, whatever their names and shapes.
// The blob of a const that is tied to all others with it; nullopt where there is none, or one
// repeated number in it.
std::optional<BlobRef> tie_of(const Value& value);

// Results of consts by name, nested blocks included. Blocks beside each other may use a name twice:
// the first counts.
std::map<std::string, Value*> constants_by_name(const Function& function);

}  // namespace mw::ir
