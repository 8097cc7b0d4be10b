// Packed matrices: each form against the decoder of its op bit for bit, and their products, with
// every instruction set of this machine, from memory that ends at a page that cannot be read.
#include "cpu/packed.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "hwy/targets.h"
#include "ir/builder.h"
#include "ops/catalog.h"
#include "ops/quant/decode.h"

namespace mw::cpu {
namespace {

using ir::Argument;
using ir::Constant;

// The same elements, the last byte in front of a page that nobody may touch.
Tensor before_guard(const Tensor& tensor) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto bytes = static_cast<size_t>(tensor.nbytes());
  const size_t whole = (bytes + page - 1) / page * page;
  void* map =
      mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  auto* data = static_cast<std::byte*>(map) + whole - bytes;
  std::memcpy(data, tensor.raw(), bytes);
  if (mprotect(static_cast<std::byte*>(map) + whole, page, PROT_NONE) != 0) throw std::bad_alloc();
  const std::shared_ptr<void> owner(map, [=](void* at) { munmap(at, whole + page); });
  return {tensor.dtype(), tensor.shape(), owner, data};
}

Tensor random_codes(DType dtype, const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(dtype, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_integer(i, static_cast<int64_t>(random() & 255));
  }
  return before_guard(tensor);
}

// Some of them far too large or too small for fp16 once they are multiplied.
Tensor random_floats(DType dtype, const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(dtype, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double number = (static_cast<double>(random() % 4001) - 2000) / 2000;
    tensor.set_number(i, std::ldexp(number, static_cast<int>(random() % 7) == 0 ? -17 : -3));
  }
  if (tensor.count() > 5) tensor.set_number(5, dtype == DType::kF16 ? 60000 : 1e30);
  return before_guard(tensor);
}

// Runs `check` with each instruction set that this machine has, by itself.
void for_each_instruction_set(const std::function<void()>& check) {
  const auto all = static_cast<uint64_t>(hwy::SupportedTargets());
  for (uint64_t rest = all; rest != 0; rest &= rest - 1) {
    const auto target = static_cast<int64_t>(rest & (~rest + 1));
    const ::testing::ScopedTrace trace(__FILE__, __LINE__, hwy::TargetName(target));
    hwy::GetChosenTarget().Update(target);
    check();
    if (::testing::Test::HasFatalFailure()) break;
  }
  hwy::GetChosenTarget().Update(static_cast<int64_t>(all));
}

class Packed : public ::testing::Test {
 protected:
  std::mt19937_64 random_{42};
  ir::Function function_;
  ir::Builder b_{function_.body, ops::catalog(), ir::Opset::kIos18};

  static Argument constant(const char* name, Tensor value) {
    return {name, Constant::tensor(std::move(value))};
  }
  static std::unique_ptr<ops::WeightDecoder> decoder_of(ir::Value* value) {
    return ops::make_decoder(ir::Operand{value, nullptr}, ir::Opset::kIos18);
  }

  std::unique_ptr<ops::WeightDecoder> table(DType codes, DType numbers, const Shape& shape,
                                            Shape grid) {
    const int64_t entries = int64_t{1} << bit_width(codes);
    grid.insert(grid.end(), {entries, 1});
    const Tensor lut = is_float(numbers) ? random_floats(numbers, grid, random_)
                                         : random_codes(numbers, grid, random_);
    return decoder_of(
        b_.op("constexpr_lut_to_dense",
              {constant("indices", random_codes(codes, shape, random_)), constant("lut", lut)}));
  }
  // No dtype of zeros: none.
  std::unique_ptr<ops::WeightDecoder> scales(DType codes, DType numbers, std::optional<DType> zeros,
                                             const Shape& shape, const Shape& grid) {
    std::vector<Argument> arguments = {constant("data", random_codes(codes, shape, random_)),
                                       constant("scale", random_floats(numbers, grid, random_))};
    if (zeros) {
      arguments.push_back(constant("offset", is_float(*zeros)
                                                 ? random_floats(*zeros, grid, random_)
                                                 : random_codes(*zeros, grid, random_)));
    }
    return decoder_of(b_.op("constexpr_blockwise_shift_scale", arguments));
  }

