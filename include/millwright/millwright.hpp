// Millwright: open a Core ML model, run it, train it and write it back, on any machine.
//
//   #include <millwright/millwright.hpp>
//   auto model = mw::CoreMLModelWrapper::load("shakespeare.mlpackage");
//   const mw::Tokenizer& tok = model.tokenizer();
//   mw::Tensor logits = model.forward(tok.encode("To be, or not"));      // [1, time, vocab]
//   mw::TensorMap out = model.predict({{"x", x}, {"mask", mask}});       // any model
//
// Every call that fails throws mw::Error (error.hpp): one sentence that says what to do.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millwright/error.hpp"
#include "millwright/tensor.hpp"
#include "millwright/tokenizer.hpp"

namespace mw {

// What floats inside the model are computed in; inputs, outputs and states keep their own dtypes.
enum class Compute : uint8_t {
  kFp32,
  kFp64,  // slow and exact: the oracle
  kFp16,  // fp32 arithmetic, every fp16 value of the file rounded to fp16, as a device would
};

struct LoadOptions {
  std::string function;        // of a multi-function package; empty: its default
  std::string device = "cpu";  // what computes; load() answers an unknown name with those there are
  int threads = 0;             // 0: all cores
  Compute compute = Compute::kFp32;
  // A tokenizer.json or its folder; empty: look in and beside the model.
  std::filesystem::path tokenizer;
  // What StudentModel::save_adapter() or Hugging Face PEFT wrote; empty: none.
  std::filesystem::path adapter;
  bool naive = false;    // run op by op with the reference implementations
  bool profile = false;  // keep the time of every step; `millwright run --profile` prints them
  // Passes after which the program goes to stderr as text, whenever they run for this model or a
  // student of it; "all": after each. docs/passes.md lists them; so does the sentence that answers
  // an unknown name.
  std::vector<std::string> print_after;
};

// One input, output or state as the model declares it.
struct FeatureDescription {
  std::string name;
  std::string kind;  // "MultiArray", "Image", "String", "Int64", "Double", "Dictionary", "State"
  DType dtype = DType::kF32;
  Shape shape;  // default or fixed shape; -1 for an extent the file does not state
  std::vector<std::pair<int64_t, int64_t>> ranges;  // per axis, when flexible; upper -1: unbounded
  std::vector<Shape> enumerated;                    // the allowed shapes, when enumerated
  bool optional = false;
  std::string description;
};

// The storage of a model's states (a KV cache, say), zero at first. Belongs to the caller: one per
// conversation; not to be used by two calls at once.
class MW_API State {
 public:
  State();
  ~State();
  State(State&&) noexcept;
  State& operator=(State&&) noexcept;

  void reset();  // zeros again
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] Tensor get(const std::string& name) const;  // a copy
  // Shape and dtype must be the declared ones.
  void set(const std::string& name, const Tensor& value);

 private:
  friend class CoreMLModelWrapper;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A loaded model. Copies share everything; predict() and forward() may be called from several
// threads.
class MW_API CoreMLModelWrapper {
 public:
  // `path`: a .mlmodelc or .mlpackage folder, or an .mlmodel file.
  static CoreMLModelWrapper load(const std::filesystem::path& path,
                                 const LoadOptions& options = {});

  // Named tensors in, all outputs out. Extents must lie in the declared ranges; integers and floats
  // are converted where no value changes its meaning. Models with states need the second form.
  [[nodiscard]] TensorMap predict(const TensorMap& inputs) const;
  [[nodiscard]] TensorMap predict(const TensorMap& inputs, State& state) const;
  // The same, and every value whose name matches one of `taps` (globs) beside the outputs.
  [[nodiscard]] TensorMap predict(const TensorMap& inputs, State* state,
                                  const std::vector<std::string>& taps) const;
  [[nodiscard]] State make_state() const;

  // Token ids [time] or [batch, time] -> logits [batch, time, vocab] in fp32, or [batch, 1, vocab]
  // where the model gives those of the last token only. Masks, positions and caches are made for
  // the caller. Inputs shorter than any the model takes are padded on the right, the logits cut.
  [[nodiscard]] Tensor forward(const std::vector<int32_t>& ids) const;
  [[nodiscard]] Tensor forward(const Tensor& ids) const;

  // Found when first asked for; throws with the places looked at when there is none.
  [[nodiscard]] const Tokenizer& tokenizer() const;

  [[nodiscard]] std::vector<FeatureDescription> inputs() const;
  [[nodiscard]] std::vector<FeatureDescription> outputs() const;
  [[nodiscard]] std::vector<FeatureDescription> states() const;
  [[nodiscard]] std::string function() const;
  [[nodiscard]] std::vector<std::string> functions() const;
  [[nodiscard]] std::map<std::string, std::string> metadata() const;
  [[nodiscard]] std::filesystem::path path() const;

  // Bytes the session holds for weights: mapped blobs in use, packed copies and tables.
  [[nodiscard]] uint64_t weight_bytes_held() const;

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mw
