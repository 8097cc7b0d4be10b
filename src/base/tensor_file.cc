// Safetensors, read and written; any file of tensors by its extension.
#include "base/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/atomic_write.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/memory.h"
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

// Whole numbers that are written as such: 2.5, 1e3 and -1 are none.
std::vector<uint64_t> whole_numbers(const nlohmann::json& list, const char* what) {
  const bool good = list.is_array() && std::all_of(list.begin(), list.end(), [](const auto& n) {
                      return n.is_number_unsigned();
                    });
  if (!good) {
    fail(ErrorCode::kInvalidArgument, "{}: expected whole numbers, got {}", what,
         list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 100));
  }
  return list.get<std::vector<uint64_t>>();
}

// A tensor as the header describes it.
struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0, end = 0;  // in the data
};

Entry entry_of(const std::string& name, const nlohmann::json& described, uint64_t data_bytes) {
  Entry entry{name};
  const std::string dtype_name = described.at("dtype").get<std::string>();
  const auto* row = std::find_if(kSafetensorsDtypes.begin(), kSafetensorsDtypes.end(),
                                 [&](const auto& r) { return r.first == dtype_name; });
  if (row == kSafetensorsDtypes.end()) {
    fail(ErrorCode::kUnsupported, "dtype {} is not known", dtype_name);
  }
  entry.dtype = row->second;
  for (const uint64_t extent : whole_numbers(described.at("shape"), "shape")) {
    constexpr uint64_t kMost = uint64_t{1} << 62;
    if (extent > kMost) fail(ErrorCode::kInvalidArgument, "shape: {} is too large", extent);
    entry.shape.push_back(static_cast<int64_t>(extent));
  }
  const std::vector<uint64_t> offsets = whole_numbers(described.at("data_offsets"), "data_offsets");
  if (offsets.size() != 2) {
    fail(ErrorCode::kInvalidArgument, "data_offsets: expected 2 numbers, got {}", offsets.size());
  }
  entry.begin = offsets[0];
  entry.end = offsets[1];
  const int64_t bytes = bytes_of(entry.dtype, count_of(entry.shape));
  if (entry.begin > entry.end || entry.end > data_bytes ||
      entry.end - entry.begin != static_cast<uint64_t>(bytes)) {
    fail(ErrorCode::kInvalidArgument,
         "data offsets [{}, {}]: expected {} bytes inside the {} of the file", entry.begin,
         entry.end, bytes, data_bytes);
  }
  return entry;
}

struct Safetensors {
  std::shared_ptr<const MappedFile> file;
  nlohmann::json header;
  std::span<const std::byte> data;
};

// Of a name that comes twice, a reader sees the first and another the last.
nlohmann::json parse_header(std::string_view text) {
  std::vector<std::set<std::string>> open;
  std::string twice;
  const auto watch = [&](int /*depth*/, nlohmann::json::parse_event_t event,
                         const nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::object_start) open.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) open.pop_back();
    if (event == nlohmann::json::parse_event_t::key &&
        !open.back().insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  nlohmann::json header = nlohmann::json::parse(text.begin(), text.end(), watch, false);
  if (!header.is_object()) bad_file("the safetensors header is not a JSON object");
  if (!twice.empty()) {
    fail(ErrorCode::kInvalidArgument, "the safetensors header says '{}' twice", twice);
  }
  return header;
}

Safetensors open_safetensors(const std::filesystem::path& path) {
  constexpr uint64_t kLongestHeader = 100'000'000;  // as in the format's own library
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  uint64_t length = 0;
  if (bytes.size() < 8) bad_file("expected a safetensors file, got fewer than 8 bytes");
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) bad_file("the safetensors header is longer than the file");
  if (length > kLongestHeader) {
    fail(ErrorCode::kInvalidArgument, "the safetensors header: expected at most {} bytes, got {}",
         kLongestHeader, length);
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  return {file, parse_header({text, static_cast<size_t>(length)}), bytes.subspan(8 + length)};
}

// Tensors that share bytes would take many times the memory that the file has.
void expect_apart(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& entry) { return entry.begin == entry.end; });
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].begin >= entries[i - 1].end) continue;
    fail(ErrorCode::kInvalidArgument, "tensors '{}' and '{}': expected bytes of their own",
         entries[i - 1].name, entries[i].name);
  }
}

TensorMap parse_safetensors(const std::filesystem::path& path) {
  const Safetensors opened = open_safetensors(path);
  std::vector<Entry> entries;
  int64_t bytes = 0;
  for (const auto& [name, described] : opened.header.items()) {
    if (name == "__metadata__") continue;
    in_context([&, &key = name] { return fmt::format("tensor '{}'", key); },
               [&, &key = name, &value = described] {
                 try {
                   entries.push_back(entry_of(key, value, opened.data.size()));
                 } catch (const nlohmann::json::exception&) {
                   bad_file("expected dtype, shape and data_offsets in the safetensors header");
                 }
               });
    bytes += static_cast<int64_t>(entries.back().end - entries.back().begin);
  }
  expect_apart(entries);
  expect_memory(bytes, "what is in the file");
  TensorMap tensors;
  for (const Entry& entry : entries) {
    // Copied: offsets need not be aligned for the dtype.
    Tensor tensor(entry.dtype, entry.shape);
    const size_t size = entry.end - entry.begin;
    if (size > 0) std::memcpy(tensor.mutable_raw(), opened.data.data() + entry.begin, size);
    tensors.emplace(entry.name, std::move(tensor));
    opened.file->check_intact();
  }
  return tensors;
}

}  // namespace

TensorMap read_tensors(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); },
                    [&]() -> TensorMap {
                      const std::string extension = path.extension().string();
                      std::error_code error;
                      if (!std::filesystem::exists(path, error) && !error) {
                        fail(ErrorCode::kIo, "no such file");
                      }
                      if (extension == ".safetensors") return parse_safetensors(path);
                      if (extension == ".npz") return read_npz(path);
                      if (extension == ".npy") {
                        return {{"", parse_npy(MappedFile::open(path)->bytes())}};
                      }
                      fail(ErrorCode::kInvalidArgument,
                           "expected a .safetensors, .npz or .npy file, got extension '{}'",
                           extension);
                    });
}

TensorMap read_safetensors(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); }, [&] { return parse_safetensors(path); });
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

Shapes safetensors_shapes(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); },
                    [&] {
                      const nlohmann::json header = open_safetensors(path).header;
                      Shapes shapes;
                      for (const auto& [name, entry] : header.items()) {
                        if (name == "__metadata__") continue;
                        try {
                          shapes[name] = entry.at("shape").get<Shape>();
                        } catch (const nlohmann::json::exception&) {
                          fail(ErrorCode::kInvalidArgument,
                               "tensor '{}': expected a shape in the safetensors header", name);
                        }
                      }
                      return shapes;
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
