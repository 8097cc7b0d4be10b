// The C API of models and predictions, and what all of the C API stands on.
#include "api/c_api.h"

#include <iterator>

#include "base/error.h"

namespace mw::c_api {
namespace {

thread_local std::string g_error, g_setting;  // NOLINT: the C API's per-thread message

mw_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidModel:
      return MW_INVALID_MODEL;
    case ErrorCode::kInvalidArgument:
      return MW_INVALID_ARGUMENT;
    case ErrorCode::kUnsupported:
      return MW_UNSUPPORTED;
    case ErrorCode::kIo:
      return MW_IO;
    case ErrorCode::kOutOfMemory:
      return MW_OUT_OF_MEMORY;
    case ErrorCode::kInternal:
      return MW_INTERNAL;
  }
  return MW_INTERNAL;
}

// In the order of mw_dtype.
constexpr DType kDtypes[] = {DType::kBool, DType::kF16, DType::kF32,   DType::kF64, DType::kI8,
                             DType::kI16,  DType::kI32, DType::kI64,   DType::kU8,  DType::kU16,
                             DType::kU32,  DType::kU64, DType::kString};

mw_dtype c_dtype(DType dtype) {
  for (size_t i = 0; i < std::size(kDtypes); ++i) {
    if (kDtypes[i] == dtype) return static_cast<mw_dtype>(i);
  }
  throw Error(ErrorCode::kUnsupported,
              "the C API has no code for dtype " + std::string(name_of(dtype)));
}

constexpr size_t kMaxRank = 64;

struct Text : mw_text {
  std::string held;
};

}  // namespace

mw_status status_of_exception() {
  const Error error = current_error();
  g_error = error.what();
  g_setting = error.setting();
  return status_of(error.code());
}

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  return pointers;
}

void require(bool condition, const char* message) {
  if (!condition) throw Error(ErrorCode::kInvalidArgument, message);
}

Tensor wrap(const mw_tensor& tensor) {
  require(tensor.rank <= kMaxRank, "an input tensor has more than 64 dimensions");
  require(tensor.rank == 0 || tensor.shape != nullptr, "an input tensor has a rank but no shape");
  require(number_of(tensor.dtype) < static_cast<size_t>(MW_STRING),
          "an input tensor has an unknown dtype");
  Shape shape(tensor.shape, tensor.shape + tensor.rank);
  require(tensor.data != nullptr || count_of(shape) == 0, "an input tensor has no data");
  return {kDtypes[number_of(tensor.dtype)], std::move(shape), nullptr, tensor.data};
}

TensorMap wrap_all(const mw_tensor* tensors, size_t count, const char* function) {
  TensorMap named;
  for (size_t i = 0; i < count; ++i) {
    require(tensors[i].name != nullptr, "an input tensor has no name");
    Tensor tensor = wrap(tensors[i]);
    if (named.emplace(tensors[i].name, std::move(tensor)).second) continue;
    throw Error(ErrorCode::kInvalidArgument,
                std::string(function) + ": '" + tensors[i].name + "' is given twice");
  }
  return named;
}

mw_outputs* outputs_of(const TensorMap& tensors) {
  auto made = std::make_unique<mw_outputs>();
  for (const auto& [name, tensor] : tensors) {
    Output& output = made->all.emplace_back(Output{name, tensor, {}, {}});
    const void* data = output.tensor.raw();
    if (output.tensor.dtype() == DType::kString) {
      for (const std::string& text : output.tensor.values<std::string>()) {
        output.strings.push_back(text.c_str());
      }
      data = output.strings.data();
    }
    output.view = {output.name.c_str(), c_dtype(output.tensor.dtype()),
                   output.tensor.shape().size(), output.tensor.shape().data(), data};
  }
  return made.release();
}

const mw_text* text_of(std::string text) {
  auto made = std::make_unique<Text>();
  made->held = std::move(text);
  made->bytes = made->held.c_str();
  made->length = made->held.size();
  return made.release();
}

const char* last_error() { return g_error.c_str(); }
const char* last_error_setting() { return g_setting.c_str(); }

}  // namespace mw::c_api

