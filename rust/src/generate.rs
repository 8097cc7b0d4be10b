//! Texts that a language model continues.

use crate::error::Result;
use crate::handle::Handle;
use crate::model::CoreMLModelWrapper;
use crate::settings::Settings;
use crate::{sys, text};
use std::any::Any;
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The continuation alone.
    pub text: String,
    /// That were chosen, but for the one that ended it.
    pub ids: Vec<i32>,
    /// `max_tokens`, `end_of_text`, `stop`, `stop_ids`, `on_text` or `full`.
    pub end: String,
    /// The same in words.
    pub reason: String,
    /// Of the prompt.
    pub prompt_tokens: i64,
    /// Of them, that were in the model's states already.
    pub reused_tokens: i64,
    /// From the call to the first token.
    pub first_token_seconds: f64,
    /// From there to the end.
    pub seconds: f64,
    /// Over them.
    pub tokens_per_second: f64,
    /// Sentences on the prompt cache.
    pub notes: Vec<String>,
}

impl CoreMLModelWrapper {
    /// Continues a prompt, token by token, by the settings of generation in docs/settings.md
    /// (`max_tokens`, `temperature`, `stop`, ...).
    ///
    /// `on_text` is told each piece of text as it comes, whole characters, in this thread. Where it
    /// breaks, the text ends there; where it panics, too, and the panic goes on from here.
    pub fn generate(
        &self,
        prompt: &str,
        settings: &Settings,
        on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let prompt = text::c_string("prompt", prompt)?;
        run(on_text, |tell, user, made| {
            // SAFETY: all live during the call; `tell` takes what `user` points to.
            unsafe {
                sys::mw_generate(self.get(), prompt.as_ptr(), settings.get(), tell, user, made)
            }
        })
    }
}

/// The caller's function, and what it panicked with: nothing unwinds through C.
struct Told<F> {
    on_text: F,
    panic: Option<Box<dyn Any + Send>>,
}

fn run<F: FnMut(&str) -> ControlFlow<()>>(
    on_text: F,
    call: impl FnOnce(sys::mw_tell_text, *mut c_void, *mut *const sys::mw_generation) -> sys::mw_status,
) -> Result<Generation> {
    let mut told = Told { on_text, panic: None };
    let user: *mut Told<F> = &mut told;
    let made = Handle::made(|made: *mut *mut sys::mw_generation| {
        call(Some(tell::<F>), user.cast(), made.cast())
    });
    if let Some(panic) = told.panic {
        drop(made);
        resume_unwind(panic);
    }
    // SAFETY: what was made lives until the end.
    made.map(|made| unsafe { Generation::copied(&*made.get()) })
}

/// # Safety
/// `piece` has `size` bytes, `user` is what [`run`] passed on, borrowed by nobody else.
unsafe extern "C" fn tell<F: FnMut(&str) -> ControlFlow<()>>(
    piece: *const c_char,
    size: usize,
    user: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let (bytes, told) = unsafe {
        (std::slice::from_raw_parts(piece.cast::<u8>(), size), &mut *user.cast::<Told<F>>())
    };
    let piece = String::from_utf8_lossy(bytes);
    match catch_unwind(AssertUnwindSafe(|| (told.on_text)(&piece))) {
        Ok(ControlFlow::Continue(())) => 0,
        Ok(ControlFlow::Break(())) => 1,
        Err(panic) => {
            told.panic = Some(panic);
            1
        }
    }
}

impl Generation {
    /// # Safety
    /// `made` is one that the library gave.
    unsafe fn copied(made: &sys::mw_generation) -> Generation {
        // SAFETY: as the caller says; the header says what each field is.
        unsafe {
            let said = std::slice::from_raw_parts(made.text.cast::<u8>(), made.text_size);
            let ids = match made.id_count {
                0 => Vec::new(),
                count => std::slice::from_raw_parts(made.ids, count).to_vec(),
            };
            Generation {
                text: String::from_utf8_lossy(said).into_owned(),
                ids,
                end: text::owned(made.end),
                reason: text::owned(made.reason),
                prompt_tokens: made.prompt_tokens,
                reused_tokens: made.reused_tokens,
                first_token_seconds: made.first_token_seconds,
                seconds: made.seconds,
                tokens_per_second: made.tokens_per_second,
                notes: text::owned_all(made.notes, made.note_count),
            }
        }
    }
}
