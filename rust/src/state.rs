//! What a model keeps between predictions.

use crate::error::{check, Result};
use crate::handle::Handle;
use crate::tensor::{given_one, Tensor, Views};
use crate::{sys, text};
use std::fmt;

/// The states of one conversation (a KV cache, say), zeros at first.
pub struct State(Handle<sys::mw_state>);

// SAFETY: a handle may be used from any thread, by one at a time: not `Sync`.
unsafe impl Send for State {}

impl State {
    pub(crate) fn new(handle: Handle<sys::mw_state>) -> State {
        State(handle)
    }

    /// A copy of one.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let name = text::c_string("name of a state", name)?;
        // SAFETY: `name` lives during the call.
        given_one(|value| unsafe { sys::mw_state_get(self.0.get(), name.as_ptr(), value) })
    }

    /// Replaces one by a tensor of its shape and dtype.
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let views = Views::of([(name, value)])?;
        // SAFETY: the view lives during the call, which copies.
        check(unsafe { sys::mw_state_set(self.0.get_mut(), views.pointer()) })
    }

    /// Zeros again.
    pub fn reset(&mut self) {
        // SAFETY: borrowed for this alone.
        unsafe { sys::mw_state_reset(self.0.get_mut()) }
    }

    pub(crate) fn get_mut(&mut self) -> *mut sys::mw_state {
        self.0.get_mut()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
