// constexpr_lut_to_dense: each index stands for an entry of a table, a number or a vector; tables
// per tensor or per block. The ios16 form packs the indices in bytes and has one table.
#include "ops/quant/lut.h"

#include <bit>
#include <cstring>

namespace mw::ops {
namespace {

const std::vector<DType> kValues = {DType::kI8, DType::kU8, DType::kF16, DType::kF32};
// Tables for several indices at once may take this many bytes, or an eighth of what the indices
// take.
constexpr int64_t kSmallTables = 1 << 14;
constexpr size_t kChunk = 1024;

class LutDecoder : public WeightDecoder {
 public:
  LutDecoder(const Type& type, Palette palette)
      : WeightDecoder(type.dtype(), type.shape()), palette_(std::move(palette)) {}

  [[nodiscard]] std::optional<PackedMatrix> packed() const override { return palette_.packed(); }

  void read(int64_t first, int64_t count, float* out) const override {
    if (palette_.width() == 1) return read_pieces(first, count, 0, out);
    if (palette_.has_whole_entries()) return palette_.read_entries(first, count, out);
    while (count > 0) {
      const VectorPiece piece = palette_.piece_at(first, count);
      read_pieces(piece.index, piece.length, piece.component, out);
      first += piece.length;
      out += piece.length;
      count -= piece.length;
    }
  }

 private:
  void read_pieces(int64_t first, int64_t count, int64_t component, float* out) const {
    palette_.blocks().for_each_piece(first, count, [&](int64_t at, int64_t n, int64_t group) {
      palette_.lookup(group, at, n, component, out);
      out += n;
      return true;
    });
  }

  Palette palette_;
};

// Bits per index of the ios16 form, from the length of its table.
int packed_bits(const OpView& op) {
  const Shape lut = op.shape("lut");
  const int64_t entries = lut.size() == 1 ? lut[0] : 0;
  for (const int bits : {1, 2, 4, 6, 8}) {
    if (entries == int64_t{1} << bits) return bits;
  }
  op.reject("lut", "expected a vector of 2, 4, 16, 64 or 256 entries, got shape {}",
            to_string(lut));
}

Type infer_packed(const OpView& op) {
  const int bits = packed_bits(op);
  const Shape shape = packed_shape(op);
  expect_dtype(op, "indices", DType::kU8);
  const int64_t count = product(shape, 0, shape.size());
  expect_shape(op, "indices", {dim_add(dim_mul(count, bits), 7) / 8});
  return Type::tensor(op.dtype("lut"), shape);
}

Type infer(const OpView& op) {
  expect_numeric(op, "lut");
  if (op.has("shape")) return infer_packed(op);
  return Type::tensor(op.dtype("lut"), infer_vectors(op, "indices", op.shape("indices")));
}

DType unsigned_of(int bits) {
  switch (bits) {
    case 1:
      return DType::kU1;
    case 2:
      return DType::kU2;
    case 4:
      return DType::kU4;
    case 6:
      return DType::kU6;
    default:
      return DType::kU8;
  }
}

}  // namespace

Palette::Palette(Tensor indices, const Shape& extents, Tables tables)
    : indices_(std::move(indices)),
      extents_(extents),
      blocks_(extents, tables.grid),
      tables_(std::move(tables)),
      inner_(product(extents, static_cast<size_t>(tables_.axis) + 1, extents.size())) {
  fill_key_tables(bit_width(indices_.dtype()));
}

void Palette::fill_key_tables(int bits) {
  if (tables_.width != 1 || bits == 8) return;
  const bool triples = bits % 3 == 0;
  const size_t per_key = static_cast<size_t>((triples ? 6 : 8) / bits);
  const size_t keys = triples ? 64 : 256;
  const size_t groups = tables_.values.size() / static_cast<size_t>(tables_.entries);
  const int64_t bytes = static_cast<int64_t>(groups * keys * per_key * sizeof(float));
  if (bytes > std::max(kSmallTables, indices_.nbytes() / 8)) return;
  per_key_ = static_cast<int64_t>(per_key);
  keys_ = static_cast<int64_t>(keys);
  key_tables_.reserve(groups * keys * per_key);
  for (size_t group = 0; group < groups; ++group) {
    for (size_t key = 0; key < keys; ++key) {
      for (size_t k = 0; k < per_key; ++k) {
        const size_t index = (key >> (k * static_cast<size_t>(bits))) & ((size_t{1} << bits) - 1);
        key_tables_.push_back(tables_.values[group * static_cast<size_t>(tables_.entries) + index]);
      }
    }
  }
}

namespace {

template <int kPerKey>
void copy_rows(const float* rows, const uint8_t* bytes, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(out + i * kPerKey, rows + static_cast<size_t>(bytes[i]) * kPerKey,
                kPerKey * sizeof(float));
  }
}

// Three bytes hold four keys of 6 bits.
template <int kPerKey>
void copy_triples(const float* rows, const uint8_t* bytes, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i, bytes += 3) {
    const auto group = static_cast<uint32_t>(bytes[0] | bytes[1] << 8 | bytes[2] << 16);
    for (int k = 0; k < 4; ++k, out += kPerKey) {
      std::memcpy(out, rows + static_cast<size_t>((group >> (6 * k)) & 63) * kPerKey,
                  kPerKey * sizeof(float));
    }
  }
}

}  // namespace

