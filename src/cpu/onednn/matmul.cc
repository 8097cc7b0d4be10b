// Matmul through oneDNN: descriptors, packing, execution.
#include "cpu/matmul.h"

#include <cstring>

#include "base/error.h"
#include "cpu/onednn/library.h"

namespace mw::cpu::onednn {
namespace {

using dnnl::memory;

memory::data_type type_of(DType dtype) {
  MW_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  return dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc desc_of(const MatrixLayout& layout, int64_t rows, int64_t columns) {
  memory::dims dims(layout.batch.begin(), layout.batch.end());
  memory::dims strides(layout.batch_strides.begin(), layout.batch_strides.end());
  dims.insert(dims.end(), {rows, columns});
  strides.insert(strides.end(), {layout.row_stride, layout.column_stride});
  return {dims, type_of(layout.dtype), strides};
}

memory::desc bias_desc(const MatmulShape& shape) {
  memory::dims dims(shape.c.batch.size() + 1, 1), strides(dims.size(), shape.n);
  dims.push_back(shape.n);
  strides.push_back(1);
  return {dims, memory::data_type::f32, strides};
}

// Reference implementations are correct and unusably slow.
bool is_fast(const dnnl::matmul::primitive_desc& desc) {
  return std::strstr(desc.impl_info_str(), "ref") == nullptr;
}

class LibraryMatmul : public Matmul {
 public:
  LibraryMatmul(const MatmulShape& shape, const dnnl::matmul::primitive_desc& desc)
      : shape_(shape), desc_(desc) {
    std::vector<std::pair<int, memory::desc>> descs = {
        {DNNL_ARG_SRC, desc.src_desc()},
        {DNNL_ARG_WEIGHTS, desc.weights_desc()},
        {DNNL_ARG_DST, desc.dst_desc()},
        {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}};
    if (shape.bias) descs.emplace_back(DNNL_ARG_BIAS, desc.bias_desc());
    primitive_.emplace(dnnl::matmul(desc), std::move(descs));
  }

  [[nodiscard]] memory::desc weights_desc() const { return desc_.weights_desc(); }
  [[nodiscard]] std::string layout() const override;
  [[nodiscard]] int64_t packed_bytes() const override {
    return static_cast<int64_t>(desc_.weights_desc().get_size());
  }
  [[nodiscard]] int64_t scratch_bytes() const override {
    return static_cast<int64_t>(desc_.scratchpad_desc().get_size());
  }
  void pack(const void* b, int64_t row_stride, int64_t column_stride, void* packed) const override;
  void run(const void* a, const void* b, const float* bias, void* c, void* scratch) const override {
    const void* data[] = {a, b, c, scratch, bias};
    primitive_->run(data);
  }

 private:
  MatmulShape shape_;
  dnnl::matmul::primitive_desc desc_;
  std::optional<PooledPrimitive> primitive_;
};

std::string LibraryMatmul::layout() const {
  const memory::desc md = desc_.weights_desc();
  std::string text;
  const auto add = [&](const memory::dims& numbers) {
    for (const auto number : numbers) text += fmt::format("{},", number);
    text += ';';
  };
  add(md.get_padded_dims());
  add(md.get_strides());
  add(md.get_inner_blks());
  add(md.get_inner_idxs());
  return text;
}

void LibraryMatmul::pack(const void* b, int64_t row_stride, int64_t column_stride,
                         void* packed) const {
  expect_headroom();
  in_library([&] {
    const memory::desc plain({shape_.k, shape_.n}, type_of(shape_.b.dtype),
                             memory::dims{row_stride, column_stride});
    memory from(plain, dnnl_engine(), const_cast<void*>(b));
    memory to(desc_.weights_desc(), dnnl_engine(), packed);
    dnnl::reorder(from, to).execute(dnnl_stream(), from, to);
    dnnl_stream().wait();
  });
}

// A product that brings B into the library's layout each time, in its scratch memory.
class PackingMatmul : public Matmul {
 public:
  PackingMatmul(const MatmulShape& shape, std::unique_ptr<Matmul> product)
      : product_(std::move(product)),
        bytes_((product_->packed_bytes() + 63) / 64 * 64),
        from_(desc_of(shape.b, shape.k, shape.n)),
        to_(dynamic_cast<const LibraryMatmul&>(*product_).weights_desc()),
        pack_(
            dnnl::reorder(dnnl::reorder::primitive_desc(dnnl_engine(), from_, dnnl_engine(), to_)),
            {{DNNL_ARG_FROM, from_}, {DNNL_ARG_TO, to_}}) {}

  [[nodiscard]] std::string layout() const override { return product_->layout(); }
  [[nodiscard]] int64_t packed_bytes() const override { return product_->packed_bytes(); }
  [[nodiscard]] int64_t scratch_bytes() const override {
    return bytes_ + product_->scratch_bytes();
  }
  void pack(const void* b, int64_t row_stride, int64_t column_stride, void* packed) const override {
    product_->pack(b, row_stride, column_stride, packed);
  }
  void run(const void* a, const void* b, const float* bias, void* c, void* scratch) const override {
    const void* data[] = {b, scratch};
    pack_.run(data);
    product_->run(a, scratch, bias, c, static_cast<std::byte*>(scratch) + bytes_);
  }

 private:
  std::unique_ptr<Matmul> product_;
  int64_t bytes_;  // of packed B, so that what follows is aligned
  memory::desc from_, to_;
  PooledPrimitive pack_;
};

// Whether reading B of fp32 as it lies costs more than bringing it into another layout first, as
// was measured on Sapphire Rapids with oneDNN 3.2: rows side by side take 0.8 to 0.9 of the rate,
// rows of more than 2,048 numbers less than a half. A copy costs what some 20 rows of A do.
bool packs_first(const MatmulShape& shape) {
  constexpr int64_t kManyRows = 512, kSomeRows = 128, kLongRow = 2048;
  const bool is_plain = !shape.packed_b && shape.b.dtype == DType::kF32 && shape.b.batch.empty() &&
                        shape.b.column_stride == 1;
  return is_plain && (shape.m >= kManyRows || (shape.m >= kSomeRows && shape.n > kLongRow));
}

}  // namespace

std::unique_ptr<Matmul> make_matmul(const MatmulShape& shape, const Matmul* like) {
  MW_CHECK(!shape.adds || (!shape.bias && !shape.activation));
  if (packs_first(shape)) {
    MatmulShape packed = shape;
    packed.packed_b = true;
    auto product = make_matmul(packed, nullptr);
    if (product != nullptr) {
      return in_library([&] { return std::make_unique<PackingMatmul>(shape, std::move(product)); });
    }
  }
  expect_headroom();
  try {
    const memory::desc a = desc_of(shape.a, shape.m, shape.k);
    const memory::desc c = desc_of(shape.c, shape.m, shape.n);
    const memory::desc b =
        !shape.packed_b ? desc_of(shape.b, shape.k, shape.n)
        : like != nullptr
            ? dynamic_cast<const LibraryMatmul&>(*like).weights_desc()
            : memory::desc({shape.k, shape.n}, type_of(shape.b.dtype), memory::format_tag::any);
    dnnl::primitive_attr attr = attributes_for(shape.activation);
    if (shape.adds) {
      dnnl::post_ops ops;
      ops.append_sum();
      attr.set_post_ops(ops);
    }
    const dnnl::matmul::primitive_desc desc =
        shape.bias ? dnnl::matmul::primitive_desc(dnnl_engine(), a, b, bias_desc(shape), c, attr)
                   : dnnl::matmul::primitive_desc(dnnl_engine(), a, b, c, attr);
    if (!is_fast(desc)) return nullptr;
    return std::make_unique<LibraryMatmul>(shape, desc);
  } catch (const dnnl::error& e) {
    if (is_unsupported(e)) return nullptr;
    refuse(e);
  }
}

}  // namespace mw::cpu::onednn