using mw::c_api::guarded;
using mw::c_api::number_of;
using mw::c_api::require;

const char* mw_last_error(void) { return mw::c_api::last_error(); }
const char* mw_last_error_setting(void) { return mw::c_api::last_error_setting(); }
const char* mw_version(void) { return MW_VERSION; }
void mw_text_free(const mw_text* text) { delete static_cast<const mw::c_api::Text*>(text); }

mw_status mw_model_load(const char* path, const mw_load_options* options, mw_model** model) {
  return guarded([&] {
    require(path != nullptr && model != nullptr, "mw_model_load: path and model must not be NULL");
    mw::LoadOptions load;
    if (options != nullptr) {
      if (options->function != nullptr) load.function = options->function;
      if (options->adapter != nullptr) load.adapter = options->adapter;
      if (options->device != nullptr) load.device = options->device;
      load.threads = options->threads;
      constexpr mw::Compute kComputes[] = {mw::Compute::kFp32, mw::Compute::kFp64,
                                           mw::Compute::kFp16, mw::Compute::kBf16};
      require(number_of(options->compute) < std::size(kComputes),
              "mw_model_load: unknown compute mode");
      load.compute = kComputes[number_of(options->compute)];
    }
    *model = mw::c_api::opened(path, load).release();
  });
}
void mw_model_free(mw_model* model) { delete model; }

mw_status mw_model_make_state(const mw_model* model, mw_state** state) {
  return guarded([&] {
    require(model != nullptr && state != nullptr,
            "mw_model_make_state: model and state must not be NULL");
    *state = new mw_state{model->model.make_state()};
  });
}
mw_status mw_state_get(const mw_state* state, const char* name, mw_outputs** value) {
  return guarded([&] {
    require(state != nullptr && name != nullptr && value != nullptr,
            "mw_state_get: state, name and value must not be NULL");
    *value = mw::c_api::outputs_of({{name, state->state.get(name)}});
  });
}
mw_status mw_state_set(mw_state* state, const mw_tensor* value) {
  return guarded([&] {
    require(state != nullptr && value != nullptr, "mw_state_set: state and value must not be NULL");
    for (const auto& [name, tensor] : mw::c_api::wrap_all(value, 1, "mw_state_set")) {
      state->state.set(name, tensor);
    }
  });
}
void mw_state_reset(mw_state* state) {
  if (state != nullptr) state->state.reset();
}
void mw_state_free(mw_state* state) { delete state; }

mw_status mw_model_predict(const mw_model* model, mw_state* state, const mw_tensor* inputs,
                           size_t input_count, mw_outputs** outputs) {
  return guarded([&] {
    require(model != nullptr && outputs != nullptr && (inputs != nullptr || input_count == 0),
            "mw_model_predict: model, inputs and outputs must not be NULL");
    const mw::TensorMap named = mw::c_api::wrap_all(inputs, input_count, "mw_model_predict");
    *outputs = mw::c_api::outputs_of(
        model->model.predict(named, state == nullptr ? nullptr : &state->state, {}));
  });
}
mw_status mw_model_forward(const mw_model* model, const mw_tensor* ids, mw_outputs** logits) {
  return guarded([&] {
    require(model != nullptr && ids != nullptr && logits != nullptr,
            "mw_model_forward: model, ids and logits must not be NULL");
    *logits = mw::c_api::outputs_of({{"logits", model->model.forward(mw::c_api::wrap(*ids))}});
  });
}
size_t mw_outputs_count(const mw_outputs* outputs) {
  return outputs == nullptr ? 0 : outputs->all.size();
}
const mw_tensor* mw_outputs_at(const mw_outputs* outputs, size_t index) {
  return index < mw_outputs_count(outputs) ? &outputs->all[index].view : nullptr;
}
const mw_tensor* mw_outputs_find(const mw_outputs* outputs, const char* name) {
  for (size_t i = 0; name != nullptr && i < mw_outputs_count(outputs); ++i) {
    if (outputs->all[i].name == name) return &outputs->all[i].view;
  }
  return nullptr;
}
void mw_outputs_free(mw_outputs* outputs) { delete outputs; }
