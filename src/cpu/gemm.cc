// Matrix products: which kernel for which shape, and the kernels around the library and the small
// products.
#include "cpu/gemm.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "base/memory_checks.h"
#include "cpu/dots.h"
#include "cpu/half_rows.h"
#include "cpu/library.h"
#include "cpu/packed.h"
#include "cpu/parallel.h"
#include "cpu/primitives.h"
#include "plan/constant_pool.h"

namespace mw::cpu {
namespace {

using plan::Activation;
using plan::Claim;
using plan::Frame;
using plan::Place;
using plan::Ref;
using plan::Weight;

constexpr int64_t kBlockMultiplies = 1 << 16;       // of a small product, per parallel block
constexpr int64_t kPanelFloats = int64_t{1} << 20;  // of a decompressed panel of a large product
constexpr int64_t kWidened = int64_t{1} << 22;      // of a panel of a weight in halves
constexpr int64_t kPieceFloats = int64_t{1} << 14;  // of a decompressed piece of a small product
// Elements in halves of one weight, and of all weights of a program: packed nowhere, for that takes
// two or four times the memory.
constexpr int64_t kLargeWeight = int64_t{1} << 26;
constexpr int64_t kManyWeights = int64_t{1} << 28;
constexpr int64_t kColumnFloats = int64_t{1} << 17;  // of a piece whose rows are cut

int64_t floats(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

// Bias and activation over rows that a small product has just written.
class Epilogue {
 public:
  Epilogue() = default;
  Epilogue(std::optional<Ref> bias, const std::optional<Activation>& activation)
      : bias_(bias), add_(binary_loop(plan::RowOp::kAdd, Scalar::kNone)) {
    if (!activation) return;
    activation_ = *activation;
    function_ = unary_loop(activation->op);
  }
  // Columns [column, column + count) of m rows.
  void apply(const Frame& frame, FewRows y, int64_t m, int64_t column, int64_t count) const {
    if (!bias_ && function_ == nullptr) return;
    for (int64_t i = 0; i < m; ++i) {
      float* row = y.data + i * y.stride;
      const auto size = static_cast<size_t>(count);
      if (bias_) add_(row, frame.as<float>(*bias_) + column, row, size);
      if (function_ != nullptr) function_(row, row, size, activation_.alpha, activation_.beta);
    }
  }

 private:
  std::optional<Ref> bias_;
  BinaryLoop add_ = nullptr;
  Activation activation_;
  UnaryLoop function_ = nullptr;
};

// --- weights, few rows ----------------------------------------------------------------------

// Outputs per parallel block.
int64_t rows_of_block(const WeightGemm& gemm) {
  const int64_t multiplies = std::max<int64_t>(gemm.k * gemm.m, 1);
  return std::max<int64_t>(64, kBlockMultiplies / multiplies / 64 * 64);
}

// Reads the weight where it lies: decoding one token is bound by that.
class FewRowsDense : public plan::Kernel {
 public:
  FewRowsDense(Claim& claim, const WeightGemm& gemm, const Place& y, Epilogue epilogue)
      : m_(gemm.m),
        n_(gemm.n),
        k_(gemm.k),
        by_output_(gemm.weight_by_output),
        x_(gemm.x.ref),
        y_(y.ref),
        weight_(claim.hold(gemm.weight.dense)),
        x_stride_(gemm.x.strides[0]),
        grain_(rows_of_block(gemm)),
        epilogue_(epilogue) {}

  void run(const Frame& frame) const override {
    const FewRows x{frame.as<float>(x_), x_stride_};
    float* y = frame.as<float>(y_);
    const std::byte* w = frame.at(weight_.ref);
    const int64_t item = weight_.item();
    parallel_blocks(n_, grain_, thread_count(), [&](int, int64_t begin, int64_t end) {
      const FewRows out{y + begin, n_};
      if (by_output_) {
        dot_rows(x, m_, {w + begin * k_ * item, weight_.dtype, k_}, end - begin, k_, out);
      } else {
        sum_rows(x, m_, {w + begin * item, weight_.dtype, n_}, end - begin, k_, out);
      }
      epilogue_.apply(frame, out, m_, begin, end - begin);
    });
  }

 private:
  int64_t m_, n_, k_;
  bool by_output_;
  Ref x_, y_;
  Place weight_;
  int64_t x_stride_, grain_;
  Epilogue epilogue_;
};

// Decodes a few outputs of a compressed weight at a time, each thread into its own buffer.
class FewRowsDecoded : public plan::Kernel {
 public:
  FewRowsDecoded(Claim& claim, const WeightGemm& gemm, const Place& y, Epilogue epilogue)
      : m_(gemm.m),
        n_(gemm.n),
        k_(gemm.k),
        x_(gemm.x.ref),
        y_(y.ref),
        x_stride_(gemm.x.strides[0]),
        by_output_(gemm.weight_by_output),
        slots_(claim.slots()),
        reader_(gemm.weight.reader),
        epilogue_(epilogue) {
    const int64_t k = std::max<int64_t>(k_, 1);
    piece_ = by_output_ ? std::clamp<int64_t>(kPieceFloats / k, 4, 64)
                        : std::clamp<int64_t>(kColumnFloats / k, 16, 256);
    buffer_ = claim.workspace(floats(piece_ * k_) * slots_).ref;
  }

  void run(const Frame& frame) const override {
    const FewRows x{frame.as<float>(x_), x_stride_};
    float* y = frame.as<float>(y_);
    float* buffers = frame.as<float>(buffer_);
    parallel_blocks(n_, piece_, slots_, [&](int slot, int64_t begin, int64_t end) {
      float* rows = buffers + slot * piece_ * k_;
      const FewRows out{y + begin, n_};
      if (by_output_) {
        reader_->read(begin, end - begin, rows);
        dot_rows(x, m_, {rows, DType::kF32, k_}, end - begin, k_, out);
      } else {
        reader_->read_part(0, k_, begin, end - begin, rows);
        sum_rows(x, m_, {rows, DType::kF32, end - begin}, end - begin, k_, out);
      }
      epilogue_.apply(frame, out, m_, begin, end - begin);
    });
  }

 private:
  int64_t m_, n_, k_;
  Ref x_, y_, buffer_;
  int64_t x_stride_, piece_ = 4;
  bool by_output_;
  int slots_;
  std::shared_ptr<const plan::WeightReader> reader_;
  Epilogue epilogue_;
};

// Multiplies with the codes of a compressed weight where they lie.
class FewRowsPacked : public plan::Kernel {
 public:
  FewRowsPacked(Claim& claim, const WeightGemm& gemm, const Place& y, Epilogue epilogue)
      : m_(gemm.m),
        n_(gemm.n),
        grain_(rows_of_block(gemm)),
        x_(gemm.x.ref),
        y_(y.ref),
        x_stride_(gemm.x.strides[0]),
        reader_(gemm.weight.reader),
        epilogue_(epilogue) {
    ordered_ = claim.workspace(floats(ordered_floats(*reader_->packed(), m_))).ref;
  }

  void run(const Frame& frame) const override {
    const PackedMatrix& w = *reader_->packed();
    float* y = frame.as<float>(y_);
    float* ordered = frame.as<float>(ordered_);
    order_rows(w, {frame.as<float>(x_), x_stride_}, m_, ordered);
    parallel_blocks(n_, grain_, thread_count(), [&](int, int64_t begin, int64_t end) {
      const FewRows out{y + begin, n_};
      dot_packed(w, ordered, m_, begin, end - begin, out);
      epilogue_.apply(frame, out, m_, begin, end - begin);
    });
  }

 private:
  int64_t m_, n_, grain_;
  Ref x_, y_, ordered_;
  int64_t x_stride_;
  std::shared_ptr<const plan::WeightReader> reader_;
  Epilogue epilogue_;
};

// --- weights, many rows ---------------------------------------------------------------------

// A weight in the library's layout, and the first product that was made for it.
struct Packed {
  std::shared_ptr<const Matmul> matmul;
  Tensor data;
};

Tensor as_floats(const Tensor& stored) { return stored.to(DType::kF32); }

std::shared_ptr<const Packed> pack(Claim& claim, const WeightGemm& gemm,
                                   const std::shared_ptr<const Matmul>& matmul,
                                   const std::string& key) {
  return claim.pool().get<Packed>(key, gemm.weight.sources, [&] {
    auto packed = std::make_shared<Packed>();
    packed->matmul = matmul;
    packed->data = Tensor(DType::kU8, {matmul->packed_bytes()});
    poison(packed->data);
    const Tensor plain = as_floats(gemm.weight.dense);
    const bool by_output = gemm.weight_by_output;
    matmul->pack(plain.data<float>(), by_output ? 1 : gemm.n, by_output ? gemm.k : 1,
                 packed->data.mutable_raw());
    return plan::ConstantPool::Made{packed, matmul->packed_bytes()};
  });
}

class PackedGemm : public plan::Kernel {
 public:
  PackedGemm(Claim& claim, const WeightGemm& gemm, const Place& y, std::optional<Ref> bias,
             std::shared_ptr<const Matmul> matmul, const std::shared_ptr<const Packed>& packed)
      : x_(gemm.x.ref),
        weight_(claim.hold(packed->data, packed).ref),
        y_(y.ref),
        bias_(bias),
        scratch_(claim.workspace(matmul->scratch_bytes()).ref),
        matmul_(std::move(matmul)) {}

  void run(const Frame& frame) const override {
    matmul_->run(frame.as<float>(x_), frame.at(weight_), bias_ ? frame.as<float>(*bias_) : nullptr,
                 frame.as<float>(y_), frame.at(scratch_));
  }

 private:
  Ref x_, weight_, y_;
  std::optional<Ref> bias_;
  Ref scratch_;
  std::shared_ptr<const Matmul> matmul_;
};

MatmulShape packed_shape(const WeightGemm& gemm, bool bias,
                         const std::optional<Activation>& activation) {
  MatmulShape shape;
  shape.m = gemm.m;
  shape.n = gemm.n;
  shape.k = gemm.k;
  shape.a = {{}, {}, gemm.x.strides[0], gemm.x.strides[1]};
  shape.c = {{}, {}, gemm.n, 1};
  shape.packed_b = true;
  shape.bias = bias;
  shape.activation = activation;
  return shape;
}

// The packing of the first product over a weight serves all others, as long as the library takes
// it.
std::unique_ptr<plan::Kernel> make_packed(Claim& claim, const WeightGemm& gemm, const Place& y,
                                          std::optional<Ref> bias,
                                          const std::optional<Activation>& activation) {
  const MatmulShape shape = packed_shape(gemm, bias.has_value(), activation);
  const Library& library = library_of(claim);
  std::shared_ptr<const Matmul> matmul = library.matmul(shape);
  if (matmul == nullptr) return nullptr;
  const std::string key = gemm.weight.key + (gemm.weight_by_output ? "|packed" : "|packed kn");
  std::shared_ptr<const Packed> packed = pack(claim, gemm, matmul, key);
  if (packed->matmul->layout() != matmul->layout()) {
    if (std::shared_ptr<const Matmul> like = library.matmul(shape, packed->matmul.get())) {
      matmul = std::move(like);
    } else {
      packed = pack(claim, gemm, matmul, key + matmul->layout());
    }
  }
  return std::make_unique<PackedGemm>(claim, gemm, y, bias, std::move(matmul), packed);
}

// Decodes a panel of outputs of a compressed weight with all threads, multiplies, and goes on.
class PanelGemm : public plan::Kernel {
 public:
  // A product for panels of `outputs`, and one for the last where that is smaller.
  struct Panels {
    int64_t outputs;
    std::unique_ptr<Matmul> matmul, last;
  };
  PanelGemm(Claim& claim, const WeightGemm& gemm, const Place& y, std::optional<Ref> bias,
            Panels panels)
      : n_(gemm.n),
        k_(gemm.k),
        panel_(panels.outputs),
        by_output_(gemm.weight_by_output),
        x_(gemm.x.ref),
        y_(y.ref),
        bias_(bias),
        matmul_(std::move(panels.matmul)),
        last_(std::move(panels.last)),
        reader_(gemm.weight.reader) {
    rows_ = claim.workspace(floats(panel_ * k_)).ref;
    const int64_t last_bytes = last_ != nullptr ? last_->scratch_bytes() : 0;
    scratch_ = claim.workspace(std::max(matmul_->scratch_bytes(), last_bytes)).ref;
  }

  void run(const Frame& frame) const override {
    float* rows = frame.as<float>(rows_);
    for (int64_t n = 0; n < n_; n += panel_) {
      const int64_t count = std::min(panel_, n_ - n);
      decode(n, count, rows);
      const Matmul& matmul = count == panel_ ? *matmul_ : *last_;
      matmul.run(frame.as<float>(x_), rows, bias_ ? frame.as<float>(*bias_) + n : nullptr,
                 frame.as<float>(y_) + n, frame.at(scratch_));
    }
  }

 private:
  // Outputs [n, n + count) as [count, k] or as [k, count].
  void decode(int64_t n, int64_t count, float* rows) const {
    const int64_t row_length = std::max<int64_t>(by_output_ ? k_ : count, 1);
    parallel_for(by_output_ ? count : k_, std::max<int64_t>(1, kPieceFloats / row_length),
                 [&](int64_t begin, int64_t end) {
                   if (by_output_) {
                     reader_->read(n + begin, end - begin, rows + begin * k_);
                   } else {
                     reader_->read_part(begin, end - begin, n, count, rows + begin * count);
                   }
                 });
  }

  int64_t n_, k_, panel_;
  bool by_output_;
  Ref x_, y_;
  std::optional<Ref> bias_;
  std::unique_ptr<Matmul> matmul_, last_;
  std::shared_ptr<const plan::WeightReader> reader_;
  Ref rows_, scratch_;
};

// A whole weight in halves, where it is no larger than that; of a compressed one half at most.
int64_t panel_outputs(const WeightGemm& gemm) {
  const bool halves = !gemm.weight.dense.empty();
  const int64_t outputs = (halves ? kWidened : kPanelFloats) / gemm.k / 64 * 64;
  return std::clamp<int64_t>(outputs, 64, std::max<int64_t>(64, halves ? gemm.n : gemm.n / 2));
}

std::unique_ptr<plan::Kernel> make_panels(Claim& claim, const WeightGemm& gemm, const Place& y,
                                          std::optional<Ref> bias,
                                          const std::optional<Activation>& activation) {
  const int64_t panel = std::min(gemm.n, panel_outputs(gemm));
  MatmulShape shape = packed_shape(gemm, bias.has_value(), activation);
  shape.packed_b = false;
  const auto make = [&](int64_t columns) {
    shape.n = columns;
    shape.b =
        gemm.weight_by_output ? MatrixLayout{{}, {}, 1, gemm.k} : MatrixLayout{{}, {}, columns, 1};
    return library_of(claim).matmul(shape);
  };
  std::unique_ptr<Matmul> matmul = make(panel), last;
  if (matmul == nullptr) return nullptr;
  if (gemm.n % panel != 0) {
    last = make(gemm.n % panel);
    if (last == nullptr) return nullptr;
  }
  return std::make_unique<PanelGemm>(claim, gemm, y, bias,
                                     PanelGemm::Panels{panel, std::move(matmul), std::move(last)});
}

// Many rows by a few at a time: for what the library has no fast implementation of.
class RepeatedFewRows : public plan::Kernel {
 public:
  explicit RepeatedFewRows(std::vector<std::unique_ptr<plan::Kernel>> parts)
      : parts_(std::move(parts)) {}
  void run(const Frame& frame) const override {
    for (const auto& part : parts_) part->run(frame);
  }

 private:
  std::vector<std::unique_ptr<plan::Kernel>> parts_;
};

bool is_multiplied_packed(const WeightGemm& gemm) {
  if (gemm.weight.reader == nullptr || !gemm.weight_by_output) return false;
  const PackedMatrix* matrix = gemm.weight.reader->packed();
  return matrix != nullptr && matrix->rows == gemm.n && matrix->columns == gemm.k &&
         multiplies_packed(*matrix);
}

std::unique_ptr<plan::Kernel> make_few_rows(Claim& claim, const WeightGemm& gemm, const Place& y,
                                            const Epilogue& epilogue) {
  if (is_multiplied_packed(gemm)) {
    return std::make_unique<FewRowsPacked>(claim, gemm, y, epilogue);
  }
  if (gemm.weight.reader != nullptr) {
    return std::make_unique<FewRowsDecoded>(claim, gemm, y, epilogue);
  }
  return std::make_unique<FewRowsDense>(claim, gemm, y, epilogue);
}

std::unique_ptr<plan::Kernel> make_repeated(Claim& claim, const WeightGemm& gemm, const Place& y,
                                            const Epilogue& epilogue) {
  std::vector<std::unique_ptr<plan::Kernel>> parts;
  for (int64_t row = 0; row < gemm.m; row += kMaxDotRows) {
    WeightGemm part = gemm;
    Place part_y = y;
    part.m = std::min(kMaxDotRows, gemm.m - row);
    part.x.ref.offset += floats(row * gemm.x.strides[0]);
    part_y.ref.offset += floats(row * gemm.n);
    parts.push_back(make_few_rows(claim, part, part_y, epilogue));
  }
  return std::make_unique<RepeatedFewRows>(std::move(parts));
}

bool all_zero(const Tensor& tensor) {
  const float* data = tensor.data<float>();
  return std::all_of(data, data + tensor.count(), [](float value) { return value == 0; });
}

// --- batches --------------------------------------------------------------------------------

class LibraryBatch : public plan::Kernel {
 public:
  LibraryBatch(Claim& claim, const BatchGemm& gemm, const Place& y, std::unique_ptr<Matmul> matmul)
      : x_(gemm.x.ref),
        w_(gemm.w.ref),
        y_(y.ref),
        scratch_(claim.workspace(matmul->scratch_bytes()).ref),
        bias_(gemm.bias),
        matmul_(std::move(matmul)) {}
  void run(const Frame& frame) const override {
    matmul_->run(frame.as<float>(x_), frame.as<float>(w_),
                 bias_ ? frame.as<float>(*bias_) : nullptr, frame.as<float>(y_),
                 frame.at(scratch_));
  }

 private:
  Ref x_, w_, y_, scratch_;
  std::optional<Ref> bias_;
  std::unique_ptr<Matmul> matmul_;
};

// Each matrix of the batch by the small products, rows and batch spread over the threads.
class SmallBatch : public plan::Kernel {
 public:
  SmallBatch(const BatchGemm& gemm, const Place& y, const Epilogue& epilogue)
      : gemm_(gemm), y_(y.ref), epilogue_(epilogue) {
    batches_ = count_of(gemm.batch);
    rows_of_x_ = (gemm.m + kMaxDotRows - 1) / kMaxDotRows;
    const int64_t work = gemm.n * gemm.k * std::min(gemm.m, kMaxDotRows);
    grain_ = std::max<int64_t>(1, kBlockMultiplies / std::max<int64_t>(work, 1));
  }

  void run(const Frame& frame) const override {
    parallel_blocks(batches_ * rows_of_x_, grain_, thread_count(),
                    [&](int, int64_t begin, int64_t end) {
                      for (int64_t unit = begin; unit < end; ++unit) run_unit(frame, unit);
                    });
  }

 private:
  static int64_t offset(const Place& place, const Shape& batch, int64_t index) {
    int64_t offset = 0;
    for (size_t axis = batch.size(); axis-- > 0;) {
      offset += index % batch[axis] * place.strides[axis];
      index /= batch[axis];
    }
    return offset;
  }

  void run_unit(const Frame& frame, int64_t unit) const {
    const size_t rank = gemm_.batch.size();
    const int64_t batch = unit / rows_of_x_, row = unit % rows_of_x_ * kMaxDotRows;
    const int64_t m = std::min(kMaxDotRows, gemm_.m - row);
    const int64_t x_stride = gemm_.x.strides[rank];
    const FewRows x{
        frame.as<float>(gemm_.x.ref) + offset(gemm_.x, gemm_.batch, batch) + row * x_stride,
        x_stride};
    const FewRows y{frame.as<float>(y_) + (batch * gemm_.m + row) * gemm_.n, gemm_.n};
    const std::byte* w =
        frame.at(gemm_.w.ref) + offset(gemm_.w, gemm_.batch, batch) * gemm_.w.item();
    if (gemm_.w.strides[rank + 1] == 1) {
      sum_rows(x, m, {w, gemm_.w.dtype, gemm_.w.strides[rank]}, gemm_.n, gemm_.k, y);
    } else {
      dot_rows(x, m, {w, gemm_.w.dtype, gemm_.w.strides[rank + 1]}, gemm_.n, gemm_.k, y);
    }
    epilogue_.apply(frame, y, m, 0, gemm_.n);
  }

  BatchGemm gemm_;
  Ref y_;
  Epilogue epilogue_;
  int64_t batches_ = 1, rows_of_x_ = 1, grain_ = 1;
};

MatrixLayout layout_of(const Place& place, size_t rank) {
  MatrixLayout layout;
  layout.row_stride = place.strides[rank];
  layout.column_stride = place.strides[rank + 1];
  return layout;
}

// Batch axes are merged where all operands allow it; a repeated operand has the extent 1 there.
MatmulShape batch_shape(const BatchGemm& gemm) {
  const size_t rank = gemm.batch.size();
  MatmulShape shape;
  shape.m = gemm.m;
  shape.n = gemm.n;
  shape.k = gemm.k;
  shape.a = layout_of(gemm.x, rank);
  shape.b = layout_of(gemm.w, rank);
  shape.c = {{}, {}, gemm.n, 1};
  shape.activation = gemm.activation;
  shape.bias = gemm.bias.has_value();
  Shape batch = gemm.batch;
  plan::Strides y = plan::row_major(batch);
  for (int64_t& stride : y) stride *= gemm.m * gemm.n;
  const auto cut = static_cast<int64_t>(rank);
  std::vector<plan::Strides> strides{{gemm.x.strides.begin(), gemm.x.strides.begin() + cut},
                                     {gemm.w.strides.begin(), gemm.w.strides.begin() + cut},
                                     std::move(y)};
  plan::coalesce(batch, strides);
  MatrixLayout* layouts[] = {&shape.a, &shape.b, &shape.c};
  const int64_t sizes[] = {gemm.m * gemm.k, gemm.k * gemm.n, gemm.m * gemm.n};
  for (size_t operand = 0; operand < 3; ++operand) {
    for (size_t axis = 0; axis < batch.size(); ++axis) {
      const int64_t stride = strides[operand][axis];
      layouts[operand]->batch.push_back(stride == 0 ? 1 : batch[axis]);
      layouts[operand]->batch_strides.push_back(stride == 0 ? sizes[operand] : stride);
    }
  }
  return shape;
}

// The small products read x row by row, and w along rows or along columns.
bool suits_small(const BatchGemm& gemm) {
  const size_t rank = gemm.batch.size();
  return gemm.x.strides[rank + 1] == 1 &&
         (gemm.w.strides[rank] == 1 || gemm.w.strides[rank + 1] == 1);
}

}  // namespace

bool is_packed_nowhere(const Claim& claim, const Tensor& weight) {
  if (weight.dtype() == DType::kF32 || weight.count() == 0) return false;
  return weight.count() >= kLargeWeight || claim.half_elements() >= kManyWeights;
}

std::unique_ptr<plan::Kernel> make_gemm(Claim& claim, WeightGemm gemm) {
  gemm.weight.reader = packed_reader(std::move(gemm.weight.reader));
  if (!gemm.bias && !gemm.result_strides) gemm.bias = claim.take_bias(gemm.n);
  const std::optional<Activation> activation = take_activation(claim);
  std::optional<Ref> bias;
  if (gemm.bias && !all_zero(*gemm.bias)) bias = claim.hold(*gemm.bias).ref;
  const Place y = gemm.result_strides ? claim.result_as(*gemm.result_strides) : claim.result();
  claim.set_kind("gemm");
  const auto m = static_cast<double>(gemm.m), n = static_cast<double>(gemm.n),
             k = static_cast<double>(gemm.k);
  claim.set_cost(2 * m * n * k, 4 * (m * k + n * k + m * n));
  const Epilogue epilogue(bias, activation);
  if (gemm.m <= (is_multiplied_packed(gemm) ? kMaxPackedRows : kMaxDotRows)) {
    return make_few_rows(claim, gemm, y, epilogue);
  }
  if (gemm.weight.reader == nullptr && is_packed_nowhere(claim, gemm.weight.dense)) {
    gemm.weight.reader = half_rows(gemm.weight.dense);
  }
  std::unique_ptr<plan::Kernel> kernel = gemm.weight.reader != nullptr
                                             ? make_panels(claim, gemm, y, bias, activation)
                                             : make_packed(claim, gemm, y, bias, activation);
  return kernel != nullptr ? std::move(kernel) : make_repeated(claim, gemm, y, epilogue);
}

std::unique_ptr<plan::Kernel> make_gemm(Claim& claim, const BatchGemm& gemm) {
  const bool small = gemm.m <= kMaxDotRows && suits_small(gemm);
  if (gemm.w.dtype != DType::kF32 && !small) return nullptr;
  std::unique_ptr<Matmul> matmul = small ? nullptr : library_of(claim).matmul(batch_shape(gemm));
  if (matmul == nullptr && !suits_small(gemm)) return nullptr;
  const Place y = claim.result();
  claim.set_kind("gemm");
  const auto batches = static_cast<double>(count_of(gemm.batch));
  const auto m = static_cast<double>(gemm.m), n = static_cast<double>(gemm.n),
             k = static_cast<double>(gemm.k);
  claim.set_cost(2 * batches * m * n * k, 4 * batches * (m * k + n * k + m * n));
  if (matmul != nullptr) return std::make_unique<LibraryBatch>(claim, gemm, y, std::move(matmul));
  return std::make_unique<SmallBatch>(gemm, y, Epilogue(gemm.bias, gemm.activation));
}

}  // namespace mw::cpu
