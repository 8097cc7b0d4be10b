// CoreMLModelWrapper::generate().
#include "api/generate.h"

#include "api/impl.h"
#include "base/error.h"
#include "lm/prompt_cache.h"
#include "train/settings.h"

namespace mw {

Generation generated(const CoreMLModelWrapper& model, const std::vector<int32_t>& prompt,
                     const GenerationSettings& settings, const lm::GeneratorHooks& hooks) {
  training::check(settings);
  const Tokenizer& tokenizer = model.tokenizer();
  const lm::LanguageModel lm =
      in_context([&] { return model.path().string(); },
                 [&] { return lm::LanguageModel(model.impl(), settings.target); });
  lm::Generator generator(lm, tokenizer, settings);
  lm::LanguageModel::Stream stream(lm);
  if (settings.prompt_cache.empty()) return generator.run(stream, prompt, hooks);
  const lm::PromptCache cache(settings.prompt_cache, lm, model.impl());
  lm::GeneratorHooks all = hooks;
  std::string note;
  if (cache.is_there()) {
    all.logits = cache.read(stream);
    all.on_ready = [&, held = stream.size()](const auto& /*logits*/, int64_t reused) {
      note = cache.used(held, reused);
    };
  } else {
    cache.expect_writable();
    all.on_ready = [&](const std::vector<float>& logits, int64_t /*reused*/) {
      cache.write(stream, logits);
      note = cache.written(stream.size());
    };
  }
  Generation done = generator.run(stream, prompt, all);
  if (!note.empty()) done.notes.push_back(note);
  return done;
}

Generation CoreMLModelWrapper::generate(const std::string& prompt,
                                        const GenerationSettings& settings,
                                        const OnText& on_text) const {
  return generate(tokenizer().encode(prompt), settings, on_text);
}

Generation CoreMLModelWrapper::generate(const std::vector<int32_t>& prompt,
                                        const GenerationSettings& settings,
                                        const OnText& on_text) const {
  lm::GeneratorHooks hooks;
  hooks.on_text = on_text;
  return generated(*this, prompt, settings, hooks);
}

}  // namespace mw
