// The ops that trade channels or batch for space, block by block: depth_to_space, space_to_depth,
// pixel_shuffle, pixel_unshuffle, batch_to_space, space_to_batch. Each is a transpose of x seen
// with its axes cut; b is the side of a block:
//   depth_to_space   [n, (b b c), h, w]     -> [n, c, (h b), (w b)]
//   space_to_depth   [n, c, (h b), (w b)]   -> [n, (b b c), h, w]
//   pixel_shuffle    [n, (c b b), h, w]     -> [n, c, (h b), (w b)]
//   pixel_unshuffle  [n, c, (h b), (w b)]   -> [n, (c b b), h, w]
//   batch_to_space   [(bh bw n), c, h, w]   -> [n, c, (h bh), (w bw)], cropped
//   space_to_batch   [n, c, (h bh), (w bw)], padded -> [(bh bw n), c, h, w]
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxBlock = int64_t{1} << 20;

int64_t divided(const OpView& op, std::string_view input, int64_t extent, int64_t divisor) {
  if (extent == kAny) return kAny;
  if (extent % divisor != 0) {
    op.reject(input, "expected extents that are multiples of {}, got {}", divisor, extent);
  }
  return extent / divisor;
}

// y = x, seen with the extents `cut`, transposed by `perm`.
void rearrange(const Tensor& x, const Shape& cut, const std::vector<size_t>& perm, Tensor& y) {
  const std::vector<int64_t> strides = strides_of(cut);
  Shape walk;
  Layout from;
  for (const size_t axis : perm) {
    walk.push_back(cut[axis]);
    from.strides.push_back(strides[axis]);
  }
  copy_elements(walk, x, from, y, {strides_of(walk)});
}

Type image(const OpView& op) {
  Type x = expect_movable(op, "x");
  expect_rank(op, "x", 4, 4);
  return x;
}

// --- channels and space ----------------------------------------------------------------------

Type channels_to_space(const OpView& op, std::string_view block_input) {
  const Type type = image(op);
  const Shape& x = type.shape();
  const int64_t b = integer_in(op, block_input, 1, kMaxBlock);
  return Type::tensor(type.dtype(),
                      {x[0], divided(op, "x", x[1], b * b), dim_mul(x[2], b), dim_mul(x[3], b)});
}

Type space_to_channels(const OpView& op, std::string_view block_input) {
  const Type type = image(op);
  const Shape& x = type.shape();
  const int64_t b = integer_in(op, block_input, 1, kMaxBlock);
  return Type::tensor(type.dtype(), {x[0], dim_mul(x[1], b * b), divided(op, "x", x[2], b),
                                     divided(op, "x", x[3], b)});
}

void evaluate_depth_to_space(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t b = e.integer("block_size");
  rearrange(x, {x.dim(0), b, b, x.dim(1) / (b * b), x.dim(2), x.dim(3)}, {0, 3, 4, 1, 5, 2},
            e.out());
}

void evaluate_pixel_shuffle(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t b = e.integer("upscale_factor");
  rearrange(x, {x.dim(0), x.dim(1) / (b * b), b, b, x.dim(2), x.dim(3)}, {0, 1, 4, 2, 5, 3},
            e.out());
}

Shape cut_space(const Tensor& x, int64_t bh, int64_t bw) {
  return {x.dim(0), x.dim(1), x.dim(2) / bh, bh, x.dim(3) / bw, bw};
}

void evaluate_space_to_depth(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t b = e.integer("block_size");
  rearrange(x, cut_space(x, b, b), {0, 3, 5, 1, 2, 4}, e.out());
}

void evaluate_pixel_unshuffle(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t b = e.integer("downscale_factor");
  rearrange(x, cut_space(x, b, b), {0, 1, 3, 5, 2, 4}, e.out());
}

// --- batch and space -------------------------------------------------------------------------

struct Borders {
  int64_t bh = 1, bw = 1;                            // block_shape
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // crops or paddings
};

Borders borders_of(const OpView& op, std::string_view input) {
  expect_shape(op, "block_shape", {2});
  expect_shape(op, input, {2, 2});
  const std::vector<int64_t> block = op.ints("block_shape"), sides = op.ints(input);
  for (const int64_t value : block) {
    if (value < 1 || value > kMaxBlock) {
      op.reject("block_shape", "expected values in [1, {}], got {}", kMaxBlock, value);
    }
  }
  for (const int64_t value : sides) {
    if (value < 0) op.reject(input, "expected values of at least 0, got {}", value);
  }
  return {block[0], block[1], sides[0], sides[1], sides[2], sides[3]};
}

int64_t cropped(const OpView& op, int64_t extent, int64_t crop) {
  if (extent == kAny) return kAny;
  if (crop > extent) {
    op.reject("crops", "expected at most the extent {} in all, got {}", extent, crop);
  }
  return extent - crop;
}

Type infer_batch_to_space(const OpView& op) {
  const Type type = image(op);
  const Shape& x = type.shape();
  const Borders s = borders_of(op, "crops");
  return Type::tensor(type.dtype(), {divided(op, "x", x[0], s.bh * s.bw), x[1],
                                     cropped(op, dim_mul(x[2], s.bh), dim_add(s.top, s.bottom)),
                                     cropped(op, dim_mul(x[3], s.bw), dim_add(s.left, s.right))});
}

