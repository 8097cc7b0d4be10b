// Tests of tensors, half floats, mapped files and tensor files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/glob.h"
#include "base/half.h"
#include "base/mapped_file.h"
#include "base/memory.h"
#include "base/memory_checks.h"
#include "base/parallel.h"
#include "base/printable.h"
#include "base/quantity_text.h"
#include "base/tensor_file.h"

namespace mw {
namespace {

std::filesystem::path scratch(const std::string& name) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("mw_base_test_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  return folder / name;
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(memory_text, has_a_unit_that_shows_the_number) {
  const std::pair<uint64_t, const char*> rows[] = {{0, "0 B"},
                                                   {999, "999 B"},
                                                   {1000, "1.0 kB"},
                                                   {1500, "1.5 kB"},
                                                   {999'949, "999.9 kB"},
                                                   {999'950, "1.0 MB"},
                                                   {4'500'000, "4.5 MB"},
                                                   {999'950'000, "1.00 GB"},
                                                   {1'234'000'000, "1.23 GB"},
                                                   {2'500'000'000'000, "2.5 TB"}};
  for (const auto& [bytes, text] : rows) EXPECT_EQ(memory_text(bytes), text);
}

TEST(half, every_fp16_value_survives_a_round_trip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(f32_to_f16(value), bits);
  }
}

TEST(half, rounding_is_to_nearest_even) {
  EXPECT_EQ(f16_to_f32(f32_to_f16(2049.0f)), 2048.0f);
  EXPECT_EQ(f16_to_f32(f32_to_f16(2051.0f)), 2052.0f);
  EXPECT_EQ(f16_to_f32(f32_to_f16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(f16_to_f32(f32_to_f16(65520.0f))));
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0);
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 1);
  EXPECT_EQ(bf16_to_f32(f32_to_bf16(1.00390625f)), 1.0f);
}

// Halfway between any two neighbours, and a step beside: to the even one, and to the nearer.
TEST(half, bf16_is_the_nearest_number_or_the_even_one) {
  const auto rounded = [](uint32_t bits) { return f32_to_bf16(std::bit_cast<float>(bits)); };
  for (uint32_t low = 0; low < 0x10000; ++low) {
    if ((low & 0x7fff) >= 0x7f80) continue;  // infinities and NaN
    const uint32_t exact = low << 16, half = exact | 0x8000;
    ASSERT_EQ(rounded(exact), low);
    ASSERT_EQ(rounded(half - 1), low);
    ASSERT_EQ(rounded(half), low + (low & 1)) << low;
    ASSERT_EQ(rounded(half + 1), low + 1);
  }
  EXPECT_EQ(rounded(0x7f800000), 0x7f80);
  EXPECT_EQ(rounded(0xff800000), 0xff80);
  EXPECT_EQ(rounded(0x7f800001), 0x7fc0);
  EXPECT_EQ(rounded(0xffffffff), 0xffc0);
}

TEST(half, arrays_agree_with_single_values) {
  std::vector<uint16_t> bits(0x7C00);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(bits.size());
  f16_to_f32(bits.data(), wide.data(), bits.size());
  for (size_t i = 0; i < bits.size(); ++i) EXPECT_EQ(wide[i], f16_to_f32(bits[i]));
  std::vector<uint16_t> back(bits.size());
  f32_to_f16(wide.data(), back.data(), wide.size());
  EXPECT_EQ(back, bits);
}

TEST(half, fp8_saturates_or_overflows_as_its_format_says) {
  EXPECT_EQ(f8e4m3fn_to_f32(f32_to_f8e4m3fn(1e9f)), 448.0f);
  EXPECT_TRUE(std::isinf(f8e5m2_to_f32(f32_to_f8e5m2(1e9f))));
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const float value = f8e4m3fn_to_f32(static_cast<uint8_t>(bits));
    if (!std::isnan(value)) {
      EXPECT_EQ(f32_to_f8e4m3fn(value), bits);
    }
  }
}

TEST(tensor, sub_byte_elements_follow_the_bit_stream) {
  Tensor t(DType::kU3, {5});
  for (int64_t i = 0; i < 5; ++i) t.set_integer(i, i + 1);
  const auto* bytes = static_cast<const uint8_t*>(t.raw());
  EXPECT_EQ(t.nbytes(), 2);
  EXPECT_EQ(bytes[0], 0xD1);
  EXPECT_EQ(bytes[1], 0x58);
  Tensor s(DType::kI4, {3});
  s.set_integer(0, -8);
  s.set_integer(1, 7);
  s.set_integer(2, 1);
  EXPECT_EQ(s.integer_at(0), -8);
  EXPECT_EQ(s.integer_at(1), 7);
  EXPECT_EQ(static_cast<const uint8_t*>(s.raw())[0], 0x78);
}

TEST(tensor, a_shape_whose_product_overflows_is_an_error) {
  EXPECT_THROW(Tensor(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_THROW(Tensor(DType::kF32, {-1}), Error);
  EXPECT_EQ(message_of([] { (void)count_of({-3}); }),
            "shape [?]: expected known extents whose product fits in 63 bits");
}

TEST(tensor, conversion_truncates_and_saturates) {
  const Tensor t = Tensor::from<float>({-1.5f, 300.7f, std::nanf("")}, {3});
  const Tensor u = t.to(DType::kU8);
  EXPECT_EQ(u.integer_at(0), 0);
  EXPECT_EQ(u.integer_at(1), 255);
  EXPECT_EQ(u.integer_at(2), 0);
  EXPECT_EQ(t.to(DType::kBool).integer_at(0), 1);
}

TEST(mapped_file, truncation_while_mapped_is_reported_not_fatal) {
  const auto path = scratch("mapped.bin");
  std::ofstream(path) << std::string(3 * 4096, 'x');
  const auto file = MappedFile::open(path);
  EXPECT_EQ(file->bytes()[0], std::byte{'x'});
  std::filesystem::resize_file(path, 4096);
  EXPECT_EQ(file->bytes()[2 * 4096], std::byte{0});
  EXPECT_NE(message_of([&] { file->check_intact(); }).find("truncated while it was in use"),
            std::string::npos);
}

TEST(memory, of_a_control_group_is_what_it_allows_and_the_machine_has) {
  constexpr int64_t kNoLimit = 9223372036854771712;  // as version 1 of control groups has it
  EXPECT_EQ(available_in({kNoLimit, 3785543680, 3781640192}, 1000), 1000);
  EXPECT_EQ(available_in({kNoLimit, 3781640192, 3785543680}, 1000), 1000);
  EXPECT_EQ(available_in({INT64_MAX, 0, 0}, 1000), 1000);
  EXPECT_EQ(available_in({500, 300, 100}, 1000), 300);
  EXPECT_EQ(available_in({500, 100, 300}, 1000), 500);
  EXPECT_EQ(available_in({500, 600, 50}, 1000), 0);
  EXPECT_EQ(available_in({1200, 600, 0}, 1000), 600);
}

TEST(memory, that_is_guarded_has_no_end_of_pieces) {
  std::vector<std::shared_ptr<void>> pieces;
  for (int i = 0; i < 17'000; ++i) {
    pieces.push_back(guarded_memory(Guard::kExact, 100));
    auto* bytes = static_cast<std::byte*>(pieces.back().get());
    EXPECT_TRUE(std::all_of(bytes, bytes + 100, [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(bytes, 100, std::byte{1});
  }
}

TEST(tensor, more_than_the_memory_is_an_error_before_anything_is_allocated) {
  try {
    const Tensor tensor(DType::kF64, {int64_t{1} << 24, int64_t{1} << 24});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    EXPECT_TRUE(std::string(e.what()).starts_with(
        "a tensor [16777216, 16777216] needs 2251.8 TB, of which "))
        << e.what();
  }
}

TEST(in_context, an_allocation_that_fails_is_an_error_of_the_user) {
  try {
    in_context([] { return "model"; }, [] { throw std::bad_alloc(); });
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    EXPECT_STREQ(e.what(), "model: out of memory");
  }
}

std::string told(const std::function<void()>& body) {
  try {
    in_context([] { return "model"; }, body);
  } catch (const Error& e) {
    return fmt::format("{} {}", static_cast<int>(e.code()), e.what());
  }
  return "no error";
}

TEST(in_context, what_the_operating_system_refuses_is_an_error_of_the_user) {
  const auto code = [](std::errc value) { return std::make_error_code(value); };
  EXPECT_EQ(told([&] {
              throw std::filesystem::filesystem_error("cannot", "/a/b",
                                                      code(std::errc::permission_denied));
            }),
            "3 model: /a/b: cannot be reached: Permission denied");
  EXPECT_EQ(told([&] { throw std::system_error(code(std::errc::no_space_on_device)); }),
            "3 model: the operating system refuses: No space left on device");
  EXPECT_EQ(told([&] { throw std::system_error(code(std::errc::resource_unavailable_try_again)); }),
            "4 model: the operating system refuses: Resource temporarily unavailable");
  EXPECT_EQ(told([&] { throw std::ios_base::failure("underflow"); }),
            "3 model: a file cannot be read or written");
  EXPECT_EQ(told([&] { throw std::length_error("vector"); }), "4 model: out of memory");
}

TEST(in_context, an_exception_of_an_unknown_kind_passes_and_is_internal_at_the_border) {
  const auto unknown = [] { throw std::out_of_range("map::at"); };
  EXPECT_THROW(in_context([] { return "model"; }, unknown), std::out_of_range);
  try {
    unknown();
  } catch (...) {
    const Error error = current_error();
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_STREQ(error.what(), "internal error: map::at; report it");
  }
}

TEST(glob, matches_whole_names_and_no_character_of_them_is_special) {
  for (const auto& [glob, name, matches] : std::vector<std::tuple<std::string, std::string, bool>>{
           {"*", "", true},
           {"*", "blocks/0.weight", true},
           {"*weight", ".hidden/weight", true},
           {"weight", "weights", false},
           {"eight", "weight", false},
           {"layer_?_w", "layer_3_w", true},
           {"layer_?_w", "layer_31_w", false},
           {"layer_[0-3]*", "layer_2_bias", true},
           {"layer_[!0-3]*", "layer_2_bias", false},
           {"a\\*b", "a*b", true},
           {"a\\*b", "acb", false},
           {"[", "[", true},
           {"", "a", false}}) {
    EXPECT_EQ(matches_glob(glob, name), matches) << glob << ' ' << name;
  }
  EXPECT_TRUE(matches_any({"a*", "b*"}, "bc"));
  EXPECT_FALSE(matches_any({"a*", "b*"}, "cb"));
  EXPECT_FALSE(matches_any({}, "a"));
}

TEST(printable, control_characters_and_bytes_that_are_no_text_are_written_out) {
  EXPECT_EQ(printable("a\x1b[31mb\x07\n\r\t\x7f"), "a\\x1b[31mb\\x07\\n\\r\\t\\x7f");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\xc2\x9b"), "\\x9b");                // U+009B starts a sequence, too
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\u202e");          // right-to-left override
  EXPECT_EQ(printable("a\xff\xc3"), "a\\xff\\xc3");         // no UTF-8
  EXPECT_EQ(printable("\xc0\x8a"), "\\xc0\\x8a");           // an over-long newline
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("Grüße 日本 🙂 \\n"), "Grüße 日本 🙂 \\n");
  EXPECT_EQ(printable("a\n\tb\x1b", Lines::kKept), "a\n\tb\\x1b");
  const std::string once = printable("\x1b\xff\n");
  EXPECT_EQ(printable(once), once);
}

TEST(printable, json_means_the_same_and_holds_nothing_that_a_terminal_takes_for_orders) {
  std::string all;
  for (int code = 0; code < 0x80; ++code) all += static_cast<char>(code);
  for (int code = 0x80; code < 0xc0; ++code) all += {'\xc2', static_cast<char>(code)};
  all += "\xe2\x80\xa8\xe2\x80\xae Grüße 日本 🙂";
  const nlohmann::json value = {{all, {1, all, nullptr}}};
  const std::string shown = printable_json(value.dump(2));
  EXPECT_EQ(nlohmann::json::parse(shown), value);
  EXPECT_EQ(printable(shown, Lines::kKept), shown);
  EXPECT_NE(shown.find("\\u009b"), std::string::npos);
  EXPECT_NE(shown.find("\\u007f"), std::string::npos);
  EXPECT_NE(shown.find("Grüße 日本 🙂"), std::string::npos);
  EXPECT_EQ(printable_json("\"\xff\""), "\"\xff\"");
}

TEST(mapped_file, a_missing_file_or_a_folder_is_an_error) {
  EXPECT_THROW(MappedFile::open(scratch("absent")), Error);
  EXPECT_THROW(MappedFile::open(std::filesystem::temp_directory_path()), Error);
}

TEST(tensor_file, safetensors_survive_a_round_trip) {
  const auto path = scratch("t.safetensors");
  TensorMap tensors;
  tensors["a"] = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  tensors["b"] = Tensor::from<int64_t>({7}, {});
  tensors["empty"] = Tensor(DType::kF16, {0, 4});
  write_safetensors(path, tensors, {{"who", "test"}});
  const TensorMap back = read_tensors(path);
  ASSERT_EQ(back.size(), 3U);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(bit_equal(back.at(name), tensor)) << name;
}

TEST(tensor_file, every_truncation_of_a_safetensors_file_is_an_error) {
  const auto path = scratch("whole.safetensors");
  write_safetensors(path, {{"a", Tensor::from<float>({1, 2, 3}, {3})}});
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto cut = scratch("cut.safetensors");
  for (size_t n = 0; n < bytes.size(); ++n) {
    std::ofstream(cut, std::ios::binary) << bytes.substr(0, n);
    EXPECT_THROW(read_tensors(cut), Error) << n;
  }
}

// A file with this header and eight bytes of data.
std::string refusal_of(const std::string& header) {
  const auto path = scratch("hostile.safetensors");
  const uint64_t length = header.size();
  std::ofstream(path, std::ios::binary)
      << std::string(reinterpret_cast<const char*>(&length), 8) << header << "12345678";
  const std::string message = message_of([&] { read_tensors(path); });
  return message.starts_with(path.string() + ": ") ? message.substr(path.string().size() + 2)
                                                   : message;
}

TEST(tensor_file, numbers_of_a_safetensors_header_are_whole_and_bytes_are_of_one_tensor) {
  const auto with = [](const std::string& shape, const std::string& offsets) {
    return refusal_of(R"({"a": {"dtype": "F32", "shape": )" + shape + R"(, "data_offsets": )" +
                      offsets + "}}");
  };
  EXPECT_EQ(with("[2]", "[0, 8]"), "no error");
  EXPECT_EQ(with("[2.5]", "[0, 8]"), "tensor 'a': shape: expected whole numbers, got [2.5]");
  EXPECT_EQ(with("[2.0]", "[0, 8]"), "tensor 'a': shape: expected whole numbers, got [2.0]");
  EXPECT_EQ(with("[-2]", "[0, 8]"), "tensor 'a': shape: expected whole numbers, got [-2]");
  EXPECT_EQ(with("[true]", "[0, 8]"), "tensor 'a': shape: expected whole numbers, got [true]");
  EXPECT_EQ(with("null", "[0, 4]"), "tensor 'a': shape: expected whole numbers, got null");
  EXPECT_EQ(with("2", "[0, 8]"), "tensor 'a': shape: expected whole numbers, got 2");
  EXPECT_EQ(with("[18446744073709551615]", "[0, 8]"),
            "tensor 'a': shape: 18446744073709551615 is too large");
  EXPECT_EQ(with("[2]", "[0.9, 8.7]"),
            "tensor 'a': data_offsets: expected whole numbers, got [0.9,8.7]");
  EXPECT_EQ(with("[2]", "[0, 8, 9]"), "tensor 'a': data_offsets: expected 2 numbers, got 3");
  EXPECT_EQ(with("[2]", "[1, 9]"),
            "tensor 'a': data offsets [1, 9]: expected 8 bytes inside the 8 of the file");
  EXPECT_EQ(with("[2]", "[8, 0]"),
            "tensor 'a': data offsets [8, 0]: expected 8 bytes inside the 8 of the file");
  const std::string half = R"({"dtype": "F16", "shape": [2], "data_offsets": )";
  EXPECT_EQ(refusal_of("{\"a\": " + half + "[0, 4]}, \"b\": " + half + "[4, 8]}}"), "no error");
  EXPECT_EQ(refusal_of("{\"a\": " + half + "[0, 4]}, \"b\": " + half + "[2, 6]}}"),
            "tensors 'a' and 'b': expected bytes of their own");
  EXPECT_EQ(refusal_of("{\"a\": " + half + "[0, 4]}, \"a\": " + half + "[4, 8]}}"),
            "the safetensors header says 'a' twice");
  EXPECT_EQ(
      refusal_of(R"({"a": {"dtype": "U8", "dtype": "I8", "shape": [1], "data_offsets": [0, 1]}})"),
      "the safetensors header says 'dtype' twice");
}

TEST(tensor_file, npy_headers_are_checked) {
  const auto path = scratch("x.npy");
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
  header.resize(118, ' ');
  const auto write = [&](const std::string& h, size_t data) {
    std::string file("\x93NUMPY\x01\x00", 8);
    file += static_cast<char>(h.size());
    file += '\0';
    std::ofstream(path, std::ios::binary) << file << h << std::string(data, '\0');
  };
  write(header, 16);
  EXPECT_EQ(read_tensors(path).at("").shape(), (Shape{2, 2}));
  write(header, 15);
  EXPECT_NE(
      message_of([&] { read_tensors(path); }).find("expected 16 bytes for shape [2, 2], got 15"),
      std::string::npos);
  std::string fortran = header;
  fortran.replace(fortran.find("False"), 5, "True ");
  write(fortran, 16);
  EXPECT_NE(message_of([&] { read_tensors(path); }).find("Fortran order"), std::string::npos);
}

TEST(parallel_for, blocks_cover_the_range_once_and_exceptions_come_out) {
  std::vector<int> hits(1000);
  parallel_for(1000, 7, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
  });
  EXPECT_EQ(hits, std::vector<int>(1000, 1));
  EXPECT_THROW(parallel_for(100, 1,
                            [](int64_t i, int64_t) {
                              if (i == 42) fail(ErrorCode::kInternal, "boom");
                            }),
               Error);
}

}  // namespace
}  // namespace mw
