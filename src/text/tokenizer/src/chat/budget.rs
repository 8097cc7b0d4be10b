//! What one rendering may take: work, bytes that are alive at a time, and depth of nesting.
//!
//! A rendering has a thread of its own, so its account is the thread's.

use super::error::{fail, Result};
use std::cell::Cell;

// A long conversation takes some hundred thousand; this many end within seconds.
const MOST_WORK: u64 = 20_000_000;
const MOST_BYTES: usize = 256 << 20;
const BYTES_A_UNIT: usize = 64;
// Of brackets and blocks in the template, and of its calls while it runs.
const MOST_DEPTH: usize = 300;

thread_local! {
    static WORK: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Accounts for `units` of work: an expression, an element looked at.
pub fn work(units: usize) -> Result<()> {
    let spent = WORK.get().saturating_add(units as u64);
    WORK.set(spent);
    if spent > MOST_WORK {
        return fail("the template takes too many steps");
    }
    Ok(())
}

/// Bytes that something alive holds; they are given back when it is dropped.
#[derive(Default)]
pub struct Held(usize);

impl Held {
    /// Asks for `bytes`, before they are allocated.
    pub fn new(bytes: usize) -> Result<Held> {
        let mut held = Held(0);
        held.grow(bytes)?;
        Ok(held)
    }

    /// Asks for `bytes` more.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        work(bytes / BYTES_A_UNIT)?;
        let alive = BYTES.get().saturating_add(bytes);
        if alive > MOST_BYTES {
            return fail(format!("the template takes more than {} MiB", MOST_BYTES >> 20));
        }
        BYTES.set(alive);
        self.0 += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        BYTES.set(BYTES.get() - self.0);
    }
}

/// One level of nesting, until it is dropped.
pub struct Level(());

impl Level {
    /// Goes one level deeper.
    pub fn enter() -> Result<Level> {
        if DEPTH.get() >= MOST_DEPTH {
            return fail(format!("the template nests deeper than {MOST_DEPTH} levels"));
        }
        DEPTH.set(DEPTH.get() + 1);
        Ok(Level(()))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
