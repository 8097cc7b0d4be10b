// The C API of generation.
#include <memory>

#include "api/c_student.h"
#include "api/coerce.h"

using mw::c_api::answer_of;
using mw::c_api::expect_taken;
using mw::c_api::guarded;
using mw::c_api::pointers_to;
using mw::c_api::require;

namespace {

struct Generated {
  mw::Generation generation;
  std::vector<const char*> notes;
  mw_generation view{};
};

mw::OnText teller(mw_tell_text tell, void* user) {
  if (tell == nullptr) return nullptr;
  return [tell, user](const std::string& piece) {
    return answer_of("text", [&] { return tell(piece.c_str(), piece.size(), user); }) == 0;
  };
}

void give(mw::Generation&& generation, const mw_generation** given) {
  if (given == nullptr) return;
  auto made = std::make_unique<Generated>();
  made->generation = std::move(generation);
  const mw::Generation& g = made->generation;
  made->notes = pointers_to(g.notes);
  made->view = {.text = g.text.c_str(),
                .text_size = g.text.size(),
                .ids = g.ids.data(),
                .id_count = g.ids.size(),
                .end = mw::Choices<mw::GenerationEnd>::kNames.at(static_cast<size_t>(g.end)),
                .reason = g.reason.c_str(),
                .prompt_tokens = g.prompt_tokens,
                .reused_tokens = g.reused_tokens,
                .first_token_seconds = g.first_token_seconds,
                .seconds = g.seconds,
                .tokens_per_second = g.tokens_per_second(),
                .notes = made->notes.data(),
                .note_count = made->notes.size(),
                .held = made.get()};
  *given = &made.release()->view;
}

std::vector<int32_t> ids_of(mw_tensor ids) {
  ids.name = "ids";
  const mw::Tensor given = mw::c_api::wrap_all(&ids, 1, "mw_generate_from_ids").at("ids");
  const mw::Shape& shape = given.shape();
  if (shape.empty() || given.count() != shape.back()) {
    mw::fail(mw::ErrorCode::kInvalidArgument, "ids: expected a shape [time] or [1, time], got {}",
             mw::to_string(shape));
  }
  const mw::Tensor whole = mw::coerced("ids", given, mw::DType::kI32);
  const auto values = whole.values<int32_t>();
  return {values.begin(), values.end()};
}

template <class Prompt>
void generate(const mw_model& model, const Prompt& prompt, const mw_settings* settings,
              const mw::OnText& on_text, const mw_generation** generation) {
  mw::GenerationSettings usual;
  if (settings != nullptr) {
    expect_taken(settings->refused_by_generation);
    usual = settings->generation;
  }
  give(model.model.generate(prompt, usual, on_text), generation);
}

}  // namespace

mw_status mw_generate(const mw_model* model, const char* prompt, const mw_settings* settings,
                      mw_tell_text tell, void* user, const mw_generation** generation) {
  return guarded([&] {
    require(model != nullptr && prompt != nullptr,
            "mw_generate: model and prompt must not be NULL");
    generate(*model, std::string(prompt), settings, teller(tell, user), generation);
  });
}

mw_status mw_generate_from_ids(const mw_model* model, const mw_tensor* ids,
                               const mw_settings* settings, mw_tell_text tell, void* user,
                               const mw_generation** generation) {
  return guarded([&] {
    require(model != nullptr && ids != nullptr,
            "mw_generate_from_ids: model and ids must not be NULL");
    generate(*model, ids_of(*ids), settings, teller(tell, user), generation);
  });
}

void mw_generation_free(const mw_generation* generation) {
  if (generation != nullptr) delete static_cast<Generated*>(generation->held);
}
