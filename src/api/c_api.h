// What the parts of the C API share: the handles, and the one place where exceptions become status
// codes.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
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

// A view of the caller's memory.
Tensor wrap(const mw_tensor& tensor);
// The same by name; `function` is told when a name comes twice.
TensorMap wrap_all(const mw_tensor* tensors, size_t count, const char* function);
mw_outputs* outputs_of(const TensorMap& tensors);
// To be freed by mw_text_free().
const mw_text* text_of(std::string text);

// What a callback answers; what one of C++ throws, in a sentence that begins with `what`: no
// exception passes the borders of C.
template <class F>
int answer_of(const char* what, const F& callback) {
  try {
    return callback();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    fail(ErrorCode::kInvalidArgument, "{}: the callback threw: {}", what, e.what());
  } catch (...) {
    fail(ErrorCode::kInvalidArgument, "{}: the callback threw something", what);
  }
}
std::vector<const char*> pointers_to(const std::vector<std::string>& texts);

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

// Descriptions, and views of them that C reads.
class Features {
 public:
  explicit Features(std::vector<FeatureDescription> features);
  Features(const Features&) = delete;
  Features& operator=(const Features&) = delete;
  ~Features() = default;

  [[nodiscard]] size_t count() const { return views_.size(); }
  // Null when out of range.
  [[nodiscard]] const mw_feature* at(size_t index) const {
    return index < views_.size() ? &views_[index] : nullptr;
  }

 private:
  std::vector<FeatureDescription> features_;
  std::deque<std::vector<mw_range>> ranges_;
  std::deque<std::vector<mw_shape>> shapes_;
  std::vector<mw_feature> views_;
};

}  // namespace mw::c_api

struct mw_model {
  mw::CoreMLModelWrapper model;
  mw::c_api::Features inputs, outputs, states;
  std::string function;
  std::vector<std::string> functions;
  std::map<std::string, std::string> metadata;
  std::vector<mw_metadata> metadata_views;
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
