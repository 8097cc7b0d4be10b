/* Text to token ids and back, as a model's tokenizer.json says. millwright.h includes it.
 *
 *   mw_tokenizer* tokenizer = NULL;
 *   mw_model_tokenizer(model, &tokenizer);
 *   mw_outputs* ids = NULL;
 *   mw_tokenizer_encode(tokenizer, "To be", 5, 1, &ids);
 *   const mw_tensor* tensor = mw_outputs_at(ids, 0);
 *   const mw_text* text = NULL;
 *   mw_tokenizer_decode(tokenizer, (const int32_t*)tensor->data, (size_t)tensor->shape[0], 1,
 * &text); puts(text->bytes); mw_text_free(text); mw_outputs_free(ids);
 *   mw_tokenizer_free(tokenizer);
 */
#ifndef MILLWRIGHT_TOKENIZER_H
#define MILLWRIGHT_TOKENIZER_H

#include "millwright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mw_tokenizer mw_tokenizer;

/* The one that the setting `tokenizer` names, else the one in or beside the model. The model may be
 * freed first. */
MW_C_API mw_status mw_model_tokenizer(const mw_model* model, mw_tokenizer** tokenizer);
/* Of a tokenizer.json. */
MW_C_API mw_status mw_tokenizer_load(const char* path, mw_tokenizer** tokenizer);
MW_C_API void mw_tokenizer_free(mw_tokenizer* tokenizer);
/* The file; valid as long as the tokenizer. */
MW_C_API const char* mw_tokenizer_path(const mw_tokenizer* tokenizer);

/* `ids` gets one tensor, `input_ids`, int32 [tokens]. `text` is UTF-8 of `length` bytes. */
MW_C_API mw_status mw_tokenizer_encode(const mw_tokenizer* tokenizer, const char* text,
                                       size_t length, int add_special_tokens, mw_outputs** ids);
/* Always valid UTF-8: bytes that form no character become U+FFFD. */
MW_C_API mw_status mw_tokenizer_decode(const mw_tokenizer* tokenizer, const int32_t* ids,
                                       size_t count, int skip_special_tokens, const mw_text** text);

/* The number of tokens, added ones included. Ids may have gaps; they are below the id limit. */
MW_C_API int64_t mw_tokenizer_vocab_size(const mw_tokenizer* tokenizer);
MW_C_API int64_t mw_tokenizer_id_limit(const mw_tokenizer* tokenizer);
/* -1: no token is spelled so. */
MW_C_API int32_t mw_tokenizer_token_to_id(const mw_tokenizer* tokenizer, const char* token);
/* As the vocabulary spells it; `token` gets NULL for an id without one. */
MW_C_API mw_status mw_tokenizer_id_to_token(const mw_tokenizer* tokenizer, int32_t id,
                                            const mw_text** token);
/* Ascending; valid as long as the tokenizer. `count` gets how many. */
MW_C_API const int32_t* mw_tokenizer_special_ids(const mw_tokenizer* tokenizer, size_t* count);
MW_C_API const int32_t* mw_tokenizer_end_of_text_ids(const mw_tokenizer* tokenizer, size_t* count);

/* Decodes ids one at a time: the texts of all calls joined are that of mw_tokenizer_decode(). */
typedef struct mw_stream_decoder mw_stream_decoder;
/* The tokenizer may be freed first. */
MW_C_API mw_status mw_stream_decoder_create(const mw_tokenizer* tokenizer, int skip_special_tokens,
                                            mw_stream_decoder** decoder);
MW_C_API void mw_stream_decoder_free(mw_stream_decoder* decoder);
/* Whole characters, perhaps none. An id without a token is an error and changes nothing. */
MW_C_API mw_status mw_stream_decoder_push(mw_stream_decoder* decoder, int32_t id,
                                          const mw_text** text);
/* What was held back; the next push begins another text. */
MW_C_API mw_status mw_stream_decoder_flush(mw_stream_decoder* decoder, const mw_text** text);

#ifdef __cplusplus
}
#endif

#endif /* MILLWRIGHT_TOKENIZER_H */
