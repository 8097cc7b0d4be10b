// The C ABI of the Rust crate beside this file: load, encode, decode and decode as a stream.
//
// Calls that can fail return kMwTokOk, or a code with a message in *error, which the caller then
// frees; no panic crosses. A tokenizer may be used from many threads at once, a stream from one.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

enum : int32_t { kMwTokOk = 0, kMwTokBadArgument = 1, kMwTokBadFile = 2 };

struct MwTok;           // a loaded tokenizer.json
struct MwTokEncoding;   // the result of one mw_tok_encode
struct MwTokRendering;  // a conversation as text
struct MwTokStream;     // decodes ids one at a time; keeps its tokenizer alive

// Not terminated by zero. `data` is never null once a call has written it.
struct MwTokBytes {
  uint8_t* data;
  size_t size;
};

// `begin` and `end` are byte offsets into the encoded text; `piece` lives as long as the encoding.
struct MwTokPiece {
  int32_t id;
  const uint8_t* piece;
  size_t piece_size;
  size_t begin;
  size_t end;
};

// Bytes of a text from `begin` to before `end`.
struct MwTokRange {
  size_t begin;
  size_t end;
};

int32_t mw_tok_load(const uint8_t* json, size_t size, const MwTok** out, MwTokBytes* error);
void mw_tok_free(const MwTok* tok);
void mw_tok_bytes_free(MwTokBytes bytes);

size_t mw_tok_vocab_size(const MwTok* tok);  // tokens, added ones included
int64_t mw_tok_id_limit(const MwTok* tok);   // largest id + 1, at most 2^31
// Ascending; lives as long as the tokenizer.
const int32_t* mw_tok_special_ids(const MwTok* tok, size_t* size);
int64_t mw_tok_id_of(const MwTok* tok, const uint8_t* token, size_t size);  // -1: no such token
bool mw_tok_token_of(const MwTok* tok, int32_t id, MwTokBytes* out);        // false: no such id

// Pieces cost time and memory; without them mw_tok_encoding_piece is false for every index.
int32_t mw_tok_encode(const MwTok* tok, const uint8_t* text, size_t size, bool add_special_tokens,
                      bool with_pieces, MwTokEncoding** out, MwTokBytes* error);
const int32_t* mw_tok_encoding_ids(const MwTokEncoding* encoding, size_t* size);
bool mw_tok_encoding_piece(const MwTokEncoding* encoding, size_t index, MwTokPiece* out);
void mw_tok_encoding_free(MwTokEncoding* encoding);

int32_t mw_tok_decode(const MwTok* tok, const int32_t* ids, size_t size, bool skip_special_tokens,
                      MwTokBytes* out, MwTokBytes* error);

int32_t mw_tok_stream_new(const MwTok* tok, bool skip_special_tokens, MwTokStream** out,
                          MwTokBytes* error);
int32_t mw_tok_stream_push(MwTokStream* stream, int32_t id, MwTokBytes* out, MwTokBytes* error);
int32_t mw_tok_stream_flush(MwTokStream* stream, MwTokBytes* out, MwTokBytes* error);
void mw_tok_stream_free(MwTokStream* stream);

// A Jinja template as Hugging Face's chat templates are; `variables` is a JSON object, `now` what
// strftime_now tells: seconds of the local clock since 1970.
int32_t mw_tok_render_chat(const uint8_t* chat_template, size_t template_size,
                           const uint8_t* variables, size_t variables_size, int64_t now,
                           MwTokRendering** out, MwTokBytes* error);
// Lives as long as the rendering.
const uint8_t* mw_tok_rendering_text(const MwTokRendering* rendering, size_t* size);
// What stands in {% generation %} blocks, in order; false behind the last one.
bool mw_tok_rendering_generated(const MwTokRendering* rendering, size_t index, MwTokRange* out);
// False: such a block stood in a macro or a {% set %} block, so its place is not known.
bool mw_tok_rendering_knows_generated(const MwTokRendering* rendering);
void mw_tok_rendering_free(MwTokRendering* rendering);

}  // extern "C"
