//! Equality and order of values, as Python has them.

use super::budget::work;
use super::error::{error, Result};
use super::value::Value;
use std::cmp::Ordering;
use std::rc::Rc;

impl Value {
    pub fn equals(&self, other: &Value) -> Result<bool> {
        work(1)?;
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return Ok(a == b);
        }
        if let (Some(a), Some(b)) = (self.as_float(), other.as_float()) {
            return Ok(a == b);
        }
        match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => Ok(true),
            (Value::Str(a), Value::Str(b)) => {
                work(a.text.len() / 64)?;
                Ok(a.text == b.text)
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                all_equal(&a.items, &b.items)
            }
            (Value::View(a), Value::View(b)) => {
                Ok(a.kind == b.kind && all_equal(&a.items.items, &b.items.items)?)
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.members.len() != b.members.len() {
                    return Ok(false);
                }
                for (key, value) in &a.members {
                    let found = b.get(key)?.map(|there| value.equals(there)).transpose()?;
                    if found != Some(true) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(self.is_same(other)),
        }
    }

    /// One object, or equal constants: what Python's `is` says of them.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => Rc::ptr_eq(a, b) || a.text == b.text,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                Rc::ptr_eq(a, b)
            }
            (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
            (Value::Stream(a), Value::Stream(b)) => Rc::ptr_eq(a, b),
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Callable(a), Value::Callable(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Nothing where a number that is none is compared.
    pub fn compare(&self, other: &Value) -> Result<Option<Ordering>> {
        work(1)?;
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return Ok(Some(a.cmp(&b)));
        }
        if let (Some(a), Some(b)) = (self.as_float(), other.as_float()) {
            return Ok(a.partial_cmp(&b));
        }
        match (self.defined()?, other.defined()?) {
            (Value::Str(a), Value::Str(b)) => {
                work(a.text.len() / 64)?;
                Ok(Some(a.text.cmp(&b.text)))
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (left, right) in a.items.iter().zip(&b.items) {
                    if !left.equals(right)? {
                        return left.compare(right);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            (a, b) => Err(error(format!("{} and {} have no order", a.type_name(), b.type_name()))),
        }
    }
}

fn all_equal(a: &[Value], b: &[Value]) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (left, right) in a.iter().zip(b) {
        if !left.equals(right)? {
            return Ok(false);
        }
    }
    Ok(true)
}
