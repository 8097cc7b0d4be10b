//! The methods of Python's str, list, tuple and dict that change nothing.

use super::access;
use super::arguments::Args;
use super::budget::work;
use super::error::{error, fail, Result};
use super::scope::Callable;
use super::strings;
use super::value::Value;

const OF_DICT: [&str; 5] = ["get", "items", "keys", "values", "copy"];
const OF_LIST: [&str; 3] = ["count", "index", "copy"];
// Templates may not change what they are given.
const CHANGING: [&str; 14] = [
    "append",
    "clear",
    "extend",
    "fromkeys",
    "insert",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "update",
    "add",
    "discard",
];
const CHANGING_DICT: [&str; 6] = ["clear", "fromkeys", "pop", "popitem", "setdefault", "update"];
const CHANGING_LIST: [&str; 8] =
    ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];

/// Does Python's type of `value` have it?
pub fn has_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(_) => strings::METHODS.contains(&name),
        Value::Dict(_) => OF_DICT.contains(&name) || CHANGING_DICT.contains(&name),
        Value::List(_) => OF_LIST.contains(&name) || CHANGING_LIST.contains(&name),
        Value::Tuple(_) => OF_LIST[..2].contains(&name),
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        // `dict` itself.
        Value::Callable(callable) => {
            name == "fromkeys" && matches!(&**callable, Callable::Function("dict"))
        }
        _ => false,
    }
}

/// `value.name(arguments)`.
pub fn call_method(value: &Value, name: &str, args: &Args) -> Result<Value> {
    work(1)?;
    match value {
        Value::Str(text) => strings::call(&text.text, name, args),
        Value::Callable(_) => {
            let mut args = args.bind(name, &["keys", "value"])?;
            let keys = args.need(0)?.elements()?;
            let default = args.take(1).unwrap_or(Value::None);
            Value::dict(keys.into_iter().map(|key| (key, default.clone())))
        }
        _ if CHANGING.contains(&name) => {
            fail(format!("'{name}' would change a {}, which a template may not", value.type_name()))
        }
        Value::Dict(dict) => {
            let pairs = || dict.members.iter();
            match name {
                "get" => {
                    let mut args = args.bind("get", &["key", "default"])?;
                    let key = args.need(0)?;
                    let found = dict.get(&key)?.cloned();
                    Ok(found.or_else(|| args.take(1)).unwrap_or(Value::None))
                }
                "copy" => Ok(value.clone()),
                _ => {
                    args.bind(name, &[])?;
                    work(dict.members.len())?;
                    match name {
                        "keys" => Value::view("dict_keys", pairs().map(|m| m.0.clone()).collect()),
                        "values" => {
                            Value::view("dict_values", pairs().map(|m| m.1.clone()).collect())
                        }
                        _ => Value::view("dict_items", items_of(value)?),
                    }
                }
            }
        }
        Value::List(list) | Value::Tuple(list) => {
            if name == "copy" {
                return Ok(value.clone());
            }
            let wanted = args.bind(name, &["value"])?.need(0)?;
            let mut count = 0;
            for (at, item) in list.items.iter().enumerate() {
                if item.equals(&wanted)? {
                    if name == "index" {
                        return Ok(Value::Int(at as i64));
                    }
                    count += 1;
                }
            }
            if name == "index" {
                return fail("index: the value is not in the list");
            }
            Ok(Value::Int(count))
        }
        Value::Loop(state) if name == "cycle" => {
            let choices = &args.positional;
            let chosen = choices.get(state.at.get() % choices.len().max(1));
            chosen.cloned().ok_or_else(|| error("cycle: expected values, got none"))
        }
        Value::Loop(state) => Ok(Value::Bool(state.changed(&args.positional)?)),
        _ => {
            let found = access::attribute(value, name)?;
            found.defined()?;
            fail(format!("a {} cannot be called", found.type_name()))
        }
    }
}

/// The members of a dict as tuples.
pub fn items_of(value: &Value) -> Result<Vec<Value>> {
    match value {
        Value::Dict(dict) => {
            let pair =
                |member: &(Value, Value)| Value::tuple(vec![member.0.clone(), member.1.clone()]);
            dict.members.iter().map(pair).collect()
        }
        Value::Undefined(_) => Ok(Vec::new()),
        other => fail(format!("items: expected a dict, got a {}", other.type_name())),
    }
}