void Palette::lookup_keys(const float* rows, int64_t first, int64_t count, float* out) const {
  const auto* bytes = static_cast<const uint8_t*>(indices_.raw());
  const int64_t bits = bit_width(indices_.dtype());
  const int64_t group_bytes = bits % 3 == 0 ? 3 : 1, group = group_bytes * 8 / bits;
  // The elements before and after the whole groups; row k of the table begins with entry k.
  const auto rest = [&](int64_t n) {
    std::array<uint8_t, 8> indices;
    unpack(indices_, first, n, indices.data());
    for (int64_t i = 0; i < n; ++i) *out++ = rows[indices[static_cast<size_t>(i)] * per_key_];
    first += n;
    count -= n;
  };
  rest(std::min(count, (group - first % group) % group));
  const int64_t whole = count / group;
  const uint8_t* from = bytes + first / group * group_bytes;
  switch (bits) {
    case 1:
      copy_rows<8>(rows, from, whole, out);
      break;
    case 2:
      copy_rows<4>(rows, from, whole, out);
      break;
    case 3:
      copy_triples<2>(rows, from, whole, out);
      break;
    case 6:
      copy_triples<1>(rows, from, whole, out);
      break;
    default:
      copy_rows<2>(rows, from, whole, out);
      break;
  }
  out += whole * group;
  first += whole * group;
  count -= whole * group;
  rest(count);
}

void Palette::lookup(int64_t group, int64_t first, int64_t count, int64_t component,
                     float* out) const {
  if (per_key_ != 0) {
    return lookup_keys(key_tables_.data() + group * keys_ * per_key_, first, count, out);
  }
  const float* table = tables_.values.data() + group * tables_.entries * tables_.width + component;
  std::array<uint8_t, kChunk> indices;
  while (count > 0) {
    const int64_t n = std::min<int64_t>(count, kChunk);
    unpack(indices_, first, n, indices.data());
    for (int64_t i = 0; i < n; ++i) out[i] = table[indices[static_cast<size_t>(i)] * tables_.width];
    first += n;
    out += n;
    count -= n;
  }
}

std::optional<PackedMatrix> Palette::packed() const {
  if (tables_.width != 1) return std::nullopt;
  std::optional<PackedMatrix> matrix = packed_grid(extents_, tables_.grid);
  if (!matrix) return std::nullopt;
  matrix->codes = indices_;
  matrix->tables = tables_.values.data();
  return matrix;
}

void Palette::read_entries(int64_t first, int64_t count, float* out) const {
  std::array<uint8_t, kChunk> indices;
  int64_t index = first / tables_.width, skip = first % tables_.width;
  while (count > 0) {
    const int64_t n = std::min<int64_t>((skip + count - 1) / tables_.width + 1, kChunk);
    unpack(indices_, index, n, indices.data());
    const uint8_t* next = indices.data();
    blocks_.for_each_piece(index, n, [&](int64_t, int64_t length, int64_t group) {
      const float* table = tables_.values.data() + group * tables_.entries * tables_.width;
      for (; length > 0; --length) {
        const int64_t part = std::min(count, tables_.width - skip);
        std::copy_n(table + *next++ * tables_.width + skip, part, out);
        skip = 0;
        out += part;
        count -= part;
      }
      return true;
    });
    index += n;
  }
}

