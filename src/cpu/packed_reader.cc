// All rows of a part by one call.
#include <utility>

#include "cpu/packed.h"

namespace mw::cpu {
namespace {

class PackedReader : public plan::WeightReader {
 public:
  explicit PackedReader(std::shared_ptr<const plan::WeightReader> reader)
      : reader_(std::move(reader)), matrix_(*reader_->packed()) {}

  void read(int64_t first, int64_t count, float* out) const override {
    read_part(first, count, 0, matrix_.columns, out);
  }
  void read_part(int64_t first, int64_t count, int64_t from, int64_t length,
                 float* out) const override {
    read_packed(matrix_, {first, count, from, length}, out);
  }
  [[nodiscard]] const PackedMatrix* packed() const override { return &matrix_; }

 private:
  std::shared_ptr<const plan::WeightReader> reader_;
  const PackedMatrix& matrix_;
};

}  // namespace

std::shared_ptr<const plan::WeightReader> packed_reader(
    std::shared_ptr<const plan::WeightReader> reader) {
  if (reader == nullptr || reader->packed() == nullptr) return reader;
  return std::make_shared<PackedReader>(std::move(reader));
}

}  // namespace mw::cpu
