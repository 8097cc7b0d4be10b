// Readers for safetensors, npy and npz; the safetensors writer.
#include "base/tensor_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"

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

std::string_view header_field(std::string_view header, std::string_view key) {
  const size_t at = header.find("'" + std::string(key) + "'");
  const size_t colon = at == std::string_view::npos ? at : header.find(':', at);
  if (colon == std::string_view::npos) {
    fail(ErrorCode::kInvalidArgument, "the npy header has no {}", key);
  }
  const size_t begin = header.find_first_not_of(' ', colon + 1);
  return begin == std::string_view::npos ? std::string_view() : header.substr(begin);
}

DType npy_dtype(std::string_view descr) {
  constexpr std::array<std::pair<std::string_view, DType>, 12> kRows = {{{"b1", DType::kBool},
                                                                         {"f2", DType::kF16},
                                                                         {"f4", DType::kF32},
                                                                         {"f8", DType::kF64},
                                                                         {"i1", DType::kI8},
                                                                         {"i2", DType::kI16},
                                                                         {"i4", DType::kI32},
                                                                         {"i8", DType::kI64},
                                                                         {"u1", DType::kU8},
                                                                         {"u2", DType::kU16},
                                                                         {"u4", DType::kU32},
                                                                         {"u8", DType::kU64}}};
  // descr is "'<f4', ..." with the byte order in front
  if (descr.size() >= 5 && descr[0] == '\'' && (descr[1] == '<' || descr[1] == '|')) {
    for (const auto& [name, dtype] : kRows) {
      if (descr.substr(2, 2) == name && descr[4] == '\'') return dtype;
    }
  }
  fail(ErrorCode::kUnsupported, "npy dtype {}: expected a little-endian number or bool",
       descr.substr(0, 6));
}

Shape npy_shape(std::string_view text) {
  const size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || close == std::string_view::npos) {
    bad_file("the npy header's shape is broken");
  }
  Shape shape;
  int64_t value = -1;
  for (const char c : text.substr(1, close)) {
    if (c >= '0' && c <= '9') {
      value = (value < 0 ? 0 : value) * 10 + (c - '0');
      if (value > (int64_t{1} << 48)) bad_file("the npy header's shape is too large");
    } else if (value >= 0) {
      shape.push_back(value);
      value = -1;
    }
    if (shape.size() > 16) bad_file("the npy header's shape has more than 16 axes");
  }
  return shape;
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Tensor parse_npy(std::span<const std::byte> bytes) {
  const auto* raw = reinterpret_cast<const char*>(bytes.data());
  if (bytes.size() < 12 || std::memcmp(raw, "\x93NUMPY", 6) != 0) bad_file("expected an npy array");
  const bool wide = raw[6] >= 2;
  uint32_t length = 0;
  std::memcpy(&length, raw + 8, wide ? 4 : 2);
  const size_t start = wide ? 12 : 10;
  if (length > bytes.size() - start) bad_file("the npy header is longer than the file");
  const std::string_view header(raw + start, length);
  if (header_field(header, "fortran_order").substr(0, 4) == "True") {
    bad_file("the array is in Fortran order; save it with numpy.ascontiguousarray");
  }
  Tensor tensor(npy_dtype(header_field(header, "descr")), Shape{0});
  const Shape shape = npy_shape(header_field(header, "shape"));
  const int64_t wanted = bytes_of(tensor.dtype(), count_of(shape));
  if (static_cast<uint64_t>(wanted) > bytes.size() - start - length) {
    fail(ErrorCode::kInvalidArgument, "npy data: expected {} bytes for shape {}, got {}", wanted,
         to_string(shape), bytes.size() - start - length);
  }
  tensor = Tensor(tensor.dtype(), shape);
  if (wanted > 0) {
    std::memcpy(tensor.mutable_raw(), raw + start + length, static_cast<size_t>(wanted));
  }
  return tensor;
}

constexpr zip_uint64_t kMaxEntry = zip_uint64_t{4} << 30;

TensorMap read_npz(const std::filesystem::path& path) {
  int code = 0;
  const std::unique_ptr<zip_t, int (*)(zip_t*)> archive(zip_open(path.c_str(), ZIP_RDONLY, &code),
                                                        [](zip_t* z) { return zip_close(z); });
  if (!archive) bad_file("expected an npz archive (a zip file)");
  TensorMap tensors;
  const zip_int64_t entries = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < entries; ++i) {
    zip_stat_t info;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), 0, &info) != 0) {
      bad_file("the npz archive is damaged");
    }
    std::string name = info.name;
    in_context([&] { return fmt::format("array '{}'", name); },
               [&] {
                 if (info.size > kMaxEntry) bad_file("the array is larger than 4 GiB");
                 const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> entry(
                     zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(i), 0), zip_fclose);
                 if (!entry) bad_file("the npz archive is damaged");
                 std::vector<std::byte> bytes;
                 std::array<std::byte, 1 << 16> chunk;
                 // Grows with what is really there, not with what the directory claims.
                 for (zip_int64_t got = 0;
                      (got = zip_fread(entry.get(), chunk.data(), chunk.size())) != 0;) {
                   if (got < 0 || bytes.size() > info.size) bad_file("the npz archive is damaged");
                   bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + got);
                 }
                 if (name.ends_with(".npy")) name.resize(name.size() - 4);
                 tensors.emplace(name, parse_npy(bytes));
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

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  const std::string temporary = fmt::format("{}.tmp-{}", path.string(), getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail(ErrorCode::kIo, "{}: cannot write: {}", path.string(), std::strerror(errno));
  const char* at = bytes.data();
  size_t left = bytes.size();
  bool good = true;
  while (good && left > 0) {
    const ssize_t wrote = ::write(fd, at, left);
    if (wrote < 0 && errno == EINTR) continue;
    good = wrote > 0;
    if (good) {
      at += wrote;
      left -= static_cast<size_t>(wrote);
    }
  }
  good = good && fsync(fd) == 0;
  int reason = errno;
  ::close(fd);
  if (good && ::rename(temporary.c_str(), path.c_str()) == 0) return;
  if (good) reason = errno;
  ::unlink(temporary.c_str());
  fail(ErrorCode::kIo, "{}: cannot write: {}; what was there before is unchanged", path.string(),
       std::strerror(reason));
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
  std::string file(reinterpret_cast<const char*>(&length), 8);
  file += text;
  file.reserve(file.size() + offset);
  for (const auto& [name, tensor] : tensors) {
    file.append(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.nbytes()));
  }
  write_file_atomically(path, file);
}

}  // namespace mw
