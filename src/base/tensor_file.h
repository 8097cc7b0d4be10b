// Named tensors in files: .safetensors (read and write), .npz and .npy (npy_file.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "millwright/tensor.hpp"

namespace mw {

// Reads by the name's extension; a .npy file gives one tensor named "". Throws io or
// invalid_argument with the file's name: unknown extension, bad header, extents beyond the data.
TensorMap read_tensors(const std::filesystem::path& path);

// The same of a .safetensors file of any name.
TensorMap read_safetensors(const std::filesystem::path& path);

// Layout: u64 header length, JSON header, data; see the safetensors format. `metadata` becomes the
// header's `__metadata__`. Atomic, as AtomicFile is.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata = {});

// The `__metadata__` of a .safetensors file; empty where it has none.
std::map<std::string, std::string> safetensors_metadata(const std::filesystem::path& path);

// Names and shapes of the tensors in a .safetensors file; the numbers are not read.
Shapes safetensors_shapes(const std::filesystem::path& path);

}  // namespace mw
