// BlobFile and BlobLayout: bounds-checked views of records, and their canonical layout.
#include "package/blob.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/memory_checks.h"
#include "base/output_file.h"

namespace mw::package {
namespace {

static_assert(std::endian::native == std::endian::little, "weight files are little endian");

constexpr uint64_t kAlign = 64;
constexpr uint32_t kVersion = 2;
constexpr uint32_t kSentinel = 0xDEADBEEF;

constexpr std::array<std::pair<uint32_t, DType>, 17> kCodes = {{{1, DType::kF16},
                                                                {2, DType::kF32},
                                                                {3, DType::kU8},
                                                                {4, DType::kI8},
                                                                {5, DType::kBF16},
                                                                {6, DType::kI16},
                                                                {7, DType::kU16},
                                                                {8, DType::kI4},
                                                                {9, DType::kU1},
                                                                {10, DType::kU2},
                                                                {11, DType::kU4},
                                                                {12, DType::kU3},
                                                                {13, DType::kU6},
                                                                {14, DType::kI32},
                                                                {15, DType::kU32},
                                                                {16, DType::kF8E4M3FN},
                                                                {17, DType::kF8E5M2}}};

template <class T>
T load(std::span<const std::byte> bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void store(std::array<std::byte, 64>& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

uint64_t round_up(uint64_t offset) { return (offset + kAlign - 1) / kAlign * kAlign; }

// Bits of the last byte of the stream that hold no element.
uint64_t padding_of(DType dtype, int64_t count) {
  const auto bits = static_cast<uint64_t>(count) * static_cast<uint64_t>(bit_width(dtype));
  return (8 - bits % 8) % 8;
}

}  // namespace

std::optional<uint32_t> blob_code_of(DType dtype) {
  for (const auto& [code, type] : kCodes) {
    if (type == dtype) return code;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_blob_code(uint32_t code) {
  for (const auto& [known, type] : kCodes) {
    if (known == code) return type;
  }
  return std::nullopt;
}

BlobFile::BlobFile(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
    : bytes_(bytes), owner_(std::move(owner)) {
  if (bytes_.size() < kAlign) {
    fail(ErrorCode::kInvalidModel, "weight file: expected at least {} bytes, got {}", kAlign,
         bytes_.size());
  }
  const auto version = load<uint32_t>(bytes_, 4);
  if (version != kVersion) {
    fail(ErrorCode::kInvalidModel, "weight file: expected blob storage version {}, got {}",
         kVersion, version);
  }
}

BlobFile BlobFile::open(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return {file->bytes(), file};
}

BlobRecord BlobFile::record(uint64_t offset) const {
  if (offset % kAlign != 0 || offset < kAlign) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected a positive multiple of {}", offset, kAlign);
  }
  if (offset > bytes_.size() || bytes_.size() - offset < kAlign) {
    fail(ErrorCode::kInvalidModel,
         "offset {}: expected a record inside the weight file of {} bytes", offset, bytes_.size());
  }
  const auto sentinel = load<uint32_t>(bytes_, offset);
  if (sentinel != kSentinel) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected a record that begins with {:#x}, got {:#x}",
         offset, kSentinel, sentinel);
  }
  const auto code = load<uint32_t>(bytes_, offset + 4);
  const std::optional<DType> dtype = dtype_of_blob_code(code);
  if (!dtype) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected a dtype code of 1 to 17, got {}", offset,
         code);
  }
  const BlobRecord record{
      .offset = offset,
      .dtype = *dtype,
      .size = load<uint64_t>(bytes_, offset + 8),
      .data_offset = load<uint64_t>(bytes_, offset + 16),
      .padding_bits = bit_width(*dtype) < 8 ? load<uint64_t>(bytes_, offset + 24) : 0};
  if (record.data_offset % kAlign != 0 || record.data_offset < offset + kAlign) {
    fail(ErrorCode::kInvalidModel,
         "offset {}: expected data at a multiple of {} after its record, got {}", offset, kAlign,
         record.data_offset);
  }
  if (record.data_offset > bytes_.size() || bytes_.size() - record.data_offset < record.size) {
    fail(ErrorCode::kInvalidModel,
         "offset {}: expected {} bytes of data at {}, but the weight file ends at {}; it may be "
         "truncated",
         offset, record.size, record.data_offset, bytes_.size());
  }
  return record;
}

Tensor BlobFile::tensor(const ir::Type& type, uint64_t offset) const {
  if (!type.is_tensor() || !type.is_static()) {
    fail(ErrorCode::kInvalidModel, "expected a tensor of known shape for a blob, got {}",
         type.str());
  }
  const BlobRecord found = record(offset);
  if (found.dtype != type.dtype()) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected a blob of {}, got {}", offset,
         name_of(type.dtype()), name_of(found.dtype));
  }
  int64_t count = 0;
  int64_t size = 0;
  try {
    count = count_of(type.shape());
    size = bytes_of(found.dtype, count);
  } catch (const Error& e) {
    fail(ErrorCode::kInvalidModel, "{}", e.message());
  }
  if (static_cast<uint64_t>(size) != found.size) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected a blob of {} bytes for {}, got {}", offset,
         size, type.str(), found.size);
  }
  if (bit_width(found.dtype) < 8 && found.padding_bits != padding_of(found.dtype, count)) {
    fail(ErrorCode::kInvalidModel, "offset {}: expected {} padding bits for {}, got {}", offset,
         padding_of(found.dtype, count), type.str(), found.padding_bits);
  }
  return guarded(Tensor(type.dtype(), type.shape(), owner_, bytes_.data() + found.data_offset));
}

uint64_t BlobLayout::add(Tensor value) {
  MW_CHECK(blob_code_of(value.dtype()).has_value());
  const uint64_t offset = round_up(end_);
  end_ = offset + kAlign + static_cast<uint64_t>(value.nbytes());
  tensors_.push_back(std::move(value));
  return offset;
}

void BlobLayout::write(OutputFile& file) const {
  std::array<std::byte, kAlign> header{};
  store(header, 0, static_cast<uint32_t>(tensors_.size()));
  store(header, 4, kVersion);
  file.write(header);
  for (const Tensor& tensor : tensors_) {
    file.pad_to(round_up(file.size()));
    const auto size = static_cast<uint64_t>(tensor.nbytes());
    std::array<std::byte, kAlign> metadata{};
    store(metadata, 0, kSentinel);
    store(metadata, 4, *blob_code_of(tensor.dtype()));
    store(metadata, 8, size);
    store(metadata, 16, file.size() + kAlign);
    store(metadata, 24, padding_of(tensor.dtype(), tensor.count()));
    file.write(metadata);
    file.write({static_cast<const std::byte*>(tensor.raw()), size});
  }
}

}  // namespace mw::package
