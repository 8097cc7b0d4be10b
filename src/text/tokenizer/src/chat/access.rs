//! `value.name`, `value[key]` and `value[a:b:c]`, in the order in which Jinja looks.

use super::budget::{work, Held};
use super::error::{fail, Result};
use super::methods::has_method;
use super::scope::Callable;
use super::text::{write_repr, Writer};
use super::value::Value;
use std::rc::Rc;

fn method(value: &Value, name: &str) -> Option<Value> {
    let found = has_method(value, name);
    found.then(|| Value::Callable(Rc::new(Callable::Method(value.clone(), Rc::from(name)))))
}

fn missing(value: &Value, name: &str) -> Result<Value> {
    let name: String = name.chars().take(100).collect();
    let what = match value {
        Value::None => "'None'".to_string(),
        other => format!("'{} object'", other.type_name()),
    };
    Value::undefined(format!("{what} has no attribute '{name}'"))
}

/// `value.name`: a method first, then a member.
pub fn attribute(value: &Value, name: &str) -> Result<Value> {
    work(1)?;
    value.defined()?;
    if let Some(method) = method(value, name) {
        return Ok(method);
    }
    let found = match value {
        Value::Dict(dict) => dict.get_str(name).cloned(),
        Value::Namespace(namespace) => namespace.members.borrow().get(name).cloned(),
        Value::Loop(state) => state.attribute(name)?,
        _ => None,
    };
    found.map_or_else(|| missing(value, name), Ok)
}

/// `value[key]`: a member first, then a method.
pub fn item(value: &Value, key: &Value) -> Result<Value> {
    work(1)?;
    value.defined()?;
    let found = match value {
        Value::Dict(dict) => match key {
            Value::List(_) | Value::Dict(_) => None,
            key => dict.get(key)?.cloned(),
        },
        Value::Str(_) | Value::List(_) | Value::Tuple(_) => at_index(value, key)?,
        Value::View(view) if view.kind == "range" => {
            at_index(&Value::List(view.items.clone()), key)?
        }
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    if let Some(name) = key.as_str() {
        if let Value::Dict(_) = value {
            return method(value, name).map_or_else(|| missing(value, name), Ok);
        }
        return attribute(value, name);
    }
    let mut text = Writer::default();
    write_repr(&mut text, key)?;
    Value::undefined(format!("'{} object' has no element {}", value.type_name(), text.text()))
}

fn at_index(value: &Value, key: &Value) -> Result<Option<Value>> {
    let Some(index) = key.as_int() else {
        return Ok(None);
    };
    let count = value.len()? as i64;
    let index = if index < 0 { index.saturating_add(count) } else { index };
    if index < 0 || index >= count {
        return Ok(None);
    }
    let index = index as usize;
    Ok(match value {
        Value::List(list) | Value::Tuple(list) => list.items.get(index).cloned(),
        Value::Str(text) => {
            work(index / 32)?;
            let c = text.text.chars().nth(index);
            c.map(|c| Value::str(c.encode_utf8(&mut [0; 4]) as &str)).transpose()?
        }
        _ => None,
    })
}

fn bound(value: Option<&Value>) -> Result<Option<i64>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(value) => match value.as_int() {
            Some(number) => Ok(Some(number)),
            None => fail(format!("a slice is between ints, got a {}", value.type_name())),
        },
    }
}

/// `value[start:stop:step]`.
pub fn slice(value: &Value, parts: &[Option<Value>; 3]) -> Result<Value> {
    value.defined()?;
    let [start, stop, step] =
        [bound(parts[0].as_ref())?, bound(parts[1].as_ref())?, bound(parts[2].as_ref())?];
    let step = step.unwrap_or(1);
    if step == 0 {
        return fail("the step of a slice is 0");
    }
    let count = match value {
        Value::Str(_) | Value::List(_) | Value::Tuple(_) => value.len()? as i64,
        Value::View(view) if view.kind == "range" => value.len()? as i64,
        other => return fail(format!("a {} cannot be sliced", other.type_name())),
    };
    let (low, high) = if step > 0 { (0, count) } else { (-1, count - 1) };
    let place = |given: Option<i64>, default: i64| match given {
        None => default,
        Some(at) if at < 0 => at.saturating_add(count).clamp(low, high),
        Some(at) => at.clamp(low, high),
    };
    let (from, to) = if step > 0 {
        (place(start, 0), place(stop, count))
    } else {
        (place(start, count - 1), place(stop, -1))
    };
    let length = if step > 0 { to - from } else { from - to }.max(0) as u64;
    let length = length.div_ceil(step.unsigned_abs()) as usize;
    work(length)?;
    let indices = (0..length).map(|i| (from + i as i64 * step) as usize);
    match value {
        Value::Str(text) if step == 1 || text.text.is_ascii() => {
            let text = &text.text;
            if step == 1 {
                let place = |at: i64| {
                    text.char_indices().nth(at as usize).map_or(text.len(), |(place, _)| place)
                };
                work(text.len() / 32)?;
                let (begin, end) = if text.is_ascii() {
                    (from as usize, from as usize + length)
                } else {
                    (place(from), place(from + length as i64))
                };
                return Value::str(&text[begin..end]);
            }
            let bytes = text.as_bytes();
            Value::str(indices.map(|at| bytes[at] as char).collect::<String>())
        }
        Value::Str(text) => {
            let _room = Held::new(4 * text.text.len())?;
            let chars: Vec<char> = text.text.chars().collect();
            Value::str(indices.map(|at| chars[at]).collect::<String>())
        }
        Value::List(list) => Value::list(indices.map(|at| list.items[at].clone()).collect()),
        Value::Tuple(list) => Value::tuple(indices.map(|at| list.items[at].clone()).collect()),
        Value::View(view) => {
            Value::view("range", indices.map(|at| view.items.items[at].clone()).collect())
        }
        other => fail(format!("a {} cannot be sliced", other.type_name())),
    }
}
