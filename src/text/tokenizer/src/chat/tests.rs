//! The tests: `value is name`.

use super::arguments::Args;
use super::budget::work;
use super::error::{fail, Result};
use super::operators::{compare, contains};
use super::strings;
use super::text::text_of;
use super::value::Value;

/// Does `value` pass the test `name`?
pub fn passes(name: &str, value: &Value, args: &Args) -> Result<bool> {
    work(1)?;
    let operator = match name {
        "eq" | "equalto" | "==" => "==",
        "ne" | "!=" => "!=",
        "lt" | "lessthan" | "<" => "<",
        "le" | "<=" => "<=",
        "gt" | "greaterthan" | ">" => ">",
        "ge" | ">=" => ">=",
        "in" | "sameas" | "divisibleby" | "filter" | "test" => name,
        _ => "",
    };
    if operator.is_empty() {
        args.bind(name, &[])?;
        return simple(name, value);
    }
    let operand = || args.bind(name, &["other"])?.need(0);
    match operator {
        "in" => contains(&operand()?, value),
        "sameas" => Ok(value.is_same(&operand()?)),
        "divisibleby" => match (value.as_float(), operand()?.as_float()) {
            (Some(_), Some(0.0)) => fail("divisibleby: division by zero"),
            (Some(a), Some(b)) => Ok(a % b == 0.0),
            _ => fail("divisibleby: expected two numbers"),
        },
        "filter" | "test" => fail(format!("the test '{name}' is not supported")),
        operator => compare(operator, value, &operand()?),
    }
}

fn simple(name: &str, value: &Value) -> Result<bool> {
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.as_float().is_some(),
        "string" => value.as_str().is_some(),
        "mapping" => matches!(value, Value::Dict(_)),
        "sequence" => match value {
            Value::View(view) => view.kind == "range",
            Value::Undefined(_) => true,
            Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) => true,
            _ => false,
        },
        "iterable" => !matches!(
            value,
            Value::None
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Namespace(_)
                | Value::Callable(_)
        ),
        "callable" => matches!(value, Value::Callable(_) | Value::Loop(_)),
        "escaped" => false,
        "odd" | "even" => match value.as_float() {
            Some(number) => number.rem_euclid(2.0) == f64::from(u8::from(name == "odd")),
            None => return fail(format!("{name}: expected an int, got a {}", value.type_name())),
        },
        "lower" | "upper" => {
            let text = text_of(value)?;
            strings::is(text.as_str().unwrap_or_default(), &format!("is{name}"))
        }
        _ => return fail(format!("the test '{name}' is not supported")),
    })
}
