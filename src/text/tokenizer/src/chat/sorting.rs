//! A stable sort whose comparison may fail and need be no order.

use super::budget::work;
use super::error::Result;
use super::value::Value;
use std::cmp::Ordering;

pub type Compare<'a> = dyn FnMut(&Value, &Value) -> Result<Ordering> + 'a;

/// The indices of `keys` in ascending order, or descending with equal ones as they were.
pub fn order_of(keys: Vec<Value>, reverse: bool, compare: &mut Compare) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let mut width = 1;
    while width < order.len() {
        let mut merged = Vec::with_capacity(order.len());
        for pair in order.chunks(2 * width) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            let (mut i, mut j) = (0, 0);
            while i < left.len() && j < right.len() {
                work(1)?;
                let found = compare(&keys[left[i]], &keys[right[j]])?;
                let found = if reverse { found.reverse() } else { found };
                if found == Ordering::Greater {
                    merged.push(right[j]);
                    j += 1;
                } else {
                    merged.push(left[i]);
                    i += 1;
                }
            }
            merged.extend_from_slice(&left[i..]);
            merged.extend_from_slice(&right[j..]);
        }
        order = merged;
        width *= 2;
    }
    Ok(order)
}
