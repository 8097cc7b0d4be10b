// Tests of literals: every value of the small dtypes survives, spellings are Apple's, others are
// read.
#include <bit>
#include <cmath>
#include <random>

#include "ir/text/testing.h"

namespace mw::ir::text {
namespace {

std::string reprinted(const std::string& typed) { return print_constant(parse_constant(typed)); }

Tensor patterns(DType dtype, int64_t count) {
  Tensor tensor(dtype, {count});
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    if (bit_width(dtype) == 16) {
      static_cast<uint16_t*>(tensor.mutable_raw())[i] = bits;
    } else {
      static_cast<uint8_t*>(tensor.mutable_raw())[i] = static_cast<uint8_t>(bits);
    }
  }
  return tensor;
}

// Bits of element i, with one pattern for all NaNs.
uint64_t bits_of(const Tensor& tensor, int64_t i) {
  if (is_float(tensor.dtype()) && std::isnan(tensor.number_at(i))) return ~uint64_t{0};
  const auto* raw = static_cast<const uint8_t*>(tensor.raw());
  uint64_t bits = 0;
  const int64_t bytes = bit_width(tensor.dtype()) / 8;
  for (int64_t k = 0; k < bytes; ++k) bits |= uint64_t{raw[i * bytes + k]} << (8 * k);
  return bits;
}

void expect_round_trip(const Tensor& tensor) {
  const Tensor back = parse_constant(print_constant(Constant::tensor(tensor)))->value();
  ASSERT_EQ(back.dtype(), tensor.dtype());
  ASSERT_EQ(back.shape(), tensor.shape());
  for (int64_t i = 0; i < tensor.count(); ++i) {
    ASSERT_EQ(bits_of(back, i), bits_of(tensor, i))
        << name_of(tensor.dtype()) << " " << tensor.number_at(i);
  }
}

TEST(Literals, every_value_of_the_small_floats_survives) {
  expect_round_trip(patterns(DType::kF16, 65536));
  expect_round_trip(patterns(DType::kBF16, 65536));
  expect_round_trip(patterns(DType::kF8E4M3FN, 256));
  expect_round_trip(patterns(DType::kF8E5M2, 256));
}

TEST(Literals, random_bits_of_the_large_floats_survive) {
  std::mt19937_64 random(1);
  Tensor singles(DType::kF32, {20000}), doubles(DType::kF64, {20000});
  for (int64_t i = 0; i < singles.count(); ++i) {
    const bool is_subnormal = i % 4 == 0;
    singles.mutable_data<float>()[i] =
        std::bit_cast<float>(static_cast<uint32_t>(random()) & (is_subnormal ? 0x807fffffu : ~0u));
    doubles.mutable_data<double>()[i] =
        std::bit_cast<double>(random() & (is_subnormal ? 0x800fffffffffffffu : ~uint64_t{0}));
  }
  expect_round_trip(singles);
  expect_round_trip(doubles);
}

TEST(Literals, every_value_of_the_sub_byte_integers_survives) {
  for (const DType dtype :
       {DType::kI4, DType::kU1, DType::kU2, DType::kU3, DType::kU4, DType::kU6}) {
    const int64_t count = int64_t{1} << bit_width(dtype);
    Tensor tensor(dtype, {count});
    for (int64_t i = 0; i < count; ++i) tensor.set_integer(i, i);
    const Tensor back = parse_constant(print_constant(Constant::tensor(tensor)))->value();
    EXPECT_TRUE(bit_equal(back, tensor)) << name_of(dtype);
  }
}

TEST(Literals, floats_print_as_apples_compiler_writes_them) {
  EXPECT_EQ(print_constant(Constant::number(DType::kF16, 6)), "fp16(0x1.8p+2)");
  EXPECT_EQ(print_constant(Constant::number(DType::kF32, -1)), "fp32(-0x1p+0)");
  EXPECT_EQ(print_constant(Constant::number(DType::kF32, 0)), "fp32(0x0p+0)");
  EXPECT_EQ(print_constant(Constant::number(DType::kF16, -10000)), "fp16(-0x1.388p+13)");
  EXPECT_EQ(print_constant(Constant::number(DType::kF16, std::ldexp(1, -24))), "fp16(0x1p-24)");
  EXPECT_EQ(print_constant(Constant::number(DType::kF32, -INFINITY)), "fp32(-inf)");
}

TEST(Literals, other_spellings_of_floats_are_read) {
  EXPECT_EQ(reprinted("fp32(0.1)"), "fp32(0x1.99999ap-4)");
  EXPECT_EQ(reprinted("fp32(-1e-5)"), "fp32(-0x1.4f8b58p-17)");
  EXPECT_EQ(reprinted("fp32(+3)"), "fp32(0x1.8p+1)");
  EXPECT_EQ(reprinted("fp32(.5)"), "fp32(0x1p-1)");
  EXPECT_EQ(reprinted("fp32(0X1.8P1)"), "fp32(0x1.8p+1)");
  EXPECT_EQ(reprinted("fp32(0xap-1)"), "fp32(0x1.4p+2)");
  EXPECT_EQ(reprinted("fp32(0x1)"), "fp32(0x1p+0)");
  EXPECT_EQ(reprinted("fp32(Infinity)"), "fp32(inf)");
  EXPECT_EQ(reprinted("fp32(-NaN)"), "fp32(nan)");
}

TEST(Literals, floats_round_once_to_their_dtype) {
  // Halfway between two fp16 values, and just above it by less than fp32 can tell.
  EXPECT_EQ(reprinted("fp16(0x1.002p+0)"), "fp16(0x1p+0)");
  EXPECT_EQ(reprinted("fp16(0x1.00200001p+0)"), "fp16(0x1.004p+0)");
  EXPECT_EQ(reprinted("fp16(65519)"), "fp16(0x1.ffcp+15)");
}

TEST(Literals, floats_out_of_range_become_infinity_or_zero) {
  EXPECT_EQ(reprinted("fp16(65520)"), "fp16(inf)");
  EXPECT_EQ(reprinted("fp32(-1e39)"), "fp32(-inf)");
  EXPECT_EQ(reprinted("fp32(1e-60)"), "fp32(0x0p+0)");
  EXPECT_EQ(reprinted("fp64(1e999999999999999999999)"), "fp64(inf)");
  EXPECT_EQ(reprinted("fp64(-1e-999999999999999999999)"), "fp64(-0x0p+0)");
  EXPECT_EQ(reprinted("fp64(0x1p-9223372036854775807)"), "fp64(0x0p+0)");
  EXPECT_EQ(reprinted("fp64(0x1p9223372036854775807)"), "fp64(inf)");
  EXPECT_EQ(reprinted("fp64(0." + std::string(5000, '0') + "1)"), "fp64(0x0p+0)");
  EXPECT_EQ(reprinted("fp64(1" + std::string(5000, '0') + ".5)"), "fp64(inf)");
}

TEST(Literals, empty_tensors_are_empty_brackets_in_any_rank) {
  EXPECT_EQ(reprinted("tensor<int32, [0]>([])"), "tensor<int32, [0]>([])");
  EXPECT_EQ(reprinted("tensor<int32, [2, 0]>([[], []])"), "tensor<int32, [2, 0]>([])");
  EXPECT_EQ(reprinted("tensor<int32, [100000000000, 0]>([])"),
            "tensor<int32, [100000000000, 0]>([])");
  EXPECT_EQ(reprinted("tensor<int32, [?, ?]>([])"), "tensor<int32, [0, 0]>([])");
}

TEST(Literals, open_extents_follow_the_brackets) {
  EXPECT_EQ(reprinted("tensor<int32, [?, 2]>([[1, 2], [3, 4], [5, 6]])"),
            "tensor<int32, [3, 2]>([[1, 2], [3, 4], [5, 6]])");
}

TEST(Literals, strings_are_read_with_their_escapes) {
  const auto text = [](const std::string& typed) {
    return parse_constant(typed)->value().data<std::string>()[0];
  };
  EXPECT_EQ(text(R"(string("a\"b\\c\/\'\n\t\r"))"), "a\"b\\c/'\n\t\r");
  EXPECT_EQ(text(R"(string("\x41\xe9\u20AC"))"), "A\u00e9\u20ac");
  EXPECT_EQ(text(R"(string("a\0b"))"), std::string("a\0b", 3));
  EXPECT_EQ(text("string(\"two\nlines\")"), "two\nlines");
}

TEST(Literals, strings_are_printed_with_nothing_that_a_terminal_takes_for_orders) {
  EXPECT_EQ(reprinted("string(\"\x1b[2J\x7f\u0080\u009b\u00a0\u2028\u202e\u00e9\")"),
            "string(\"\\x1b[2J\\x7f\\x80\\x9b\u00a0\\u2028\\u202e\u00e9\")");
  const std::string once = reprinted("string(\"\u009b\u202e\")");
  EXPECT_EQ(reprinted(once), once);
}

}  // namespace
}  // namespace mw::ir::text
