//! The operators between two values.

use super::budget::work;
use super::error::{error, fail, Result};
use super::format::percent;
use super::text::{write_str, Writer};
use super::value::Value;
use std::cmp::Ordering;

fn unfit(op: &str, a: &Value, b: &Value) -> Result<Value> {
    fail(format!("'{op}' takes no {} and {}", a.type_name(), b.type_name()))
}

/// `a op b` for the arithmetic operators.
pub fn binary(op: &str, a: &Value, b: &Value) -> Result<Value> {
    if op == "~" {
        let mut out = Writer::default();
        write_str(&mut out, a)?;
        write_str(&mut out, b)?;
        return out.into_value();
    }
    let (a, b) = (a.defined()?, b.defined()?);
    match (op, a, b) {
        ("+", Value::Str(left), Value::Str(right)) => {
            let mut out = Writer::default();
            out.push(&left.text)?;
            out.push(&right.text)?;
            out.into_value()
        }
        ("+", Value::List(left), Value::List(right)) => joined(&left.items, &right.items, false),
        ("+", Value::Tuple(left), Value::Tuple(right)) => joined(&left.items, &right.items, true),
        ("%", Value::Str(pattern), operand) => percent(&pattern.text, operand),
        ("*", Value::Str(_) | Value::List(_) | Value::Tuple(_), count) => repeated(a, count),
        ("*", count, Value::Str(_) | Value::List(_) | Value::Tuple(_)) => repeated(b, count),
        _ => match (a.as_int(), b.as_int()) {
            (Some(left), Some(right)) => whole(op, left, right),
            _ => match (a.as_float(), b.as_float()) {
                (Some(left), Some(right)) => real(op, left, right),
                _ => unfit(op, a, b),
            },
        },
    }
}

fn joined(a: &[Value], b: &[Value], is_tuple: bool) -> Result<Value> {
    work(a.len() + b.len())?;
    let _room = super::budget::Held::new(24 * (a.len() + b.len()))?;
    let items = a.iter().chain(b).cloned().collect();
    if is_tuple {
        Value::tuple(items)
    } else {
        Value::list(items)
    }
}

fn repeated(value: &Value, count: &Value) -> Result<Value> {
    let Some(count) = count.as_int() else {
        return unfit("*", value, count);
    };
    let count = usize::try_from(count).unwrap_or(0);
    if let Value::Str(text) = value {
        let mut out = Writer::default();
        out.repeat(&text.text, count)?;
        return out.into_value();
    }
    let items = value.elements()?;
    let total = items.len().saturating_mul(count);
    work(total)?;
    let _room = super::budget::Held::new(total.saturating_mul(24))?;
    let all = (0..count.min(total)).flat_map(|_| items.iter().cloned()).collect();
    if matches!(value, Value::Tuple(_)) {
        Value::tuple(all)
    } else {
        Value::list(all)
    }
}

fn whole(op: &str, a: i64, b: i64) -> Result<Value> {
    if b == 0 && matches!(op, "/" | "//" | "%") {
        return fail("division by zero");
    }
    let floored = |a: i64, b: i64| {
        let quotient = a.checked_div(b)?;
        let exact = a.wrapping_rem(b) == 0;
        Some(if !exact && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
    };
    let result = match op {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "/" => return Ok(Value::Float(a as f64 / b as f64)),
        "//" => floored(a, b),
        "%" => floored(a, b).and_then(|q| q.checked_mul(b)).and_then(|whole| a.checked_sub(whole)),
        "**" if b < 0 && a == 0 => return fail("division by zero"),
        "**" if b < 0 => return Ok(Value::Float((a as f64).powf(b as f64))),
        "**" => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        _ => return fail(format!("unknown operator '{op}'")),
    };
    let result = result.ok_or_else(|| error(format!("{a} {op} {b} is beyond 64 bits")))?;
    Ok(Value::Int(result))
}

fn real(op: &str, a: f64, b: f64) -> Result<Value> {
    if b == 0.0 && matches!(op, "/" | "//" | "%") {
        return fail("division by zero");
    }
    Ok(Value::Float(match op {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                rest + b
            } else {
                rest
            }
        }
        "**" => a.powf(b),
        _ => return fail(format!("unknown operator '{op}'")),
    }))
}

/// `a op b` for the operators that compare.
pub fn compare(op: &str, a: &Value, b: &Value) -> Result<bool> {
    match op {
        "==" => a.equals(b),
        "!=" => Ok(!a.equals(b)?),
        "in" => contains(b, a),
        "not in" => Ok(!contains(b, a)?),
        _ => {
            let Some(order) = a.compare(b)? else {
                return Ok(false);
            };
            Ok(match op {
                "<" => order == Ordering::Less,
                "<=" => order != Ordering::Greater,
                ">" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
    }
}

/// `item in container`.
pub fn contains(container: &Value, item: &Value) -> Result<bool> {
    match container {
        Value::Str(text) => match item {
            Value::Str(part) => {
                work(text.text.len() / 32 + part.text.len() / 32)?;
                Ok(text.text.contains(&*part.text))
            }
            other => fail(format!("'in' looks for a str in a str, got a {}", other.type_name())),
        },
        Value::Dict(dict) => Ok(dict.get(item)?.is_some()),
        other => {
            for element in other.elements()? {
                if element.equals(item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}
