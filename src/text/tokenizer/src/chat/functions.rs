//! The functions that every template may call.

use super::arguments::Args;
use super::budget::work;
use super::error::{error, fail, Result};
use super::scope::Namespace;
use super::text::text_of;
use super::time;
use super::value::Value;
use std::rc::Rc;

const NAMES: [&str; 5] = ["range", "dict", "namespace", "raise_exception", "strftime_now"];
// As in Jinja's sandbox.
const MOST_ITEMS: i64 = 100_000;

/// The name itself, for as long as the program runs.
pub fn named(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// `name(arguments)`; `now` is what `strftime_now` tells.
pub fn call(name: &str, args: &Args, now: i64) -> Result<Value> {
    match name {
        "range" => range(args),
        "dict" => Value::dict(members(name, args)?),
        "namespace" => {
            let namespace = Namespace::default();
            for (name, value) in members(name, args)? {
                let name = name.as_str().ok_or_else(|| error("namespace: expected names"))?;
                if name.starts_with('_') || !value.is_plain()? {
                    return fail(format!("namespace: '{name}' cannot be set to this value"));
                }
                namespace.members.borrow_mut().insert(Rc::from(name), value);
            }
            Ok(Value::Namespace(Rc::new(namespace)))
        }
        "raise_exception" => {
            let message = text_of(&args.bind(name, &["message"])?.need(0)?)?;
            fail(message.as_str().unwrap_or_default())
        }
        _ => {
            let format = args.bind(name, &["format"])?.need(0)?;
            match format.as_str() {
                Some(format) => time::formatted(format, now),
                None => fail("strftime_now: expected a str"),
            }
        }
    }
}

// The members of a dict or of a list of pairs, and those given by name.
fn members(callee: &str, args: &Args) -> Result<Vec<(Value, Value)>> {
    let mut members = Vec::new();
    match args.positional.as_slice() {
        [] => {}
        [Value::Dict(dict)] => members.extend(dict.members.iter().cloned()),
        [pairs] => {
            for pair in pairs.elements()? {
                match <[Value; 2]>::try_from(pair.elements()?) {
                    Ok([key, value]) => members.push((key, value)),
                    Err(_) => return fail(format!("{callee}: expected pairs")),
                }
            }
        }
        more => return fail(format!("{callee}: expected at most 1 argument, got {}", more.len())),
    }
    work(members.len())?;
    for (name, value) in &args.named {
        members.push((Value::str(&**name)?, value.clone()));
    }
    Ok(members)
}

fn range(args: &Args) -> Result<Value> {
    let mut bound = args.bind("range", &["start", "stop", "step"])?;
    let first = bound.int(0)?.ok_or_else(|| error("range: expected an int"))?;
    let second = bound.int(1)?;
    let step = bound.int(2)?.unwrap_or(1);
    let (start, stop) = second.map_or((0, first), |second| (first, second));
    if step == 0 {
        return fail("range: the step is 0");
    }
    let distance = if step > 0 {
        i128::from(stop) - i128::from(start)
    } else {
        i128::from(start) - i128::from(stop)
    };
    let count = (distance.max(0) as u128).div_ceil(u128::from(step.unsigned_abs()));
    if count > MOST_ITEMS as u128 {
        return fail(format!("range: expected at most {MOST_ITEMS} numbers, got {count}"));
    }
    work(count as usize)?;
    Value::view("range", (0..count as i64).map(|i| Value::Int(start + i * step)).collect())
}
