// The bodies of the fuzzers: decode, use every result once, and decode what was encoded again.
#include "package/fuzz_targets.h"

#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/error.h"
#include "ir/text/text.h"
#include "package/blob.h"
#include "package/coremldata.h"
#include "package/description_proto.h"
#include "package/metadata_json.h"
#include "package/program_proto.h"
#include "package/read_spec.h"

namespace mw::package {
namespace {

template <class Body>
void tolerate_errors(const Body& body) {
  try {
    body();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInternal) throw;
  }
}

// Zeros for every blob, of sizes that a fuzzer can afford.
class ZeroBlobs : public ir::BlobResolver {
 public:
  Tensor resolve(const ir::Type& type, const ir::BlobRef&) override {
    constexpr int64_t kMost = 1 << 16;
    if (bytes_of(type.dtype(), count_of(type.shape())) > kMost) {
      fail(ErrorCode::kInvalidModel, "a blob of more than {} bytes", kMost);
    }
    return Tensor(type.dtype(), type.shape());
  }
};

std::string encoded(const Model& model) {
  pb::Model spec;
  spec.set_specificationversion(model.spec_version);
  *spec.mutable_description() = description_to_proto(model, /*strip_metadata=*/false);
  program_to_proto(
      *model.program, [](const ir::Constant& constant) { return constant.blob_ref(); },
      spec.mutable_mlprogram());
  return spec.SerializeAsString();
}

void read_all(const Tensor& tensor) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
  volatile int sum = std::accumulate(bytes, bytes + tensor.nbytes(), 0);
  static_cast<void>(sum);
}

Model tiny_model() {
  Model model;
  model.program = ir::text::parse(
      "program(1.0) { func main<ios17>(tensor<fp32, [1, 3, 8, 8]> image, tensor<int32, [1, ?]> "
      "ids) { "
      "tensor<fp32, [1, 3, 8, 8]> y = relu(x = image); } -> (y); }");
  return model;
}

}  // namespace

void fuzz_package(std::span<const std::byte> bytes) {
  std::string once;
  tolerate_errors([&] {
    ZeroBlobs blobs;
    Model model;
    read_spec(bytes, &blobs, model);
    once = encoded(model);
  });
  if (once.empty()) return;
  ZeroBlobs blobs;
  Model again;
  read_spec(std::as_bytes(std::span(once)), &blobs, again);
  if (encoded(again) != once) throw std::logic_error("a model changes when it is written twice");
}

void fuzz_blob(std::span<const std::byte> bytes) {
  tolerate_errors([&] {
    const BlobFile file(bytes, nullptr);
    for (uint64_t offset = 0; offset < bytes.size() + 128 && offset < 1024; offset += 32) {
      tolerate_errors([&] {
        const BlobRecord record = file.record(offset);
        const auto bits = static_cast<int64_t>(record.size * 8 - record.padding_bits % 8);
        const int64_t count = bits / bit_width(record.dtype);
        read_all(file.tensor(ir::Type::tensor(record.dtype, {count}), offset));
        tolerate_errors([&] {
          read_all(file.tensor(ir::Type::tensor(record.dtype, {count, 2}), offset));
        });
        read_all(file.tensor(ir::Type::tensor(DType::kF32, {INT64_MAX, INT64_MAX}), offset));
      });
    }
  });
}

void fuzz_metadata(std::span<const std::byte> bytes) {
  tolerate_errors([&] {
    const CompiledData data = read_coremldata(bytes);
    if (!data.description) return;
    Model model = tiny_model();
    description_from_proto(*data.description, model);
    static_cast<void>(
        coremldata_bytes(9, description_to_proto(model, false), model.functions.size()));
    reconcile(model);
    static_cast<void>(metadata_json_text(model, "fuzz", false));
  });
  tolerate_errors([&] {
    Model model = tiny_model();
    reconcile(model);
    apply_metadata_hints({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, model);
    static_cast<void>(metadata_json_text(model, "fuzz", false));
  });
}

}  // namespace mw::package
