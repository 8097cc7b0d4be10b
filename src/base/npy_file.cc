// Readers for npy and npz, and the npz writer.
#include "base/npy_file.h"

#include <zip.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <utility>

#include "base/atomic_write.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/memory.h"
#include "base/tensor_file.h"

namespace mw {
namespace {

[[noreturn]] void bad_file(std::string_view what) { fail(ErrorCode::kInvalidArgument, "{}", what); }

constexpr std::array<std::pair<std::string_view, DType>, 12> kDescriptors = {{{"b1", DType::kBool},
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

std::string_view header_field(std::string_view header, std::string_view key) {
  const size_t at = header.find(fmt::format("'{}'", key));
  const size_t colon = at == std::string_view::npos ? at : header.find(':', at);
  if (colon == std::string_view::npos) {
    fail(ErrorCode::kInvalidArgument, "the npy header has no {}", key);
  }
  const size_t begin = header.find_first_not_of(' ', colon + 1);
  return begin == std::string_view::npos ? std::string_view() : header.substr(begin);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The number at the front of `text`, which loses its digits.
int64_t take_number(std::string_view& text, std::string_view what) {
  constexpr int64_t kMost = int64_t{1} << 48;
  if (text.empty() || !is_digit(text[0])) {
    fail(ErrorCode::kInvalidArgument, "the npy header's {}: expected a whole number, got '{}'",
         what, text.substr(0, std::min<size_t>(12, text.find_first_of(",)"))));
  }
  int64_t value = 0;
  while (!text.empty() && is_digit(text[0])) {
    value = value * 10 + (text[0] - '0');
    if (value > kMost) fail(ErrorCode::kInvalidArgument, "the npy header's {} is too large", what);
    text.remove_prefix(1);
  }
  return value;
}

struct Element {
  DType dtype = DType::kF32;
  int64_t characters = 0;  // of each string, four bytes each
};

// descr is "'<f4', ..." with the byte order in front.
Element element_of(std::string_view descr) {
  const std::string_view name = descr.size() > 1 ? descr.substr(1, descr.find('\'', 1) - 1) : descr;
  if (!descr.starts_with('\'') || name.size() < 2) bad_file("the npy header's descr is broken");
  if (name.starts_with("<U")) {
    std::string_view rest = name.substr(2);
    const Element text = {DType::kString, take_number(rest, "descr")};
    if (rest.empty()) return text;
  }
  if (name[0] == '<' || name[0] == '|') {
    for (const auto& [known, dtype] : kDescriptors) {
      if (name.substr(1) == known) return {dtype};
    }
  }
  fail(ErrorCode::kUnsupported, "npy dtype '{}': expected a little-endian number, bool or text",
       name);
}

// "(2, 3), ..." or "(), ..."
Shape shape_of(std::string_view text) {
  if (!text.starts_with('(')) bad_file("the npy header's shape is broken");
  text.remove_prefix(1);
  const auto skip = [&](char c) {
    const bool there = text.starts_with(c);
    if (there) text.remove_prefix(1);
    return there;
  };
  Shape shape;
  while (!skip(')')) {
    while (skip(' ')) {
    }
    shape.push_back(take_number(text, "shape"));
    if (shape.size() > 16) bad_file("the npy header's shape has more than 16 axes");
    while (skip(' ')) {
    }
    if (!skip(',') && !text.starts_with(')')) bad_file("the npy header's shape is broken");
    while (skip(' ')) {
    }
  }
  return shape;
}

void append_utf8(std::string& text, uint32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// numpy fills shorter texts up with zeros.
std::string text_of(const std::byte* at, int64_t characters) {
  std::string text;
  size_t end = 0;
  for (int64_t i = 0; i < characters; ++i) {
    uint32_t code = 0;
    std::memcpy(&code, at + 4 * i, 4);
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      fail(ErrorCode::kInvalidArgument, "npy data: {:#x} is no character", code);
    }
    append_utf8(text, code);
    if (code != 0) end = text.size();
  }
  text.resize(end);
  return text;
}

// The characters of UTF-8; a byte that is part of none becomes U+FFFD.
std::u32string characters_of(std::string_view text) {
  constexpr char32_t kUnknown = 0xFFFD;
  std::u32string characters;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    const int tails = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    char32_t code = tails == 0 ? first : first & (0x3F >> tails);
    bool whole = first < 0x80 || (first >= 0xC2 && first < 0xF5);
    size_t at = i;
    for (int k = 0; whole && k < tails; ++k, ++at) {
      whole = at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
      if (whole) code = code << 6 | (static_cast<unsigned char>(text[at]) & 0x3F);
    }
    characters += whole ? code : kUnknown;
    if (whole) i = at;
  }
  return characters;
}

std::string descriptor_of(DType dtype, size_t characters) {
  if (dtype == DType::kString) return fmt::format("<U{}", characters);
  for (const auto& [name, known] : kDescriptors) {
    if (known == dtype) return fmt::format("{}{}", bit_width(dtype) == 8 ? "|" : "<", name);
  }
  fail(ErrorCode::kUnsupported, "numpy has no {}; a .safetensors file can hold it", name_of(dtype));
}

std::string npy_of(const Tensor& tensor) {
  std::vector<std::u32string> texts;
  size_t characters = 1;
  if (tensor.dtype() == DType::kString) {
    for (const std::string& text : tensor.values<std::string>()) {
      characters = std::max(characters, texts.emplace_back(characters_of(text)).size());
    }
  }
  std::string shape = "(";
  for (const int64_t extent : tensor.shape()) shape += fmt::format("{},", extent);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}), }}",
                                   descriptor_of(tensor.dtype(), characters), shape);
  constexpr size_t kBefore = 10, kAlignment = 64;
  header.append(kAlignment - (kBefore + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  for (std::u32string& text : texts) {
    text.resize(characters);
    file.append(reinterpret_cast<const char*>(text.data()), 4 * characters);
  }
  if (tensor.dtype() != DType::kString) {
    file.append(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.nbytes()));
  }
  return file;
}

