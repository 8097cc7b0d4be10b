// Safetensors, read and written; any file of tensors by its extension.
#include "base/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_write.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/npy_file.h"

namespace mw {
namespace {

constexpr std::array<std::pair<std::string_view, DType>, 14> kSafetensorsDtypes = {
    {{"BOOL", DType::kBool},
     {"F16", DType::kF16},
     {"F32", DType::kF32},
     {"F64", DType::kF64},
     {"BF16", DType::kBF16},
     {"F8_E4M3", DType::kF8E4M3FN},
     {"F8_E5M2", DType::kF8E5M2},
     {"I8", DType::kI8},
     {"I16", DType::kI16},
     {"I32", DType::kI32},
     {"I64", DType::kI64},
     {"U8", DType::kU8},
     {"U16", DType::kU16},
     {"U32", DType::kU32}}};

[[noreturn]] void bad_file(std::string_view what) { fail(ErrorCode::kInvalidArgument, "{}", what); }

Tensor safetensors_entry(const nlohmann::json& entry, std::span<const std::byte> data,
                         const std::shared_ptr<const MappedFile>& file) {
  const std::string dtype_name = entry.at("dtype").get<std::string>();
  const auto* row = std::find_if(kSafetensorsDtypes.begin(), kSafetensorsDtypes.end(),
                                 [&](const auto& r) { return r.first == dtype_name; });
  if (row == kSafetensorsDtypes.end()) {
    fail(ErrorCode::kUnsupported, "dtype {} is not known", dtype_name);
  }
  const auto shape = entry.at("shape").get<Shape>();
  const auto offsets = entry.at("data_offsets").get<std::array<uint64_t, 2>>();
  const int64_t bytes = bytes_of(row->second, count_of(shape));
  if (offsets[0] > offsets[1] || offsets[1] > data.size() ||
      offsets[1] - offsets[0] != static_cast<uint64_t>(bytes)) {
    fail(ErrorCode::kInvalidArgument,
         "data offsets [{}, {}]: expected {} bytes inside the {} of the file", offsets[0],
         offsets[1], bytes, data.size());
  }
  // Copied: offsets need not be aligned for the dtype.
  Tensor tensor(row->second, shape);
  if (bytes > 0) {
    std::memcpy(tensor.mutable_raw(), data.data() + offsets[0], static_cast<size_t>(bytes));
  }
  file->check_intact();
  return tensor;
}

struct Safetensors {
  std::shared_ptr<const MappedFile> file;
  nlohmann::json header;
  std::span<const std::byte> data;
};

Safetensors open_safetensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  uint64_t length = 0;
  if (bytes.size() < 8) bad_file("expected a safetensors file, got fewer than 8 bytes");
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) bad_file("the safetensors header is longer than the file");
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  nlohmann::json header = nlohmann::json::parse(text, text + length, nullptr, false);
  if (!header.is_object()) bad_file("the safetensors header is not a JSON object");
  return {file, std::move(header), bytes.subspan(8 + length)};
}

TensorMap read_safetensors(const std::filesystem::path& path) {
  const Safetensors opened = open_safetensors(path);
  TensorMap tensors;
  for (const auto& [name, entry] : opened.header.items()) {
    if (name == "__metadata__") continue;
    in_context([&] { return fmt::format("tensor '{}'", name); },
               [&] {
                 try {
                   tensors.emplace(name, safetensors_entry(entry, opened.data, opened.file));
                 } catch (const nlohmann::json::exception&) {
                   bad_file("expected dtype, shape and data_offsets in the safetensors header");
                 }
               });
  }
  return tensors;
}

}  // namespace

TensorMap read_tensors(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); },
                    [&]() -> TensorMap {
                      const std::string extension = path.extension().string();
                      if (!std::filesystem::exists(path)) fail(ErrorCode::kIo, "no such file");
                      if (extension == ".safetensors") return read_safetensors(path);
                      if (extension == ".npz") return read_npz(path);
                      if (extension == ".npy") {
                        return {{"", parse_npy(MappedFile::open(path)->bytes())}};
                      }
                      fail(ErrorCode::kInvalidArgument,
                           "expected a .safetensors, .npz or .npy file, got extension '{}'",
                           extension);
                    });
}

std::map<std::string, std::string> safetensors_metadata(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); },
                    [&] {
                      const nlohmann::json header = open_safetensors(path).header;
                      std::map<std::string, std::string> metadata;
                      const auto found = header.find("__metadata__");
                      if (found == header.end() || !found->is_object()) return metadata;
                      for (const auto& [key, value] : found->items()) {
                        if (value.is_string()) metadata[key] = value.get<std::string>();
                      }
                      return metadata;
                    });
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto* row = std::find_if(kSafetensorsDtypes.begin(), kSafetensorsDtypes.end(),
                                   [&](const auto& r) { return r.second == tensor.dtype(); });
    std::string dtype = row != kSafetensorsDtypes.end() ? std::string(row->first) : "";
    if (tensor.dtype() == DType::kU64) dtype = "U64";
    if (dtype.empty()) {
      fail(ErrorCode::kUnsupported, "tensor '{}': safetensors cannot hold {}", name,
           name_of(tensor.dtype()));
    }
    const auto bytes = static_cast<uint64_t>(tensor.nbytes());
    header[name] = {
        {"dtype", dtype}, {"shape", tensor.shape()}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& [name, tensor] : tensors) {
    file.write({static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.nbytes())});
  }
  file.publish();
}

}  // namespace mw