  void check(const ops::WeightDecoder& decoder) {
    const std::optional<PackedMatrix> w = decoder.packed();
    ASSERT_TRUE(w);
    ASSERT_EQ(w->rows, decoder.rows());
    ASSERT_EQ(w->columns, decoder.row_length());
    std::vector<float> numbers(static_cast<size_t>(decoder.count()));
    decoder.read(0, decoder.count(), numbers.data());
    for_each_instruction_set([&] {
      check_reading(*w, numbers);
      if (multiplies_packed(*w)) check_products(*w, numbers);
    });
  }

 private:
  // All of it, then parts of one row and of several.
  void check_reading(const PackedMatrix& w, const std::vector<float>& numbers) {
    const auto below = [&](int64_t end) {
      return static_cast<int64_t>(random_() % static_cast<uint64_t>(end));
    };
    for (int trial = 0; trial < 12; ++trial) {
      PackedPart part{0, w.rows, 0, w.columns};
      if (trial > 0) {
        part.first = below(w.rows);
        part.count = trial % 2 == 0 ? 1 : w.rows - part.first;
        part.from = below(w.columns);
        part.length = trial < 6 ? w.columns - part.from : below(w.columns - part.from + 1);
      }
      const auto count = static_cast<size_t>(part.count * part.length);
      std::vector<float> got(count + 1, 0.125F);
      read_packed(w, part, got.data());
      EXPECT_EQ(got.back(), 0.125F);
      for (size_t i = 0; i < count; ++i) {
        const int64_t row = part.first + static_cast<int64_t>(i) / part.length;
        const int64_t at = part.from + static_cast<int64_t>(i) % part.length;
        const float want = numbers[static_cast<size_t>(row * w.columns + at)];
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want))
            << "row " << row << ", at " << at << " from " << part.from << ": " << got[i]
            << ", expected " << want;
      }
    }
  }

  // Rows of x further apart than they are long; outputs from the second row on where there is one.
  void check_products(const PackedMatrix& w, const std::vector<float>& numbers) {
    const int64_t stride = w.columns + 3, first = w.rows > 1 ? 1 : 0, rows = w.rows - first;
    std::vector<float> x(static_cast<size_t>(kMaxPackedRows * stride), NAN);
    for (int64_t i = 0; i < kMaxPackedRows * stride; ++i) {
      if (i % stride < w.columns) {
        x[static_cast<size_t>(i)] = static_cast<float>(static_cast<int>(random_() % 33) - 16) / 8;
      }
    }
    for (int64_t m = 1; m <= kMaxPackedRows; ++m) {
      std::vector<float> ordered(static_cast<size_t>(ordered_floats(w, m)), NAN);
      order_rows(w, {x.data(), stride}, m, ordered.data());
      std::vector<float> y(static_cast<size_t>(m * rows + 1), 0.125F);
      dot_packed(w, ordered.data(), m, first, rows, {y.data(), rows});
      EXPECT_EQ(y.back(), 0.125F);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < rows; ++j) {
          double want = 0, size = 0;
          for (int64_t k = 0; k < w.columns; ++k) {
            const double product = static_cast<double>(x[static_cast<size_t>(i * stride + k)]) *
                                   numbers[static_cast<size_t>((first + j) * w.columns + k)];
            want += product;
            size += std::abs(product);
          }
          const float got = y[static_cast<size_t>(i * rows + j)];
          if (!std::isfinite(want)) {
            ASSERT_FALSE(std::isfinite(got));
          } else {
            ASSERT_NEAR(got, want, 1e-5 * size) << m << " rows, row " << i << ", output " << j;
          }
        }
      }
    }
  }
};

struct Layout {
  Shape shape, grid;
};
// Rows that begin within a byte, groups that fill no vector, several rows in a group, more groups
// than are looked at together.
const std::vector<Layout>& layouts() {
  static const std::vector<Layout> kLayouts = {
      {{1, 1}, {1, 1}},
      {{3, 33}, {3, 1}},
      {{3, 33}, {1, 1}},
      {{4, 33}, {2, 11}},
      {{2, 40}, {2, 1}},
      {{6, 64}, {3, 2}},
      {{2, 96}, {2, 2}},
      {{2, 96}, {2, 12}},
      {{3, 130}, {3, 2}},
      {{2, 1000}, {2, 1}},
      {{1, 8320}, {1, 260}},
      {{2, 300}, {1, 300}},
      {{5, 32, 1, 2}, {5, 2, 1, 1}},
      {{7}, {7}},
  };
  return kLayouts;
}

