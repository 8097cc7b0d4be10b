// The C API of tokenizers.
#include "api/c_api.h"

using mw::c_api::guarded;
using mw::c_api::outputs_of;
using mw::c_api::require;
using mw::c_api::text_of;

struct mw_tokenizer {
  mw::Tokenizer tokenizer;
};
struct mw_stream_decoder {
  mw::StreamDecoder decoder;
};

namespace {

// Null and 0 for a null tokenizer.
const int32_t* ids_of(const std::vector<int32_t>* ids, size_t* count) {
  if (count != nullptr) *count = ids == nullptr ? 0 : ids->size();
  return ids == nullptr ? nullptr : ids->data();
}

}  // namespace

mw_status mw_model_tokenizer(const mw_model* model, mw_tokenizer** tokenizer) {
  return guarded([&] {
    require(model != nullptr && tokenizer != nullptr,
            "mw_model_tokenizer: model and tokenizer must not be NULL");
    *tokenizer = new mw_tokenizer{model->model.tokenizer()};
  });
}
mw_status mw_tokenizer_load(const char* path, mw_tokenizer** tokenizer) {
  return guarded([&] {
    require(path != nullptr && tokenizer != nullptr,
            "mw_tokenizer_load: path and tokenizer must not be NULL");
    *tokenizer = new mw_tokenizer{mw::Tokenizer::from_file(path)};
  });
}
void mw_tokenizer_free(mw_tokenizer* tokenizer) { delete tokenizer; }
const char* mw_tokenizer_path(const mw_tokenizer* tokenizer) {
  return tokenizer == nullptr ? nullptr : tokenizer->tokenizer.path().c_str();
}

mw_status mw_tokenizer_encode(const mw_tokenizer* tokenizer, const char* text, size_t length,
                              int add_special_tokens, mw_outputs** ids) {
  return guarded([&] {
    require(tokenizer != nullptr && ids != nullptr && (text != nullptr || length == 0),
            "mw_tokenizer_encode: tokenizer, text and ids must not be NULL");
    const std::string_view all = length == 0 ? std::string_view() : std::string_view(text, length);
    const auto found = tokenizer->tokenizer.encode(all, add_special_tokens != 0);
    *ids =
        outputs_of({{"input_ids", mw::Tensor::from(found, {static_cast<int64_t>(found.size())})}});
  });
}
mw_status mw_tokenizer_decode(const mw_tokenizer* tokenizer, const int32_t* ids, size_t count,
                              int skip_special_tokens, const mw_text** text) {
  return guarded([&] {
    require(tokenizer != nullptr && text != nullptr && (ids != nullptr || count == 0),
            "mw_tokenizer_decode: tokenizer, ids and text must not be NULL");
    *text = text_of(tokenizer->tokenizer.decode({ids, count}, skip_special_tokens != 0));
  });
}

int64_t mw_tokenizer_vocab_size(const mw_tokenizer* tokenizer) {
  return tokenizer == nullptr ? 0 : tokenizer->tokenizer.vocab_size();
}
int64_t mw_tokenizer_id_limit(const mw_tokenizer* tokenizer) {
  return tokenizer == nullptr ? 0 : tokenizer->tokenizer.id_limit();
}
int32_t mw_tokenizer_token_to_id(const mw_tokenizer* tokenizer, const char* token) {
  if (tokenizer == nullptr || token == nullptr) return -1;
  return tokenizer->tokenizer.token_to_id(token).value_or(-1);
}
mw_status mw_tokenizer_id_to_token(const mw_tokenizer* tokenizer, int32_t id,
                                   const mw_text** token) {
  return guarded([&] {
    require(tokenizer != nullptr && token != nullptr,
            "mw_tokenizer_id_to_token: tokenizer and token must not be NULL");
    const auto found = tokenizer->tokenizer.id_to_token(id);
    *token = found ? text_of(*found) : nullptr;
  });
}
const int32_t* mw_tokenizer_special_ids(const mw_tokenizer* tokenizer, size_t* count) {
  return ids_of(tokenizer == nullptr ? nullptr : &tokenizer->tokenizer.special_ids(), count);
}
const int32_t* mw_tokenizer_end_of_text_ids(const mw_tokenizer* tokenizer, size_t* count) {
  return ids_of(tokenizer == nullptr ? nullptr : &tokenizer->tokenizer.end_of_text_ids(), count);
}

mw_status mw_stream_decoder_create(const mw_tokenizer* tokenizer, int skip_special_tokens,
                                   mw_stream_decoder** decoder) {
  return guarded([&] {
    require(tokenizer != nullptr && decoder != nullptr,
            "mw_stream_decoder_create: tokenizer and decoder must not be NULL");
    *decoder =
        new mw_stream_decoder{mw::StreamDecoder(tokenizer->tokenizer, skip_special_tokens != 0)};
  });
}
void mw_stream_decoder_free(mw_stream_decoder* decoder) { delete decoder; }
mw_status mw_stream_decoder_push(mw_stream_decoder* decoder, int32_t id, const mw_text** text) {
  return guarded([&] {
    require(decoder != nullptr && text != nullptr,
            "mw_stream_decoder_push: decoder and text must not be NULL");
    *text = text_of(decoder->decoder.push(id));
  });
}
mw_status mw_stream_decoder_flush(mw_stream_decoder* decoder, const mw_text** text) {
  return guarded([&] {
    require(decoder != nullptr && text != nullptr,
            "mw_stream_decoder_flush: decoder and text must not be NULL");
    *text = text_of(decoder->decoder.flush());
  });
}
