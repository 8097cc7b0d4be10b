//! Text to token ids and back.

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::tensor::given_one;
use crate::{sys, text};
use std::fmt;
use std::os::raw::c_int;
use std::path::{Path, PathBuf};

/// A Hugging Face tokenizer.json. It keeps what it needs; several threads may use it at once.
pub struct Tokenizer(Handle<sys::mw_tokenizer>);

// SAFETY: the header lets several threads use a tokenizer at once, whichever made it.
unsafe impl Send for Tokenizer {}
// SAFETY: as above.
unsafe impl Sync for Tokenizer {}

impl Tokenizer {
    pub(crate) fn new(handle: Handle<sys::mw_tokenizer>) -> Tokenizer {
        Tokenizer(handle)
    }

    /// Of a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Tokenizer> {
        let path = text::c_path(path)?;
        // SAFETY: `path` lives during the call.
        Handle::made(|made| unsafe { sys::mw_tokenizer_load(path.as_ptr(), made) })
            .map(Tokenizer::new)
    }

    /// The ids of a text, with the tokens that enclose it where the tokenizer has such.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        self.encode_with(text, true)
    }

    /// The same, where `add_special_tokens` says whether it is enclosed.
    pub fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<i32>> {
        // SAFETY: `text` lives during the call.
        let ids = given_one(|ids| unsafe {
            sys::mw_tokenizer_encode(
                self.0.get(),
                text.as_ptr().cast(),
                text.len(),
                c_int::from(add_special_tokens),
                ids,
            )
        })?;
        ids.into_values()
    }

    /// The text of ids, without special tokens.
    pub fn decode(&self, ids: &[i32]) -> Result<String> {
        self.decode_with(ids, true)
    }

    /// The same, where `skip_special_tokens` says whether they are left out.
    pub fn decode_with(&self, ids: &[i32], skip_special_tokens: bool) -> Result<String> {
        // SAFETY: `ids` lives during the call.
        let text = text::given(|text| unsafe {
            sys::mw_tokenizer_decode(
                self.0.get(),
                ids.as_ptr(),
                ids.len(),
                c_int::from(skip_special_tokens),
                text,
            )
        })?;
        text.ok_or_else(|| Error::internal("a call that gives a text gave none"))
    }

    /// Decodes ids one at a time.
    pub fn stream(&self) -> Result<StreamDecoder> {
        // SAFETY: `decoder` is a place for the handle.
        Handle::made(|decoder| unsafe { sys::mw_stream_decoder_create(self.0.get(), 1, decoder) })
            .map(StreamDecoder)
    }

    /// How many tokens there are, added ones included.
    pub fn vocab_size(&self) -> usize {
        // SAFETY: the tokenizer lives; so below.
        usize::try_from(unsafe { sys::mw_tokenizer_vocab_size(self.0.get()) }).unwrap_or(0)
    }

    /// Ids are below it; there may be gaps.
    pub fn id_limit(&self) -> usize {
        // SAFETY: as above.
        usize::try_from(unsafe { sys::mw_tokenizer_id_limit(self.0.get()) }).unwrap_or(0)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<i32> {
        let token = text::c_string("token", token).ok()?;
        // SAFETY: `token` lives during the call.
        Some(unsafe { sys::mw_tokenizer_token_to_id(self.0.get(), token.as_ptr()) })
            .filter(|id| *id >= 0)
    }

    /// How the vocabulary spells a token; nothing for an id without one.
    pub fn id_to_token(&self, id: i32) -> Result<Option<String>> {
        // SAFETY: as above.
        text::given(|token| unsafe { sys::mw_tokenizer_id_to_token(self.0.get(), id, token) })
    }

    /// The ids of special tokens, ascending.
    pub fn special_ids(&self) -> &[i32] {
        // SAFETY: a list that lives as long as the tokenizer.
        unsafe { listed(|count| sys::mw_tokenizer_special_ids(self.0.get(), count)) }
    }

    /// The ids that end a text, ascending.
    pub fn end_of_text_ids(&self) -> &[i32] {
        // SAFETY: as above.
        unsafe { listed(|count| sys::mw_tokenizer_end_of_text_ids(self.0.get(), count)) }
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        // SAFETY: as above.
        unsafe { text::owned_path(sys::mw_tokenizer_path(self.0.get())) }.unwrap_or_default()
    }
}

/// # Safety
/// What `list` gives has as many ids as it says, for as long as `'a`.
unsafe fn listed<'a>(list: impl FnOnce(*mut usize) -> *const i32) -> &'a [i32] {
    let mut count = 0;
    let ids = list(&mut count);
    if count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(ids, count) }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({:?}, {} tokens)", self.path(), self.vocab_size())
    }
}

/// Ids to text as they come: the parts joined are what [`Tokenizer::decode`] gives of all ids.
pub struct StreamDecoder(Handle<sys::mw_stream_decoder>);

// SAFETY: a handle may be used from any thread, by one at a time: not `Sync`.
unsafe impl Send for StreamDecoder {}

impl StreamDecoder {
    /// What is certain with this id: whole characters, perhaps none.
    pub fn push(&mut self, id: i32) -> Result<String> {
        // SAFETY: borrowed for this alone; so below.
        text::given(|text| unsafe { sys::mw_stream_decoder_push(self.0.get_mut(), id, text) })
            .map(Option::unwrap_or_default)
    }

    /// What was held back; the next id begins another text.
    pub fn flush(&mut self) -> Result<String> {
        // SAFETY: as above.
        text::given(|text| unsafe { sys::mw_stream_decoder_flush(self.0.get_mut(), text) })
            .map(Option::unwrap_or_default)
    }
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecoder").finish_non_exhaustive()
    }
}
