//! What goes wrong, as the C API tells it.

use crate::{sys, text};
use std::fmt;

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The file breaks the format or the language.
    InvalidModel,
    /// What was passed does not fit the model.
    InvalidArgument,
    /// Valid, but outside what this build can do.
    Unsupported,
    /// The operating system refused.
    Io,
    /// An allocation failed or would exceed a limit.
    OutOfMemory,
    /// A broken invariant of the library.
    Internal,
}

/// One sentence: what was expected, what came, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
    setting: Option<String>,
}

/// What calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The kind of the error.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence, which `Display` writes, too.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The setting that it is about, or whose change would help, by its name in docs/settings.md.
    pub fn setting(&self) -> Option<&str> {
        self.setting.as_deref()
    }

    pub(crate) fn argument(message: impl Into<String>) -> Error {
        Error { code: ErrorCode::InvalidArgument, message: message.into(), setting: None }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Error {
        Error { code: ErrorCode::Internal, message: message.into(), setting: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The error behind a status, of the call that this thread made last.
pub(crate) fn check(status: sys::mw_status) -> Result<()> {
    let code = match status {
        sys::MW_OK => return Ok(()),
        sys::MW_INVALID_MODEL => ErrorCode::InvalidModel,
        sys::MW_INVALID_ARGUMENT => ErrorCode::InvalidArgument,
        sys::MW_UNSUPPORTED => ErrorCode::Unsupported,
        sys::MW_IO => ErrorCode::Io,
        sys::MW_OUT_OF_MEMORY => ErrorCode::OutOfMemory,
        _ => ErrorCode::Internal,
    };
    // SAFETY: both texts are this thread's until its next failing call.
    let (message, setting) =
        unsafe { (text::owned(sys::mw_last_error()), text::owned(sys::mw_last_error_setting())) };
    Err(Error { code, message, setting: Some(setting).filter(|name| !name.is_empty()) })
}
