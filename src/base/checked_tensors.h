// Tensors with a text about them, in a .safetensors file of which every change shows.
#pragma once

#include <filesystem>
#include <string>

#include "millwright/tensor.hpp"

namespace mw {

struct CheckedTensors {
  TensorMap tensors;
  std::string text;
};

// What the tensors with the text and with the checksum are called.
struct CheckedNames {
  std::string text, checksum;
};

// Atomic, as AtomicFile is.
void write_checked(const std::filesystem::path& path, const CheckedTensors& content,
                   const CheckedNames& names);
// Throws io or invalid_argument for a file that is not whole. What it takes is bounded by the
// file's size, whatever the file says.
CheckedTensors read_checked(const std::filesystem::path& path, const CheckedNames& names);

}  // namespace mw
