//! The arguments of a call, bound to the names of parameters.

use super::error::{error, fail, Result};
use super::value::Value;
use std::rc::Rc;

#[derive(Default, Clone)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(Rc<str>, Value)>,
}

/// Arguments in the order of the parameters, for one call of `callee`.
pub struct Bound {
    callee: String,
    values: Vec<Option<Value>>,
}

impl Args {
    pub fn of(positional: Vec<Value>) -> Args {
        Args { positional, named: Vec::new() }
    }

    /// Refuses arguments that no parameter takes.
    pub fn bind(&self, callee: &str, parameters: &[&str]) -> Result<Bound> {
        if self.positional.len() > parameters.len() {
            let (most, got) = (parameters.len(), self.positional.len());
            return fail(format!("{callee}: expected at most {most} arguments, got {got}"));
        }
        let mut values: Vec<Option<Value>> = vec![None; parameters.len()];
        for (place, value) in values.iter_mut().zip(&self.positional) {
            *place = Some(value.clone());
        }
        for (name, value) in &self.named {
            let Some(at) = parameters.iter().position(|parameter| *parameter == &**name) else {
                return fail(format!("{callee}: there is no argument '{name}'"));
            };
            if values[at].replace(value.clone()).is_some() {
                return fail(format!("{callee}: the argument '{name}' is given twice"));
            }
        }
        Ok(Bound { callee: callee.to_string(), values })
    }
}

impl Bound {
    pub fn take(&mut self, at: usize) -> Option<Value> {
        self.values[at].take()
    }

    pub fn need(&mut self, at: usize) -> Result<Value> {
        let callee = &self.callee;
        self.values[at]
            .take()
            .ok_or_else(|| error(format!("{callee}: expected argument {}, got none", at + 1)))
    }

    /// Nothing, too, where the argument is none.
    pub fn text(&mut self, at: usize) -> Result<Option<Value>> {
        match self.values[at].take() {
            None | Some(Value::None) => Ok(None),
            Some(value) if value.as_str().is_some() => Ok(Some(value)),
            Some(other) => fail(format!(
                "{}: argument {}: expected a str, got a {}",
                self.callee,
                at + 1,
                other.type_name()
            )),
        }
    }

    pub fn int(&mut self, at: usize) -> Result<Option<i64>> {
        match self.values[at].take() {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.as_int() {
                Some(number) => Ok(Some(number)),
                None => fail(format!(
                    "{}: argument {}: expected an int, got a {}",
                    self.callee,
                    at + 1,
                    value.type_name()
                )),
            },
        }
    }

    pub fn truth(&mut self, at: usize, default: bool) -> bool {
        self.values[at].take().map_or(default, |value| value.truth())
    }
}
