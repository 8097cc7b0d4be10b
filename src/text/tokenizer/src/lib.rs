//! The C ABI over Hugging Face `tokenizers`; `tokenizer_abi.h` states its contract.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod chat;
mod growth;
mod loaded;
mod screen;
mod stream;

use chat::Rendering;
use loaded::{Encoded, Loaded};
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Once};
use stream::Stream;

/// Why a call failed, in the words of the error message.
pub enum Failure {
    /// The caller's text or ids do not fit.
    Argument(String),
    /// tokenizer.json is broken, or asks for something that the library refuses.
    File(String),
}

impl From<tokenizers::Error> for Failure {
    fn from(error: tokenizers::Error) -> Self {
        Failure::File(error.to_string())
    }
}

/// Bytes that the library allocated; `mw_tok_bytes_free` gives them back.
#[repr(C)]
pub struct MwTokBytes {
    data: *mut u8,
    size: usize,
}

impl MwTokBytes {
    fn owned(text: String) -> Self {
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        MwTokBytes { data: bytes.as_mut_ptr(), size: bytes.len() }
    }
}

/// One token of an encoding; `piece` borrows from the encoding.
#[repr(C)]
pub struct MwTokPiece {
    id: i32,
    piece: *const u8,
    piece_size: usize,
    begin: usize,
    end: usize,
}

/// Bytes of a text from `begin` to before `end`.
#[repr(C)]
pub struct MwTokRange {
    begin: usize,
    end: usize,
}

const OK: i32 = 0;
const BAD_ARGUMENT: i32 = 1;
const BAD_FILE: i32 = 2;

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let reason = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or("no reason".into(), |s| s.to_string()),
    };
    format!("the tokenizer library gave up: {reason}")
}

/// Runs `body`; an error or a panic of it becomes a code and, in `error`, a message.
///
/// # Safety
/// `error` points to writable memory.
unsafe fn call(error: *mut MwTokBytes, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure::File(panic_text(payload)),
    };
    let (code, text) = match failure {
        Failure::Argument(text) => (BAD_ARGUMENT, text),
        Failure::File(text) => (BAD_FILE, text),
    };
    unsafe { error.write(MwTokBytes::owned(text)) };
    code
}

/// # Safety
/// `data` points to `size` elements, or `size` is 0.
unsafe fn view<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_load(
    json: *const u8,
    size: usize,
    out: *mut *const Loaded,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            let loaded = Loaded::parse(view(json, size))?;
            out.write(Arc::into_raw(Arc::new(loaded)));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_free(tok: *const Loaded) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Arc::from_raw(tok) })));
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_bytes_free(bytes: MwTokBytes) {
    if !bytes.data.is_null() {
        let slice = std::ptr::slice_from_raw_parts_mut(bytes.data, bytes.size);
        drop(unsafe { Box::from_raw(slice) });
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_vocab_size(tok: *const Loaded) -> usize {
    unsafe { (*tok).vocab_size() }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_id_limit(tok: *const Loaded) -> i64 {
    unsafe { (*tok).id_limit() }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_special_ids(tok: *const Loaded, size: *mut usize) -> *const i32 {
    let ids = unsafe { (*tok).special_ids() };
    unsafe { size.write(ids.len()) };
    ids.as_ptr()
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_id_of(tok: *const Loaded, token: *const u8, size: usize) -> i64 {
    catch_unwind(AssertUnwindSafe(|| {
        let token = std::str::from_utf8(unsafe { view(token, size) }).ok()?;
        unsafe { (*tok).id_of(token) }
    }))
    .ok()
    .flatten()
    .unwrap_or(-1)
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_token_of(
    tok: *const Loaded,
    id: i32,
    out: *mut MwTokBytes,
) -> bool {
    let token = catch_unwind(AssertUnwindSafe(|| unsafe { (*tok).token_of(id) }));
    match token {
        Ok(Some(token)) => {
            unsafe { out.write(MwTokBytes::owned(token)) };
            true
        }
        _ => false,
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_encode(
    tok: *const Loaded,
    text: *const u8,
    size: usize,
    add_special_tokens: bool,
    with_pieces: bool,
    out: *mut *mut Encoded,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            let encoded = (*tok).encode(view(text, size), add_special_tokens, with_pieces)?;
            out.write(Box::into_raw(Box::new(encoded)));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_encoding_ids(
    encoded: *const Encoded,
    size: *mut usize,
) -> *const i32 {
    let ids = unsafe { &(*encoded).ids };
    unsafe { size.write(ids.len()) };
    ids.as_ptr()
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_encoding_piece(
    encoded: *const Encoded,
    index: usize,
    out: *mut MwTokPiece,
) -> bool {
    let encoded = unsafe { &*encoded };
    let Some((token, (begin, end))) = encoded.pieces.get(index) else {
        return false;
    };
    let piece = MwTokPiece {
        id: encoded.ids[index],
        piece: token.as_ptr(),
        piece_size: token.len(),
        begin: *begin,
        end: *end,
    };
    unsafe { out.write(piece) };
    true
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_encoding_free(encoded: *mut Encoded) {
    drop(unsafe { Box::from_raw(encoded) });
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_decode(
    tok: *const Loaded,
    ids: *const i32,
    size: usize,
    skip_special_tokens: bool,
    out: *mut MwTokBytes,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            let text = (*tok).decode(view(ids, size), skip_special_tokens)?;
            out.write(MwTokBytes::owned(text));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_stream_new(
    tok: *const Loaded,
    skip_special_tokens: bool,
    out: *mut *mut Stream,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            Arc::increment_strong_count(tok);
            let stream = Stream::new(Arc::from_raw(tok), skip_special_tokens);
            out.write(Box::into_raw(Box::new(stream)));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_stream_push(
    stream: *mut Stream,
    id: i32,
    out: *mut MwTokBytes,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            out.write(MwTokBytes::owned((*stream).push(id)?));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_stream_flush(
    stream: *mut Stream,
    out: *mut MwTokBytes,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            out.write(MwTokBytes::owned((*stream).flush()?));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_stream_free(stream: *mut Stream) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(stream) })));
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_render_chat(
    template: *const u8,
    template_size: usize,
    variables: *const u8,
    variables_size: usize,
    now: i64,
    out: *mut *mut Rendering,
    error: *mut MwTokBytes,
) -> i32 {
    unsafe {
        call(error, || {
            let (template, variables) =
                (view(template, template_size), view(variables, variables_size));
            let rendering = chat::render(template, variables, now)?;
            out.write(Box::into_raw(Box::new(rendering)));
            Ok(())
        })
    }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_rendering_text(
    rendering: *const Rendering,
    size: *mut usize,
) -> *const u8 {
    let text = unsafe { &(*rendering).text };
    unsafe { size.write(text.len()) };
    text.as_ptr()
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_rendering_generated(
    rendering: *const Rendering,
    index: usize,
    out: *mut MwTokRange,
) -> bool {
    let ranges = unsafe { &(*rendering).generated };
    let Some(&(begin, end)) = ranges.as_ref().and_then(|ranges| ranges.get(index)) else {
        return false;
    };
    unsafe { out.write(MwTokRange { begin, end }) };
    true
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_rendering_knows_generated(rendering: *const Rendering) -> bool {
    unsafe { (*rendering).generated.is_some() }
}

/// # Safety
/// See `tokenizer_abi.h`.
#[no_mangle]
pub unsafe extern "C" fn mw_tok_rendering_free(rendering: *mut Rendering) {
    drop(unsafe { Box::from_raw(rendering) });
}
