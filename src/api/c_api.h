// What the parts of the C API share: the handles, and the one place where exceptions become status
// codes.
#pragma once

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "millwright/millwright.h"
#include "millwright/millwright.hpp"

namespace mw::c_api {

// Of the exception being handled; its sentence becomes the thread's last error.
mw_status status_of_exception();
const char* last_error();
const char* last_error_setting();

template <class Body>
mw_status guarded(const Body& body) {
  try {
    body();
    return MW_OK;
  } catch (...) {
    return status_of_exception();
  }
}

// Throws invalid_argument.
void require(bool condition, const char* message);

// Views of the caller's memory, by name; `function` is told when a name comes twice.
TensorMap wrap_all(const mw_tensor* tensors, size_t count, const char* function);
mw_outputs* outputs_of(const TensorMap& tensors);

// The number behind a C enumeration that a caller may have set to anything.
template <class Enum>
size_t number_of(const Enum& value) {
  unsigned number = 0;
  static_assert(sizeof(number) == sizeof(value));
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

struct Output {
  std::string name;
  Tensor tensor;
  std::vector<const char*> strings;
  mw_tensor view{};
};

}  // namespace mw::c_api

struct mw_model {
  mw::CoreMLModelWrapper model;
  std::vector<std::string> inputs, outputs;
};
namespace mw::c_api {
std::unique_ptr<mw_model> opened(const char* path, const LoadOptions& options);
}  // namespace mw::c_api
struct mw_state {
  mw::State state;
};
struct mw_outputs {
  std::deque<mw::c_api::Output> all;
};
