// The copy kernel: strided to strided, the innermost axis in one loop.
#include "cpu/copy.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"

namespace mw::cpu {
namespace {

using plan::Frame;
using plan::Kernel;
using plan::Place;
using plan::Strides;

constexpr int64_t kGrainBytes = 1 << 16;

template <class T>
void copy_row(const std::byte* from, int64_t from_stride, std::byte* to, int64_t to_stride,
              int64_t count) {
  const T* source = reinterpret_cast<const T*>(from);
  T* target = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < count; ++i) target[i * to_stride] = source[i * from_stride];
}

using CopyRow = void (*)(const std::byte*, int64_t, std::byte*, int64_t, int64_t);

CopyRow row_copier(int64_t item) {
  switch (item) {
    case 1:
      return copy_row<uint8_t>;
    case 2:
      return copy_row<uint16_t>;
    case 4:
      return copy_row<uint32_t>;
    case 8:
      return copy_row<uint64_t>;
    default:
      fail(ErrorCode::kInternal, "elements of {} bytes cannot be copied", item);
  }
}

class Copy : public Kernel {
 public:
  Copy(const Place& from, const Place& to)
      : from_(from.ref), to_(to.ref), item_(to.item()), shape_(to.shape) {
    std::vector<Strides> strides{from.strides, to.strides};
    plan::coalesce(shape_, strides);
    from_strides_ = strides[0];
    to_strides_ = strides[1];
    if (shape_.empty()) {
      shape_ = {1};
      from_strides_ = to_strides_ = {1};
    }
    row_ = shape_.back();
    rows_ = row_ == 0 ? 0 : to.count() / row_;
    copier_ = row_copier(item_);
    whole_ = from_strides_.back() == 1 && to_strides_.back() == 1;
  }

  void run(const Frame& frame) const override {
    const std::byte* from = frame.at(from_);
    std::byte* to = frame.at(to_);
    if (from == to && from_strides_ == to_strides_) return;  // taken over in place
    if (rows_ == 1 && whole_) {
      const int64_t bytes = row_ * item_;
      parallel_for(bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
        std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
      });
      return;
    }
    const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, row_ * item_));
    parallel_for(rows_, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) copy_row_at(from, to, row);
    });
  }

 private:
  void copy_row_at(const std::byte* from, std::byte* to, int64_t row) const {
    int64_t source = 0, target = 0;
    for (size_t axis = shape_.size() - 1; axis-- > 0;) {
      const int64_t index = row % shape_[axis];
      row /= shape_[axis];
      source += index * from_strides_[axis];
      target += index * to_strides_[axis];
    }
    if (whole_) {
      std::memcpy(to + target * item_, from + source * item_, static_cast<size_t>(row_ * item_));
    } else {
      copier_(from + source * item_, from_strides_.back(), to + target * item_, to_strides_.back(),
              row_);
    }
  }

  plan::Ref from_, to_;
  int64_t item_;
  Shape shape_;
  Strides from_strides_, to_strides_;
  int64_t row_ = 0, rows_ = 0;
  CopyRow copier_ = nullptr;
  bool whole_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_copy(const Place& from, const Place& to) {
  MW_CHECK(from.shape == to.shape && from.dtype == to.dtype);
  return std::make_unique<Copy>(from, to);
}

}  // namespace mw::cpu
