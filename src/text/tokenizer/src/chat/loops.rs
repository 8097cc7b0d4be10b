//! `loop`: where a `for` is.

use super::ast::For;
use super::budget::Held;
use super::error::Result;
use super::scope::Scope;
use super::value::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub struct Loop {
    pub items: Vec<Value>,
    pub at: Cell<usize>,
    pub depth: usize,
    /// For calls of `loop(...)`.
    pub statement: Rc<For>,
    pub scope: Rc<Scope>,
    changed: RefCell<Option<Vec<Value>>>,
    _held: Held,
}

impl Loop {
    pub fn new(
        items: Vec<Value>,
        depth: usize,
        statement: Rc<For>,
        scope: Rc<Scope>,
    ) -> Result<Rc<Loop>> {
        let _held = Held::new(24 * items.len())?;
        let (at, changed) = (Cell::new(0), RefCell::new(None));
        Ok(Rc::new(Loop { items, at, depth, statement, scope, changed, _held }))
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// `loop.name`, where that is no method.
    pub fn attribute(&self, name: &str) -> Result<Option<Value>> {
        let (at, count) = (self.at.get(), self.items.len());
        let number = |value: usize| Some(Value::Int(value as i64));
        Ok(match name {
            "index" => number(at + 1),
            "index0" => number(at),
            "revindex" => number(count - at),
            "revindex0" => number(count - at - 1),
            "first" => Some(Value::Bool(at == 0)),
            "last" => Some(Value::Bool(at + 1 == count)),
            "length" => number(count),
            "depth" => number(self.depth + 1),
            "depth0" => number(self.depth),
            "previtem" if at > 0 => Some(self.items[at - 1].clone()),
            "previtem" => Some(Value::undefined("there is no previous item")?),
            "nextitem" => match self.items.get(at + 1) {
                Some(item) => Some(item.clone()),
                None => Some(Value::undefined("there is no next item")?),
            },
            _ => None,
        })
    }

    /// Are these values others than those of the call before?
    pub fn changed(&self, values: &[Value]) -> Result<bool> {
        let mut before = self.changed.borrow_mut();
        if let Some(before) = &*before {
            let mut same = before.len() == values.len();
            for (old, new) in before.iter().zip(values) {
                same = same && old.equals(new)?;
            }
            if same {
                return Ok(false);
            }
        }
        *before = Some(values.to_vec());
        Ok(true)
    }
}
