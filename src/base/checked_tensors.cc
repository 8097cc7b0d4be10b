// A text and a checksum beside tensors, as tensors themselves.
#include "base/checked_tensors.h"

#include <cstring>

#include "base/checksum.h"
#include "base/error.h"
#include "base/tensor_file.h"

namespace mw {
namespace {

int64_t checksum_of(const TensorMap& tensors, const CheckedNames& names) {
  Checksum sum;
  for (const auto& [name, tensor] : tensors) {
    if (name == names.checksum) continue;
    sum.add(name).add(name_of(tensor.dtype())).add(to_string(tensor.shape()));
    sum.add(tensor.raw(), static_cast<size_t>(tensor.nbytes()));
  }
  return static_cast<int64_t>(sum.value());
}

}  // namespace

void write_checked(const std::filesystem::path& path, const CheckedTensors& content,
                   const CheckedNames& names) {
  TensorMap tensors = content.tensors;
  Tensor bytes(DType::kU8, {static_cast<int64_t>(content.text.size())});
  if (!content.text.empty()) {
    std::memcpy(bytes.mutable_raw(), content.text.data(), content.text.size());
  }
  tensors[names.text] = std::move(bytes);
  tensors[names.checksum] = Tensor::scalar(checksum_of(tensors, names));
  write_safetensors(path, tensors);
}

CheckedTensors read_checked(const std::filesystem::path& path, const CheckedNames& names) {
  TensorMap tensors = read_safetensors(path);
  const auto text = tensors.find(names.text), checksum = tensors.find(names.checksum);
  if (text == tensors.end() || checksum == tensors.end() || text->second.dtype() != DType::kU8 ||
      checksum->second.dtype() != DType::kI64 || checksum->second.count() != 1) {
    fail(ErrorCode::kInvalidArgument, "no {} and {} in it", names.text, names.checksum);
  }
  if (checksum->second.integer_at(0) != checksum_of(tensors, names)) {
    fail(ErrorCode::kInvalidArgument, "its checksum is not that of its contents");
  }
  CheckedTensors content;
  content.text.assign(static_cast<const char*>(text->second.raw()),
                      static_cast<size_t>(text->second.nbytes()));
  tensors.erase(names.text);
  tensors.erase(names.checksum);
  content.tensors = std::move(tensors);
  return content;
}

}  // namespace mw
