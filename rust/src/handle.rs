//! Handles of the C API, freed when they are dropped.

use crate::error::{check, Error, Result};
use crate::sys;
use std::ptr::NonNull;

/// What a handle points to, with the function that frees it.
///
/// # Safety
/// `free` takes what the functions that make such a handle give, once.
pub(crate) unsafe trait Freed {
    unsafe fn free(this: *mut Self);
}

macro_rules! freed {
    ($($handle:ident by $free:ident;)*) => {
        $(
            // SAFETY: the function that the header names for it.
            unsafe impl Freed for sys::$handle {
                unsafe fn free(this: *mut Self) {
                    // SAFETY: as the caller says.
                    unsafe { sys::$free(this) }
                }
            }
        )*
    };
}
freed! {
    mw_model by mw_model_free;
    mw_settings by mw_settings_free;
    mw_state by mw_state_free;
    mw_outputs by mw_outputs_free;
    mw_tokenizer by mw_tokenizer_free;
    mw_stream_decoder by mw_stream_decoder_free;
    mw_student by mw_student_free;
    mw_training_report by mw_training_report_free;
    mw_generation by mw_generation_free;
}

/// Owns what it points to.
pub(crate) struct Handle<T: Freed>(NonNull<T>);

impl<T: Freed> Handle<T> {
    /// What `make` writes behind the pointer that it gets.
    pub(crate) fn made(make: impl FnOnce(*mut *mut T) -> sys::mw_status) -> Result<Handle<T>> {
        let mut made: *mut T = std::ptr::null_mut();
        check(make(&mut made))?;
        NonNull::new(made)
            .map(Handle)
            .ok_or_else(|| Error::internal("a call that succeeded gave no handle"))
    }

    pub(crate) fn get(&self) -> *const T {
        self.0.as_ptr()
    }

    pub(crate) fn get_mut(&mut self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Freed> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: made by `made`, and freed nowhere else.
        unsafe { T::free(self.0.as_ptr()) }
    }
}
