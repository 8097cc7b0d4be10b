//! Texts and paths on their way to C and back.

use crate::error::{check, Error, Result};
use crate::sys;
use std::ffi::{CStr, CString, OsStr};
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Refuses a zero byte, which C would take for the end; `what` begins the sentence.
pub(crate) fn c_string(what: &str, text: impl AsRef<OsStr>) -> Result<CString> {
    let text = text.as_ref();
    CString::new(text.as_bytes()).map_err(|error| {
        let at = error.nul_position();
        Error::argument(format!("{what}: expected a text without a zero byte, got one at {at}"))
    })
}

pub(crate) fn c_path(path: impl AsRef<Path>) -> Result<CString> {
    c_string("path", path.as_ref())
}

/// A copy; empty for null.
///
/// # Safety
/// `text` is null or ends with a zero byte.
pub(crate) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A copy; nothing for an empty path.
///
/// # Safety
/// As [`owned`].
pub(crate) unsafe fn owned_path(path: *const c_char) -> Option<PathBuf> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    Some(PathBuf::from(OsStr::from_bytes(bytes))).filter(|path| !path.as_os_str().is_empty())
}

/// What `texts` points to, which may be null if there are none.
///
/// # Safety
/// `texts` points to `count` texts that [`owned`] can read.
pub(crate) unsafe fn owned_all(texts: *const *const c_char, count: usize) -> Vec<String> {
    // SAFETY: as the caller says.
    (0..count).map(|i| unsafe { owned(*texts.add(i)) }).collect()
}

/// The text that `make` gives, which is freed here; nothing where it gives null.
pub(crate) fn given(
    make: impl FnOnce(*mut *const sys::mw_text) -> sys::mw_status,
) -> Result<Option<String>> {
    let mut text: *const sys::mw_text = std::ptr::null();
    check(make(&mut text))?;
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: `text` has `length` bytes until it is freed, which is here.
    unsafe {
        let bytes = std::slice::from_raw_parts((*text).bytes.cast::<u8>(), (*text).length);
        let copy = String::from_utf8_lossy(bytes).into_owned();
        sys::mw_text_free(text);
        Ok(Some(copy))
    }
}
