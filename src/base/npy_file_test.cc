// npy and npz: numbers and text there and back, as numpy writes them, and what is refused.
#include "base/npy_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/tensor_file.h"

namespace mw {
namespace {

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::temp_directory_path() / ("mw-npy-" + std::to_string(getpid()) + name);
}

std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Tensor parse(const std::string& file) { return parse_npy(std::as_bytes(std::span(file))); }

// A .npy file as numpy lays it out, with this header and these data.
std::string npy(std::string header, const std::string& data) {
  header.resize(117, ' ');
  header += '\n';
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + data;
}

std::string utf32(const std::u32string& text) {
  return {reinterpret_cast<const char*>(text.data()), 4 * text.size()};
}

std::string message(const std::string& file) {
  try {
    (void)parse(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(npz, every_dtype_that_numpy_has_survives_a_round_trip) {
  const auto path = scratch("all.npz");
  TensorMap tensors;
  for (const DType dtype :
       {DType::kBool, DType::kF16, DType::kF32, DType::kF64, DType::kI8, DType::kI16, DType::kI32,
        DType::kI64, DType::kU8, DType::kU16, DType::kU32, DType::kU64}) {
    Tensor tensor(dtype, {2, 3});
    for (int64_t i = 0; i < 6; ++i) tensor.set_number(i, static_cast<double>(i % 2 + i / 4));
    tensors["of/" + std::string(name_of(dtype))] = tensor;
  }
  tensors["scalar"] = Tensor::scalar(-1.5F);
  tensors["empty"] = Tensor(DType::kF32, {0, 4});
  tensors["text"] =
      Tensor::from<std::string>({"cat", "", "d\xC3\xB6g", "\xF0\x9F\x90\x84!"}, {2, 2});
  tensors["no text"] = Tensor(DType::kString, {0});
  tensors["one text"] = Tensor::scalar<std::string>("fish");
  write_npz(path, tensors);
  const TensorMap back = read_tensors(path);
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_EQ(back.at(name).dtype(), tensor.dtype()) << name;
    ASSERT_EQ(back.at(name).shape(), tensor.shape()) << name;
    if (tensor.dtype() != DType::kString) {
      EXPECT_TRUE(bit_equal(back.at(name), tensor)) << name;
      continue;
    }
    for (int64_t i = 0; i < tensor.count(); ++i) {
      EXPECT_EQ(back.at(name).data<std::string>()[i], tensor.data<std::string>()[i]) << name;
    }
  }
  const std::string first = bytes_of_file(path);
  write_npz(path, tensors);
  EXPECT_EQ(bytes_of_file(path), first) << "the same tensors give the same bytes";
  std::filesystem::remove(path);
}

TEST(npz, a_dtype_that_numpy_has_not_is_refused_and_the_file_stays) {
  const auto path = scratch("kept.npz");
  write_npz(path, {{"a", Tensor::scalar(1.0F)}});
  const std::string before = bytes_of_file(path);
  for (const DType dtype : {DType::kBF16, DType::kF8E4M3FN, DType::kI4, DType::kU1}) {
    try {
      write_npz(path, {{"weird", Tensor(dtype, {2})}});
      ADD_FAILURE() << name_of(dtype);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("array 'weird': numpy has no"), std::string::npos);
    }
  }
  EXPECT_EQ(bytes_of_file(path), before);
  std::filesystem::remove(path);
}

TEST(npy, texts_are_read_as_numpy_pads_them) {
  const Tensor texts = parse(npy("{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }",
                                 utf32({U'a', 0, 0, U'\u00e9', U'b', U'\U0001F404'})));
  ASSERT_EQ(texts.dtype(), DType::kString);
  EXPECT_EQ(texts.shape(), Shape{2});
  EXPECT_EQ(texts.data<std::string>()[0], "a");
  EXPECT_EQ(texts.data<std::string>()[1],
            "\xC3\xA9"
            "b\xF0\x9F\x90\x84");
}

TEST(npy, headers_that_lie_are_one_sentence) {
  const auto header = [](const std::string& descr, const std::string& shape) {
    return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  };
  const auto said = [&](const std::string& descr, const std::string& shape, size_t data) {
    return message(npy(header(descr, shape), std::string(data, '\0')));
  };
  EXPECT_EQ(said("<U3", "(2,)", 23), "npy data: expected 24 bytes for shape [2], got 23");
  EXPECT_EQ(said("<U3", "(-2,)", 24), "the npy header's shape: expected a whole number, got '-2'");
  EXPECT_EQ(said("<f4", "(2.5, 1)", 24), "the npy header's shape is broken");
  EXPECT_EQ(said("<f4", "(2 3)", 24), "the npy header's shape is broken");
  EXPECT_EQ(said("<f4", "(2, 99999999999999999999)", 24), "the npy header's shape is too large");
  EXPECT_EQ(said("<U99999999999999999", "(2,)", 24), "the npy header's descr is too large");
  EXPECT_EQ(said("<U0", "(281474976710656,)", 24), "the npy header's shape is too large");
  EXPECT_EQ(said("<U100000000000000", "(100000,)", 24), "the npy header's shape is too large");
  EXPECT_EQ(said("|O", "(2,)", 24),
            "npy dtype '|O': expected a little-endian number, bool or text");
  EXPECT_EQ(said(">f4", "(2,)", 24),
            "npy dtype '>f4': expected a little-endian number, bool or text");
  EXPECT_EQ(message(npy(header("<U1", "(1,)"), utf32({static_cast<char32_t>(0xD800)}))),
            "npy data: 0xd800 is no character");
}

}  // namespace
}  // namespace mw