Type infer_space_to_batch(const OpView& op) {
  const Type type = image(op);
  const Shape& x = type.shape();
  const Borders s = borders_of(op, "paddings");
  return Type::tensor(type.dtype(),
                      {dim_mul(x[0], s.bh * s.bw), x[1],
                       divided(op, "x", dim_add(x[2], dim_add(s.top, s.bottom)), s.bh),
                       divided(op, "x", dim_add(x[3], dim_add(s.left, s.right)), s.bw)});
}

void evaluate_batch_to_space(Eval& e) {
  const Tensor& x = e.in("x");
  const Borders s = borders_of(e, "crops");
  const int64_t batch = x.dim(0) / (s.bh * s.bw);
  Tensor whole(x.dtype(), {batch, x.dim(1), x.dim(2) * s.bh, x.dim(3) * s.bw});
  rearrange(x, {s.bh, s.bw, batch, x.dim(1), x.dim(2), x.dim(3)}, {2, 3, 4, 0, 5, 1}, whole);
  Layout from{strides_of(whole.shape())};
  from.offset = s.top * from.strides[2] + s.left;
  Tensor& y = e.out();
  copy_elements(y.shape(), whole, from, y, {strides_of(y.shape())});
}

void evaluate_space_to_batch(Eval& e) {
  const Tensor& x = e.in("x");
  const Borders s = borders_of(e, "paddings");
  Tensor padded(x.dtype(),
                {x.dim(0), x.dim(1), x.dim(2) + s.top + s.bottom, x.dim(3) + s.left + s.right});
  Layout to{strides_of(padded.shape())};
  to.offset = s.top * to.strides[2] + s.left;
  copy_elements(x.shape(), x, {strides_of(x.shape())}, padded, to);
  rearrange(padded, cut_space(padded, s.bh, s.bw), {3, 5, 0, 1, 2, 4}, e.out());
}

// --- gradients -------------------------------------------------------------------------------

// g through the op that undoes this one; its inputs are called otherwise, but say the same.
void undo(Vjp& v, const char* inverse, const char* input, const char* as) {
  std::vector<Argument> arguments = same_inputs(v, {"block_shape"});
  arguments.emplace_back(as, v.in(input));
  v.add("x", grad(v).op(inverse, arguments));
}

// From channels (b b c) to (c b b).
void pixel_shuffle_rule(Vjp& v) {
  const Shape x = v.shape("x");
  const int64_t b = v.integer("upscale_factor");
  const Expr cut = grad(v).op("space_to_depth", {{"block_size", b}});
  const Expr seen = reshape(cut, {x[0], b * b, x[1] / (b * b), x[2] * x[3]});
  v.add("x", reshape(transpose(seen, {0, 2, 1, 3}), x));
}

void pixel_unshuffle_rule(Vjp& v) {
  v.add("x", grad(v).op("pixel_shuffle", {{"upscale_factor", v.integer("downscale_factor")}}));
}

OpDef with_block(const char* name, const char* block_input, DType block_dtype) {
  OpDef def(name);
  def.types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input(block_input, block_dtype, kConst);
  return def;
}

OpDef with_borders(const char* name, const char* borders_input) {
  OpDef def(name);
  def.types("T", {DType::kF16, DType::kF32}).input("x", "T");
  return def.input("block_shape", DType::kI32, kConst).input(borders_input, DType::kI32, kConst);
}

}  // namespace

OpDef depth_to_space() {
  return with_block("depth_to_space", "block_size", DType::kI32)
      .infer([](const OpView& op) { return channels_to_space(op, "block_size"); })
      .eval(evaluate_depth_to_space)
      .vjp([](Vjp& v) { undo(v, "space_to_depth", "block_size", "block_size"); });
}

OpDef space_to_depth() {
  return with_block("space_to_depth", "block_size", DType::kI32)
      .infer([](const OpView& op) { return space_to_channels(op, "block_size"); })
      .eval(evaluate_space_to_depth)
      .vjp([](Vjp& v) { undo(v, "depth_to_space", "block_size", "block_size"); });
}

OpDef pixel_shuffle() {
  return with_block("pixel_shuffle", "upscale_factor", DType::kI32)
      .infer([](const OpView& op) { return channels_to_space(op, "upscale_factor"); })
      .eval(evaluate_pixel_shuffle)
      .vjp(pixel_shuffle_rule);
}

OpDef pixel_unshuffle() {
  return with_block("pixel_unshuffle", "downscale_factor", DType::kU32)
      .first(Opset::kIos16)
      .infer([](const OpView& op) { return space_to_channels(op, "downscale_factor"); })
      .eval(evaluate_pixel_unshuffle)
      .vjp(pixel_unshuffle_rule);
}

OpDef batch_to_space() {
  return with_borders("batch_to_space", "crops")
      .infer(infer_batch_to_space)
      .eval(evaluate_batch_to_space)
      .vjp([](Vjp& v) { undo(v, "space_to_batch", "crops", "paddings"); });
}

OpDef space_to_batch() {
  return with_borders("space_to_batch", "paddings")
      .infer(infer_space_to_batch)
      .eval(evaluate_space_to_batch)
      .vjp([](Vjp& v) { undo(v, "batch_to_space", "paddings", "crops"); });
}

}  // namespace mw::ops