// With the result as [outer, axis, width, inner] and the indices as [outer, axis, inner].
VectorPiece Palette::piece_at(int64_t first, int64_t count) const {
  const int64_t line = first / inner_, along = first % inner_;
  return {line / tables_.width * inner_ + along, std::min(count, inner_ - along),
          line % tables_.width};
}

Shape infer_vectors(const OpView& op, const char* indices, const Shape& extents) {
  const DType dtype = op.dtype(indices);
  const bool small = dtype == DType::kU1 || dtype == DType::kU2 || dtype == DType::kU3 ||
                     dtype == DType::kU4 || dtype == DType::kU6 || dtype == DType::kU8;
  if (!small) op.reject(indices, "expected uint1 to uint8, got {}", mw::name_of(dtype));
  const Shape lut = op.shape("lut");
  if (extents.empty() || lut.size() != extents.size() + 2) {
    op.reject("lut", "expected rank {}, two more than that of the indices, got shape {}",
              extents.size() + 2, to_string(lut));
  }
  const Shape grid(lut.begin(), lut.end() - 2);
  expect_grid(op, "lut", grid, extents);
  const int64_t entries = lut[lut.size() - 2], width = lut.back();
  if (entries != kAny && entries != int64_t{1} << bit_width(dtype)) {
    op.reject("lut", "expected {} entries for {} indices, got {}", int64_t{1} << bit_width(dtype),
              mw::name_of(dtype), entries);
  }
  if (width == 0) {
    op.reject("lut", "expected entries of at least one number, got shape {}", to_string(lut));
  }
  Shape result = extents;
  if (op.has("vector_axis")) {
    int64_t& extent =
        result[static_cast<size_t>(op.axis("vector_axis", static_cast<int64_t>(extents.size())))];
    extent = dim_mul(extent, width);
  } else if (width != 1) {
    op.reject("vector_axis", "entries of {} numbers need an axis to lie along, got none", width);
  }
  return result;
}

Palette palette_of(const OpView& op, const char* indices, const Shape& extents, int depth) {
  const Decoder lut = decode_input(op, "lut", depth);
  const Shape& shape = lut->shape();
  const int64_t rank = static_cast<int64_t>(extents.size());
  const int64_t axis = op.has("vector_axis") ? op.axis("vector_axis", rank) : rank - 1;
  Tables tables{all_values(*lut), Shape(shape.begin(), shape.end() - 2), shape[shape.size() - 2],
                shape.back(), axis};
  return {tensor_of(op, indices, depth), extents, std::move(tables)};
}

Decoder decode_lut(const OpView& op, const std::vector<Type>& types, size_t, int depth) {
  const Shape& shape = types[0].shape();
  if (!op.has("shape")) {
    return std::make_unique<LutDecoder>(types[0],
                                        palette_of(op, "indices", op.shape("indices"), depth));
  }
  const Decoder lut = decode_input(op, "lut", depth);
  Tensor indices =
      reinterpret(tensor_of(op, "indices", depth), unsigned_of(packed_bits(op)), shape);
  Tables tables{all_values(*lut), Shape(shape.size(), 1), lut->count(), 1, types[0].rank() - 1};
  return std::make_unique<LutDecoder>(types[0],
                                      Palette(std::move(indices), shape, std::move(tables)));
}

OpDef constexpr_lut_to_dense() {
  return OpDef("constexpr_lut_to_dense")
      .types("T", kValues)
      .input("indices", DType::kU8, kConst)
      .input("lut", "T", kConst)
      .input("shape", DType::kU32, kConst)
      .first(Opset::kIos16)
      .since(Opset::kIos18,
             [](OpDef& def) {
               def.types("IndicesT",
                         {DType::kU1, DType::kU2, DType::kU3, DType::kU4, DType::kU6, DType::kU8})
                   .input("indices", "IndicesT", kConst)
                   .input("vector_axis", DType::kI32, kConst | kOptional)
                   .remove_input("shape");
             })
      .traits(kConstexpr)
      .infer(infer)
      .eval(evaluate_decoded)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace mw::ops
