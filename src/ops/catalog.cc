// The list of all ops: one line each, a family per paragraph. `X(name)` stands for a function
// `OpDef name()` in namespace mw::ops, in a file of one of the family folders.
#include "ops/catalog.h"

// clang-format off
#define MW_ELEMENTWISE_OPS(X) \
  X(const_op) X(identity) X(abs_op) X(acos_op) X(asin_op) X(atan_op) X(atanh_op) X(ceil_op) \
  X(cos_op) X(cosh_op) X(erf_op) X(exp_op) X(exp2_op) X(floor_op) X(inverse_op) X(log_op) \
  X(logical_not_op) X(round_op) X(rsqrt_op) X(sign_op) X(sin_op) X(sinh_op) X(sqrt_op) \
  X(square_op) X(tan_op) X(tanh_op) X(cast) X(add_op) X(sub_op) X(mul_op) X(real_div_op) \
  X(floor_div_op) X(mod_op) X(pow_op) X(maximum_op) X(minimum_op) X(equal_op) X(not_equal_op) \
  X(greater_op) X(greater_equal_op) X(less_op) X(less_equal_op) X(logical_and_op) \
  X(logical_or_op) X(logical_xor_op) X(select_op) X(clip_op) X(threshold_op) X(relu_op) \
  X(relu6_op) X(leaky_relu_op) X(elu_op) X(gelu_op) X(silu_op) X(sigmoid_op) X(sigmoid_hard_op) \
  X(softplus_op) X(softplus_parametric) X(prelu) X(softsign_op) X(scaled_tanh_op) \
  X(clamped_relu_op) X(linear_activation_op) X(thresholded_relu_op) X(softmax) X(stop_gradient)

#define MW_REDUCE_OPS(X) \
  X(reduce_l1_norm) X(reduce_l2_norm) X(reduce_log_sum) X(reduce_log_sum_exp) X(reduce_max) \
  X(reduce_mean) X(reduce_min) X(reduce_prod) X(reduce_sum) X(reduce_sum_square) \
  X(reduce_argmax) X(reduce_argmin) X(cumsum) X(classify)

#define MW_QUANT_OPS(X) \
  X(constexpr_affine_dequantize) X(constexpr_blockwise_shift_scale) X(constexpr_cast) \
  X(constexpr_lut_to_dense) X(constexpr_sparse_to_dense) X(constexpr_lut_to_sparse) \
  X(constexpr_sparse_blockwise_shift_scale) X(quantize) X(dequantize)

#define MW_RANDOM_OPS(X) \
  X(random_uniform) X(random_normal) X(random_bernoulli) X(random_categorical)

#define MW_SHAPE_OPS(X) \
  X(shape) X(reshape) X(reshape_like) X(squeeze) X(expand_dims) X(flatten2d) X(transpose) \
  X(concat) X(split) X(stack) X(tile) X(slice_by_index) X(slice_update) X(slice_by_size) \
  X(pad) X(reverse) X(sliding_windows) X(band_part) X(fill) X(fill_like) X(range_1d) \
  X(depth_to_space) X(space_to_depth) X(pixel_shuffle) X(pixel_unshuffle) X(batch_to_space) \
  X(space_to_batch)

#define MW_INDEX_OPS(X) \
  X(gather) X(gather_along_axis) X(gather_nd) X(scatter) X(scatter_along_axis) X(scatter_nd) \
  X(one_hot) X(argsort) X(topk) X(non_zero) X(reverse_sequence) X(non_maximum_suppression)

#define MW_CONTROL_OPS(X) \
  X(cond) X(while_loop) X(make_list) X(list_length) X(list_read) X(list_write) X(list_gather) \
  X(list_scatter)

#define MW_STATE_OPS(X) \
  X(read_state) X(write_state) X(mw_read_state) X(mw_write_state)

#define MW_MATMUL_OPS(X) \
  X(linear) \
  X(matmul) \
  X(einsum)

#define MW_CONV_OPS(X) \
  X(conv) \
  X(conv_quantized) \
  X(conv_transpose) \
  X(conv_weight_gradient) \
  X(avg_pool) \
  X(max_pool) \
  X(l2_pool)

#define MW_NORM_OPS(X) \
  X(layer_norm) \
  X(batch_norm) \
  X(instance_norm) \
  X(l2_norm) \
  X(local_response_norm)

#define MW_LOSS_OPS(X) \
  X(cross_entropy) X(distillation) X(squared_error) X(binary_cross_entropy) X(log_softmax) \
  X(linear_cross_entropy)

#define MW_ATTENTION_OPS(X) \
  X(scaled_dot_product_attention) X(scaled_attention) X(scaled_attention_gradient)

#define MW_RECURRENT_OPS(X) \
  X(lstm) \
  X(gru) \
  X(rnn)

#define MW_IMAGE_OPS(X) \
  X(upsample_nearest_neighbor) \
  X(upsample_bilinear) \
  X(resize_nearest_neighbor) \
  X(resize_bilinear) \
  X(resize) \
  X(crop) \
  X(crop_resize) \
  X(resample) \
  X(affine)


#define MW_ALL_OPS(X) \
  MW_ELEMENTWISE_OPS(X) MW_REDUCE_OPS(X) MW_QUANT_OPS(X) MW_RANDOM_OPS(X) MW_SHAPE_OPS(X) \
  MW_INDEX_OPS(X) MW_CONTROL_OPS(X) MW_STATE_OPS(X) MW_MATMUL_OPS(X) MW_CONV_OPS(X) \
  MW_NORM_OPS(X) MW_LOSS_OPS(X) MW_ATTENTION_OPS(X) MW_RECURRENT_OPS(X) MW_IMAGE_OPS(X)
// clang-format on

namespace mw::ops {

#define MW_DECLARE(op) ir::OpDef op();
MW_ALL_OPS(MW_DECLARE)
#undef MW_DECLARE

const ir::Catalog& catalog() {
  static const ir::Catalog kCatalog = [] {
    ir::Catalog all;
#define MW_ADD(op) all.add(op());
    MW_ALL_OPS(MW_ADD)
#undef MW_ADD
    return all;
  }();
  return kCatalog;
}

}  // namespace mw::ops