using Source = std::unique_ptr<zip_source_t, decltype(&zip_source_free)>;

[[noreturn]] void no_archive() { fail(ErrorCode::kOutOfMemory, "the npz archive cannot be made"); }

// The bytes of a zip archive of `entries`, none of them compressed, as numpy.savez() makes it.
std::string zip_of(const std::deque<std::pair<std::string, std::string>>& entries) {
  constexpr time_t kLongAgo = 315619200;  // 1980-01-02: the same file for the same tensors
  const Source target(zip_source_buffer_create(nullptr, 0, 0, nullptr), zip_source_free);
  if (!target) no_archive();
  zip_source_keep(target.get());
  std::unique_ptr<zip_t, decltype(&zip_discard)> archive(
      zip_open_from_source(target.get(), ZIP_TRUNCATE, nullptr), zip_discard);
  if (!archive) {
    zip_source_free(target.get());
    no_archive();
  }
  for (const auto& [name, bytes] : entries) {
    zip_source_t* source = zip_source_buffer(archive.get(), bytes.data(), bytes.size(), 0);
    if (source == nullptr) no_archive();
    const zip_int64_t index = zip_file_add(archive.get(), name.c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
      zip_source_free(source);
      fail(ErrorCode::kInvalidArgument, "array '{}': no name for an npz archive", name);
    }
    const auto at = static_cast<zip_uint64_t>(index);
    if (zip_set_file_compression(archive.get(), at, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_mtime(archive.get(), at, kLongAgo, 0) != 0) {
      no_archive();
    }
  }
  if (zip_close(archive.get()) != 0) no_archive();
  (void)archive.release();
  zip_stat_t info;
  if (zip_source_stat(target.get(), &info) != 0 || zip_source_open(target.get()) != 0) no_archive();
  std::string file(info.size, '\0');
  const zip_int64_t got = zip_source_read(target.get(), file.data(), file.size());
  zip_source_close(target.get());
  if (got < 0 || static_cast<size_t>(got) != file.size()) no_archive();
  return file;
}

}  // namespace

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
  const std::string_view order = header_field(header, "fortran_order");
  if (order.starts_with("True")) {
    bad_file("the array is in Fortran order; save it with numpy.ascontiguousarray");
  }
  if (!order.starts_with("False")) bad_file("the npy header's fortran_order is broken");
  const Element element = element_of(header_field(header, "descr"));
  const Shape shape = shape_of(header_field(header, "shape"));
  const int64_t count = count_of(shape);
  int64_t wanted = 0;
  if (element.dtype != DType::kString) {
    wanted = bytes_of(element.dtype, count);
  } else if (__builtin_mul_overflow(count, 4 * element.characters, &wanted)) {
    bad_file("the npy header's shape is too large");
  }
  const auto data = bytes.subspan(start + length);
  if (static_cast<uint64_t>(wanted) > data.size()) {
    fail(ErrorCode::kInvalidArgument, "npy data: expected {} bytes for shape {}, got {}", wanted,
         to_string(shape), data.size());
  }
  if (wanted == 0 && count > static_cast<int64_t>(bytes.size())) {
    bad_file("the npy header's shape is too large");  // many texts of no characters
  }
  Tensor tensor(element.dtype, shape);
  if (element.dtype == DType::kString) {
    for (int64_t i = 0; i < count; ++i) {
      tensor.mutable_data<std::string>()[i] =
          text_of(data.data() + 4 * i * element.characters, element.characters);
    }
  } else if (wanted > 0) {
    std::memcpy(tensor.mutable_raw(), data.data(), static_cast<size_t>(wanted));
  }
  return tensor;
}

TensorMap read_npz(const std::filesystem::path& path) {
  constexpr zip_uint64_t kMaxEntry = zip_uint64_t{4} << 30;
  const auto file = MappedFile::open(path);  // refuses what is no regular file
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
                 expect_memory(static_cast<int64_t>(2 * info.size), "the array");
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
                 if (!tensors.emplace(name, parse_npy(bytes)).second) {
                   bad_file("expected each name once, got it twice");
                 }
               });
  }
  return tensors;
}

void write_npz(const std::filesystem::path& path, const TensorMap& tensors) {
  std::deque<std::pair<std::string, std::string>> entries;
  for (const auto& [name, tensor] : tensors) {
    in_context(
        [&] { return fmt::format("array '{}'", name); },
        [&, &key = name, &value = tensor] { entries.emplace_back(key + ".npy", npy_of(value)); });
  }
  write_file_atomically(path, zip_of(entries));
}

}  // namespace mw
