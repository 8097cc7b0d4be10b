// Kernels of the shape ops whose results are put together from strided parts.
#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "cpu/copy.h"
#include "ops/kernels_cpu.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Kernel;
using plan::Place;
using plan::Ref;

constexpr int64_t kGrain = 1 << 14;

// Fills the result where a value is given, then copies the parts.
class Assemble : public Kernel {
 public:
  explicit Assemble(const Place& y) : y_(y.ref), count_(y.count()), item_(y.item()) {}

  void fill_with(const Tensor& value) { fill_ = value; }
  void add(const Place& from, const Place& to) { parts_.push_back(cpu::make_copy(from, to)); }

  void run(const Frame& frame) const override {
    if (!fill_.empty()) fill(frame.at(y_));
    for (const auto& part : parts_) part->run(frame);
  }

 private:
  void fill(std::byte* y) const {
    const auto* value = static_cast<const std::byte*>(fill_.raw());
    const bool same = std::all_of(value, value + item_, [&](std::byte b) { return b == *value; });
    parallel_for(count_, kGrain, [&](int64_t begin, int64_t end) {
      if (same) {
        std::memset(y + begin * item_, std::to_integer<int>(*value),
                    static_cast<size_t>((end - begin) * item_));
        return;
      }
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(y + i * item_, value, static_cast<size_t>(item_));
      }
    });
  }

  Ref y_;
  int64_t count_, item_;
  Tensor fill_;
  std::vector<std::unique_ptr<Kernel>> parts_;
};

bool can_place(const Type& type) {
  return type.is_static() && type.dtype() != DType::kString && bit_width(type.dtype()) >= 8 &&
         count_of(type.shape()) > 0;
}

std::unique_ptr<Assemble> start(Claim& claim, Place& y) {
  y = claim.result();
  claim.set_kind("copy");
  claim.set_cost(0, 2 * static_cast<double>(y.nbytes()));
  claim.set_copied(y.nbytes());
  return std::make_unique<Assemble>(y);
}

// A scalar counts as a vector of 1.
Place as_vector(Place place) {
  if (place.shape.empty()) {
    place.shape = {1};
    place.strides = {1};
  }
  return place;
}

std::unique_ptr<Kernel> make_concat(Claim& claim) {
  const OpView& op = claim.op();
  if (!can_place(op.operation().outputs[0]->type)) return nullptr;
  const auto count = static_cast<int64_t>(op.operand_count("values"));
  Place y;
  auto kernel = start(claim, y);
  const auto axis = static_cast<size_t>(op.axis("axis", static_cast<int64_t>(y.shape.size())));
  const bool interleave = op.flag("interleave");
  int64_t at = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Place part = as_vector(claim.strided("values", static_cast<size_t>(i)));
    Place region = y;
    region.shape = part.shape;
    region.ref.offset += (interleave ? i : at) * y.strides[axis] * y.item();
    if (interleave) region.strides[axis] *= count;
    at += part.shape[axis];
    if (part.count() > 0) kernel->add(part, region);
  }
  return kernel;
}

std::unique_ptr<Kernel> make_stack(Claim& claim) {
  const OpView& op = claim.op();
  if (!can_place(op.operation().outputs[0]->type)) return nullptr;
  Place y;
  auto kernel = start(claim, y);
  const auto axis = op.axis("axis", static_cast<int64_t>(y.shape.size()));
  for (size_t i = 0; i < op.operand_count("values"); ++i) {
    const Place part = claim.strided("values", i);
    Place region = y;
    region.shape = part.shape;
    region.strides.erase(region.strides.begin() + axis);
    region.ref.offset += static_cast<int64_t>(i) * y.strides[static_cast<size_t>(axis)] * y.item();
    kernel->add(part, region);
  }
  return kernel;
}

std::unique_ptr<Kernel> make_tile(Claim& claim) {
  const OpView& op = claim.op();
  const auto reps = op.known_ints("reps");
  if (!reps || !can_place(op.operation().outputs[0]->type)) return nullptr;
  const Place x = claim.strided("x");
  Place y;
  auto kernel = start(claim, y);
  Place from = x, to = y;
  from.shape.clear();
  from.strides.clear();
  for (size_t i = 0; i < reps->size(); ++i) {
    from.shape.insert(from.shape.end(), {(*reps)[i], x.shape[i]});
    from.strides.insert(from.strides.end(), {0, x.strides[i]});
  }
  to.shape = from.shape;
  to.strides = plan::row_major(to.shape);
  kernel->add(from, to);
  return kernel;
}

std::unique_ptr<Kernel> make_pad(Claim& claim) {
  const OpView& op = claim.op();
  const auto pads = op.known_ints("pad");
  if (!pads || op.text("mode") != "constant") return nullptr;
  if (!can_place(op.operation().outputs[0]->type)) return nullptr;
  const Place x = claim.strided("x");
  Place y;
  auto kernel = start(claim, y);
  kernel->fill_with(Tensor::scalar(op.number("constant_val")).to(y.dtype));
  Place region = y;
  region.shape = x.shape;
  const size_t first = x.shape.size() - pads->size() / 2;
  for (size_t i = 0; i < pads->size() / 2; ++i) {
    region.ref.offset += (*pads)[2 * i] * y.strides[first + i] * y.item();
  }
  if (x.count() > 0) kernel->add(x, region);
  return kernel;
}

std::unique_ptr<Kernel> make_fill(Claim& claim) {
  const OpView& op = claim.op();
  if (!can_place(op.operation().outputs[0]->type)) return nullptr;
  if (op.has("value") && !claim.frozen("value")) return nullptr;
  Place y;
  auto kernel = start(claim, y);
  kernel->fill_with(op.has("value") ? claim.constant("value") : Tensor(y.dtype, {}));
  return kernel;
}

}  // namespace

void add_copies_kernels(cpu::KernelTable& table) {
  table["concat"].makes = {make_concat};
  table["stack"].makes = {make_stack};
  table["tile"].makes = {make_tile};
  table["pad"].makes = {make_pad};
  table["fill"].makes = {make_fill};
}

}  // namespace mw::ops
