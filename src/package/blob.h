// BlobFile and BlobLayout: reading and writing weight files, MIL blob storage version 2.
//
// A file is a 64-byte header (count, version) and records at multiples of 64: 64 bytes of metadata
// (sentinel, dtype, size, data offset, padding), then the data. Words that are not listed here are
// reserved; some writers leave garbage in them, so they are neither read nor checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "ir/type.h"

namespace mw {
class OutputFile;
}

namespace mw::package {

// The storage code of a dtype; nullopt for those that a blob cannot hold (bool, string, fp64,
// 64-bit).
std::optional<uint32_t> blob_code_of(DType dtype);
std::optional<DType> dtype_of_blob_code(uint32_t code);

struct BlobRecord {
  uint64_t offset = 0;  // of the metadata
  DType dtype = DType::kF32;
  uint64_t size = 0;          // of the data in bytes
  uint64_t data_offset = 0;   // in the file
  uint64_t padding_bits = 0;  // unused bits at the end of the data; sub-byte dtypes only
};

// Every length and offset is checked against the bytes there are; errors are invalid_model.
class BlobFile {
 public:
  // `owner` keeps `bytes` alive and is handed on to the tensors. Checks the header.
  BlobFile(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  static BlobFile open(const std::filesystem::path& path);

  [[nodiscard]] BlobRecord record(uint64_t offset) const;
  // The tensor at `offset`, whose record must have the dtype and size of `type`; a view, no copy.
  [[nodiscard]] Tensor tensor(const ir::Type& type, uint64_t offset) const;

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

// Assigns offsets to tensors as they are added, and streams them into a file.
class BlobLayout {
 public:
  // The offset of the record that will hold `value`, whose dtype must have a code.
  uint64_t add(Tensor value);
  [[nodiscard]] bool empty() const { return tensors_.empty(); }
  [[nodiscard]] size_t count() const { return tensors_.size(); }
  void write(OutputFile& file) const;

 private:
  std::vector<Tensor> tensors_;
  uint64_t end_ = 64;  // where the data so far ends
};

}  // namespace mw::package
