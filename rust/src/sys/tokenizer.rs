//! `millwright/tokenizer.h`.
use super::*;
use std::os::raw::{c_char, c_int};

opaque!(mw_tokenizer mw_stream_decoder);

extern "C" {
    pub fn mw_model_tokenizer(
        model: *const mw_model,
        tokenizer: *mut *mut mw_tokenizer,
    ) -> mw_status;
    pub fn mw_tokenizer_load(path: *const c_char, tokenizer: *mut *mut mw_tokenizer) -> mw_status;
    pub fn mw_tokenizer_free(tokenizer: *mut mw_tokenizer);
    pub fn mw_tokenizer_path(tokenizer: *const mw_tokenizer) -> *const c_char;
    pub fn mw_tokenizer_encode(
        tokenizer: *const mw_tokenizer,
        text: *const c_char,
        length: usize,
        add_special_tokens: c_int,
        ids: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_tokenizer_decode(
        tokenizer: *const mw_tokenizer,
        ids: *const i32,
        count: usize,
        skip_special_tokens: c_int,
        text: *mut *const mw_text,
    ) -> mw_status;
    pub fn mw_tokenizer_vocab_size(tokenizer: *const mw_tokenizer) -> i64;
    pub fn mw_tokenizer_id_limit(tokenizer: *const mw_tokenizer) -> i64;
    pub fn mw_tokenizer_token_to_id(tokenizer: *const mw_tokenizer, token: *const c_char) -> i32;
    pub fn mw_tokenizer_id_to_token(
        tokenizer: *const mw_tokenizer,
        id: i32,
        token: *mut *const mw_text,
    ) -> mw_status;
    pub fn mw_tokenizer_special_ids(
        tokenizer: *const mw_tokenizer,
        count: *mut usize,
    ) -> *const i32;
    pub fn mw_tokenizer_end_of_text_ids(
        tokenizer: *const mw_tokenizer,
        count: *mut usize,
    ) -> *const i32;
    pub fn mw_stream_decoder_create(
        tokenizer: *const mw_tokenizer,
        skip_special_tokens: c_int,
        decoder: *mut *mut mw_stream_decoder,
    ) -> mw_status;
    pub fn mw_stream_decoder_free(decoder: *mut mw_stream_decoder);
    pub fn mw_stream_decoder_push(
        decoder: *mut mw_stream_decoder,
        id: i32,
        text: *mut *const mw_text,
    ) -> mw_status;
    pub fn mw_stream_decoder_flush(
        decoder: *mut mw_stream_decoder,
        text: *mut *const mw_text,
    ) -> mw_status;
}
