// Tests of weight files: layout, every dtype, and every way a record can be wrong.
#include "package/blob.h"

#include <cstring>

#include "base/output_file.h"
#include "package/testing.h"
#include "package/weight_files.h"

namespace mw::package {
namespace {

using testing::TempFolder;

constexpr DType kStored[] = {DType::kF16,      DType::kF32,   DType::kU8, DType::kI8,  DType::kBF16,
                             DType::kI16,      DType::kU16,   DType::kI4, DType::kU1,  DType::kU2,
                             DType::kU4,       DType::kU3,    DType::kU6, DType::kI32, DType::kU32,
                             DType::kF8E4M3FN, DType::kF8E5M2};

Tensor counting(DType dtype, Shape shape) {
  Tensor tensor(dtype, std::move(shape));
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_integer(i, i + 1);
  return tensor;
}

std::string stored(const std::vector<Tensor>& tensors, std::vector<uint64_t>* offsets = nullptr) {
  const TempFolder folder;
  BlobLayout layout;
  for (const Tensor& tensor : tensors) {
    const uint64_t offset = layout.add(tensor);
    if (offsets != nullptr) offsets->push_back(offset);
  }
  {
    OutputFile file(folder / "weight.bin");
    layout.write(file);
    file.close();
  }
  return testing::slurp(folder / "weight.bin");
}

BlobFile over(const std::string& bytes) { return {std::as_bytes(std::span(bytes)), nullptr}; }

template <class T>
void poke(std::string& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

TEST(Blob, every_dtype_with_a_code_is_read_back_as_it_was_written) {
  for (const DType dtype : kStored) {
    for (const int64_t count : {0, 1, 3, 7, 8, 9, 64, 65}) {
      const Tensor tensor = counting(dtype, {count});
      std::vector<uint64_t> offsets;
      const std::string bytes = stored({counting(DType::kU8, {5}), tensor}, &offsets);
      ASSERT_EQ(offsets, (std::vector<uint64_t>{64, 192}));
      const BlobRecord record = over(bytes).record(offsets[1]);
      EXPECT_EQ(record.dtype, dtype);
      EXPECT_EQ(record.data_offset, offsets[1] + 64);
      const Tensor got = over(bytes).tensor(ir::Type::tensor(dtype, {count}), offsets[1]);
      EXPECT_TRUE(bit_equal(got, tensor)) << name_of(dtype) << " " << count;
    }
  }
}

TEST(Blob, dtypes_without_a_code_are_those_that_a_file_cannot_hold) {
  for (const DType dtype : {DType::kBool, DType::kString, DType::kF64, DType::kI64, DType::kU64}) {
    EXPECT_FALSE(blob_code_of(dtype).has_value());
  }
  for (uint32_t code = 0; code < 20; ++code) {
    EXPECT_EQ(dtype_of_blob_code(code).has_value(), code >= 1 && code <= 17) << code;
  }
  for (const DType dtype : kStored) EXPECT_EQ(dtype_of_blob_code(*blob_code_of(dtype)), dtype);
}

TEST(Blob, sub_byte_elements_are_one_little_endian_bit_stream_with_its_padding_counted) {
  const auto data = [](DType dtype, const std::vector<int64_t>& values) {
    Tensor tensor(dtype, {static_cast<int64_t>(values.size())});
    for (size_t i = 0; i < values.size(); ++i)
      tensor.set_integer(static_cast<int64_t>(i), values[i]);
    const std::string bytes = stored({tensor});
    return std::pair(bytes.substr(128), over(bytes).record(64).padding_bits);
  };
  EXPECT_EQ(data(DType::kU3, {1, 2, 3, 4, 5}), std::pair(std::string("\xd1\x58"), uint64_t{1}));
  EXPECT_EQ(data(DType::kI4, {-8, 7, 1}), std::pair(std::string("\x78\x01"), uint64_t{4}));
  EXPECT_EQ(data(DType::kU6, {1, 2, 63}), std::pair(std::string("\x81\xf0\x03"), uint64_t{6}));
  EXPECT_EQ(data(DType::kU1, std::vector<int64_t>(9, 1)),
            std::pair(std::string("\xff\x01"), uint64_t{7}));
}

TEST(Blob, a_layout_has_zeroed_reserved_words_and_no_padding_at_its_end) {
  const std::string bytes = stored({counting(DType::kU8, {3}), counting(DType::kF16, {5})});
  EXPECT_EQ(bytes.size(), 64U + 64 + 64 + 64 + 10);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\2\0\0\0\2\0\0\0", 8));
  EXPECT_EQ(bytes.substr(8, 56), std::string(56, '\0'));
  EXPECT_EQ(bytes.substr(64 + 32, 32), std::string(32, '\0'));
  EXPECT_EQ(bytes.substr(64, 4), "\xEF\xBE\xAD\xDE");
}

TEST(Blob, garbage_in_reserved_words_is_ignored) {
  std::string bytes = stored({counting(DType::kF32, {4})});
  for (size_t i = 8; i < 64; ++i) bytes[i] = '\x5a';
  for (size_t i = 64 + 24; i < 128; ++i) bytes[i] = '\x5a';
  EXPECT_TRUE(bit_equal(over(bytes).tensor(ir::Type::tensor(DType::kF32, {2, 2}), 64),
                        counting(DType::kF32, {2, 2})));
}

TEST(Blob, a_tensor_is_a_view_of_the_mapped_file_and_keeps_it) {
  const TempFolder folder;
  testing::spit(folder / "w.bin", stored({counting(DType::kF32, {4})}));
  Tensor tensor;
  const std::byte* begin = nullptr;
  {
    const auto file = MappedFile::open(folder / "w.bin");
    begin = file->bytes().data();
    tensor = BlobFile(file->bytes(), file).tensor(ir::Type::tensor(DType::kF32, {4}), 64);
  }
  EXPECT_EQ(tensor.raw(), begin + 128);
  EXPECT_EQ(tensor.data<float>()[3], 4.0F);
}

struct BadRecord {
  const char* name;
  std::function<void(std::string&)> edit;
  uint64_t offset;
  ir::Type type;
  const char* message;
};

TEST(Blob, every_wrong_record_is_an_error_that_says_what_was_expected) {
  const ir::Type f32 = ir::Type::tensor(DType::kF32, {4});
  const auto none = [](std::string&) {};
  const BadRecord rows[] = {
      {"empty", [](std::string& b) { b.clear(); }, 64, f32, "expected at least 64 bytes, got 0"},
      {"short", [](std::string& b) { b.resize(63); }, 64, f32,
       "expected at least 64 bytes, got 63"},
      {"version", [](std::string& b) { b[4] = 3; }, 64, f32,
       "expected blob storage version 2, got 3"},
      {"header", none, 0, f32, "offset 0: expected a positive multiple of 64"},
      {"unaligned", none, 65, f32, "offset 65: expected a positive multiple of 64"},
      {"beyond", none, 1 << 20, f32, "expected a record inside the weight file of 144 bytes"},
      {"wraps", none, ~uint64_t{63}, f32, "expected a record inside the weight file"},
      {"cut record", [](std::string& b) { b.resize(100); }, 64, f32,
       "expected a record inside the weight file of 100"},
      {"sentinel", [](std::string& b) { b[64] = 0; }, 64, f32,
       "begins with 0xdeadbeef, got 0xdeadbe00"},
      {"code", [](std::string& b) { b[68] = 18; }, 64, f32,
       "expected a dtype code of 1 to 17, got 18"},
      {"dtype", none, 64, ir::Type::tensor(DType::kI32, {4}), "expected a blob of int32, got fp32"},
      {"count", none, 64, ir::Type::tensor(DType::kF32, {5}),
       "expected a blob of 20 bytes for tensor<fp32, [5]>, got 16"},
      {"product", none, 64, ir::Type::tensor(DType::kF32, {1LL << 40, 1LL << 40}),
       "expected known extents"},
      {"bytes", none, 64, ir::Type::tensor(DType::kF32, {1LL << 62}), "exceed the address space"},
      {"unknown", none, 64, ir::Type::tensor(DType::kF32, {-1}),
       "expected a tensor of known shape"},
      {"list", none, 64, ir::Type::list(f32), "expected a tensor of known shape"},
      {"size", [](std::string& b) { poke(b, 72, ~uint64_t{0}); }, 64, f32,
       "but the weight file ends at 144"},
      {"cut data", [](std::string& b) { b.pop_back(); }, 64, f32,
       "but the weight file ends at 143"},
      {"data", [](std::string& b) { poke(b, 80, uint64_t{129}); }, 64, f32,
       "expected data at a multiple of 64"},
      {"data wraps", [](std::string& b) { poke(b, 80, ~uint64_t{63}); }, 64, f32,
       "expected 16 bytes of data at"},
      {"data in record", [](std::string& b) { poke(b, 80, uint64_t{64}); }, 64, f32,
       "after its record, got 64"},
  };
  for (const BadRecord& row : rows) {
    std::string bytes = stored({counting(DType::kF32, {4})});
    row.edit(bytes);
    ErrorCode code{};
    const std::string got =
        testing::error_of([&] { (void)over(bytes).tensor(row.type, row.offset); }, &code);
    EXPECT_NE(got.find(row.message), std::string::npos) << row.name << ": " << got;
    EXPECT_EQ(code, ErrorCode::kInvalidModel) << row.name;
  }
}

TEST(Blob, padding_that_does_not_fit_the_shape_of_a_sub_byte_tensor_is_an_error) {
  const std::string bytes = stored({counting(DType::kU3, {5})});
  EXPECT_NO_THROW(over(bytes).tensor(ir::Type::tensor(DType::kU3, {5}), 64));
  const std::string got =
      testing::error_of([&] { (void)over(bytes).tensor(ir::Type::tensor(DType::kU3, {4}), 64); });
  EXPECT_NE(got.find("expected 4 padding bits for tensor<uint3, [4]>, got 1"), std::string::npos)
      << got;
}

class Weights : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::spit(folder_ / "model/weights/weight.bin",
                  stored({counting(DType::kF32, {40}), counting(DType::kF32, {4})}));
    testing::spit(folder_ / "common/weight.bin", stored({counting(DType::kF32, {4})}));
  }
  std::string resolve(const std::string& path, uint64_t offset, bool may_leave = true,
                      int64_t count = 4) {
    WeightFiles weights(folder_ / "model", may_leave, {folder_ / "common"});
    return testing::error_of([&] {
      weights.resolve(ir::Type::tensor(DType::kF32, {count}), {path, offset});
    });
  }
  TempFolder folder_;
};

TEST_F(Weights, paths_reach_the_model_folder_and_its_parent_and_no_further) {
  EXPECT_EQ(resolve("@model_path/weights/weight.bin", 320), "");
  EXPECT_EQ(resolve("@model_path//weights/./weight.bin", 320), "");
  EXPECT_EQ(resolve("@model_path/weights/../weights/weight.bin", 320), "");
  EXPECT_EQ(resolve("@model_path/../common/weight.bin", 64), "");
  EXPECT_NE(resolve("@model_path/../common/weight.bin", 64, /*may_leave=*/false), "");
  for (const char* path :
       {"/etc/passwd", "weights/weight.bin", "@model_path", "@model_path/", "@model_path/..",
        "@model_path/../../x", "@model_path/a/../../../x", "@model_path//etc/../../../x"}) {
    EXPECT_NE(resolve(path, 64), "") << path;
  }
}

TEST_F(Weights, a_missing_file_is_looked_for_in_the_items_of_the_package_and_then_named) {
  EXPECT_EQ(resolve("@model_path/common/weight.bin", 64), "");
  const std::string got = resolve("@model_path/weights/other.bin", 64);
  EXPECT_NE(got.find("weight file '@model_path/weights/other.bin' is missing"), std::string::npos)
      << got;
}

TEST_F(Weights, blobs_that_overlap_are_an_error_and_blobs_named_twice_are_not) {
  std::string bytes = testing::slurp(folder_ / "model/weights/weight.bin");
  bytes.replace(192, 64, bytes.substr(320, 64));  // a record inside the data of the first
  poke(bytes, 192 + 16, uint64_t{256});
  testing::spit(folder_ / "model/weights/weight.bin", bytes);
  WeightFiles weights(folder_ / "model", true);
  const std::string path = "@model_path/weights/weight.bin";
  weights.resolve(ir::Type::tensor(DType::kF32, {40}), {path, 64});
  weights.resolve(ir::Type::tensor(DType::kF32, {4, 10}), {path, 64});
  weights.resolve(ir::Type::tensor(DType::kF32, {4}), {path, 320});
  const std::string got = testing::error_of([&] {
    weights.resolve(ir::Type::tensor(DType::kF32, {4}), {"@model_path/./weights/weight.bin", 192});
  });
  EXPECT_NE(got.find("overlaps the one at 64"), std::string::npos) << got;
  EXPECT_EQ(weights.files().size(), 1U);
}

TEST_F(Weights, a_loop_of_links_is_an_error) {
  std::filesystem::create_symlink(folder_ / "model/loop", folder_ / "model/loop");
  EXPECT_NE(resolve("@model_path/loop/weight.bin", 64), "");
  EXPECT_NE(resolve("@model_path/loop", 64), "");
}

}  // namespace
}  // namespace mw::package
