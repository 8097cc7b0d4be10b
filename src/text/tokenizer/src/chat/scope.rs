//! Names and what they stand for: scopes, namespaces, and what can be called.

use super::ast::MacroDef;
use super::budget::work;
use super::error::Result;
use super::value::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Default)]
pub struct Namespace {
    pub members: RefCell<HashMap<Rc<str>, Value>>,
}

pub enum Callable {
    Function(&'static str),
    Method(Value, Rc<str>),
    Macro(Rc<MacroDef>, Rc<Scope>),
}

/// The names that are known at a place of the template, beside those of the scopes around it.
pub struct Scope {
    pub names: RefCell<HashMap<Rc<str>, Value>>,
    pub outer: Option<Rc<Scope>>,
}

impl Scope {
    pub fn within(outer: Option<Rc<Scope>>) -> Rc<Scope> {
        Rc::new(Scope { names: RefCell::default(), outer })
    }

    pub fn set(&self, name: &Rc<str>, value: Value) {
        self.names.borrow_mut().insert(name.clone(), value);
    }

    pub fn get(&self, name: &str) -> Result<Option<Value>> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            work(1)?;
            if let Some(value) = here.names.borrow().get(name) {
                return Ok(Some(value.clone()));
            }
            scope = here.outer.as_deref();
        }
        Ok(None)
    }

    /// Ends the scope; a macro that was defined in it would keep it alive.
    pub fn close(&self) {
        self.names.take();
    }
}
