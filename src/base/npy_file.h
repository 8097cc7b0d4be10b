// Arrays as numpy writes them: .npy (read) and .npz (read and write).
#pragma once

#include <filesystem>
#include <span>

#include "millwright/tensor.hpp"

namespace mw {

// One array of a .npy file: little-endian numbers, bool, or text ("<U7"), which becomes a tensor of
// strings. Throws invalid_argument for a broken header or too few bytes; nothing is unpickled.
Tensor parse_npy(std::span<const std::byte> bytes);

// Every array of the archive, by its name without ".npy".
TensorMap read_npz(const std::filesystem::path& path);

// numpy.load() reads the file without pickle: strings are arrays of text. Throws unsupported for a
// dtype that numpy has not (bf16, fp8, less than a byte). Atomic, as write_safetensors() is.
void write_npz(const std::filesystem::path& path, const TensorMap& tensors);

}  // namespace mw