std::string text(const Layout& layout) {
  return to_string(layout.shape) + " in " + to_string(layout.grid);
}

TEST_F(Packed, tables_give_what_their_decoder_gives) {
  for (const DType codes :
       {DType::kU1, DType::kU2, DType::kU3, DType::kU4, DType::kU6, DType::kU8}) {
    for (const DType numbers : {DType::kF16, DType::kF32, DType::kI8}) {
      for (const Layout& layout : layouts()) {
        SCOPED_TRACE(std::string(name_of(codes)) + " for " + std::string(name_of(numbers)) + " " +
                     text(layout));
        check(*table(codes, numbers, layout.shape, layout.grid));
      }
    }
  }
}

TEST_F(Packed, scales_give_what_their_decoder_gives) {
  for (const DType codes : {DType::kI4, DType::kU4, DType::kI8, DType::kU8}) {
    for (const DType numbers : {DType::kF16, DType::kF32}) {
      for (const std::optional<DType> zeros :
           {std::optional<DType>(), std::optional(codes), std::optional(numbers)}) {
        for (const Layout& layout : layouts()) {
          SCOPED_TRACE(std::string(name_of(codes)) + " by " + std::string(name_of(numbers)) +
                       (zeros ? ", zeros " + std::string(name_of(*zeros)) : "") + " " +
                       text(layout));
          check(*scales(codes, numbers, zeros, layout.shape, layout.grid));
        }
      }
    }
  }
}

TEST_F(Packed, forms_of_ios16_are_packed) {
  ir::Function function;
  ir::Builder b(function.body, ops::catalog(), ir::Opset::kIos16);
  const auto decoder = [](ir::Value* value) {
    return ops::make_decoder(ir::Operand{value, nullptr}, ir::Opset::kIos16);
  };
  for (const int64_t axis : {0, 1}) {
    const int64_t extent = axis == 0 ? 5 : 48;
    check(*decoder(b.op("constexpr_affine_dequantize",
                        {constant("quantized_data", random_codes(DType::kU8, {5, 48}, random_)),
                         constant("zero_point", random_codes(DType::kU8, {extent}, random_)),
                         constant("scale", random_floats(DType::kF16, {extent}, random_)),
                         {"axis", axis}})));
  }
  for (const int bits : {1, 2, 4, 6, 8}) {
    const int64_t bytes = (5 * 35 * bits + 7) / 8;
    check(*decoder(b.op("constexpr_lut_to_dense",
                        {constant("indices", random_codes(DType::kU8, {bytes}, random_)),
                         constant("lut", random_floats(DType::kF16, {int64_t{1} << bits}, random_)),
                         constant("shape", Tensor::from<uint32_t>({5, 35}, {2}))})));
  }
}

TEST_F(Packed, what_is_more_than_codes_is_not) {
  // Vectors, blocks along two axes of a row, and scales of what is no code.
  const auto packed = [](ir::Value* value) { return decoder_of(value)->packed().has_value(); };
  EXPECT_FALSE(packed(b_.op("constexpr_lut_to_dense",
                            {constant("indices", random_codes(DType::kU2, {2, 8}, random_)),
                             constant("lut", random_floats(DType::kF16, {1, 1, 4, 2}, random_)),
                             {"vector_axis", 0}})));
  EXPECT_FALSE(scales(DType::kI8, DType::kF16, {}, {2, 4, 4}, {2, 2, 2})->packed());
  EXPECT_FALSE(packed(b_.op("constexpr_blockwise_shift_scale",
                            {constant("data", random_floats(DType::kF16, {2, 8}, random_)),
                             constant("scale", random_floats(DType::kF16, {2, 1}, random_))})));
}

}  // namespace
}  // namespace mw::cpu
