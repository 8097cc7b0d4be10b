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
#include "millwright/feature.hpp"
#include "millwright/generation.hpp"
#include "millwright/settings.hpp"
#include "millwright/tensor.hpp"
#include "millwright/tokenizer.hpp"

namespace mw {

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

  // Continues a prompt token by token, as docs/language-models.md tells. The callback, which may be
  // empty, is given each piece of text as it comes and ends it by returning false. Throws
  // invalid_argument for a setting with a value that it cannot have.
  [[nodiscard]] Generation generate(const std::string& prompt,
                                    const GenerationSettings& settings = {},
                                    const OnText& on_text = {}) const;
  [[nodiscard]] Generation generate(const std::vector<int32_t>& prompt,
                                    const GenerationSettings& settings = {},
                                    const OnText& on_text = {}) const;

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
