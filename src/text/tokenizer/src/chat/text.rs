//! Values as text: Python's `str()` and `repr()`.

use super::budget::{work, Held, Level};
use super::error::{fail, Result};
use super::scope::Callable;
use super::value::Value;

/// Text that grows, and is accounted for while it does.
#[derive(Default)]
pub struct Writer {
    text: String,
    held: Held,
}

impl Writer {
    pub fn push(&mut self, text: &str) -> Result<()> {
        self.held.grow(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// `count` times the same.
    pub fn repeat(&mut self, text: &str, count: usize) -> Result<()> {
        self.held.grow(text.len().saturating_mul(count))?;
        (0..count).for_each(|_| self.text.push_str(text));
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn into_string(self) -> String {
        self.text
    }

    pub fn into_value(self) -> Result<Value> {
        Value::str(self.text)
    }
}

/// As Python prints a float.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn is_printable(c: char) -> bool {
    let hidden = matches!(c as u32,
        0x7f..=0xa0 | 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x1680
        | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0xe000..=0xf8ff
        | 0xfdd0..=0xfdef | 0xfeff | 0xfff0..=0xfffb | 0xfffe..=0xffff | 0xe0000..=0x10ffff);
    c >= ' ' && !hidden
}

fn write_quoted(out: &mut Writer, text: &str) -> Result<()> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\\' => quoted += "\\\\",
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if is_printable(c) => quoted.push(c),
            c if (c as u32) < 0x100 => quoted += &format!("\\x{:02x}", c as u32),
            c if (c as u32) < 0x10000 => quoted += &format!("\\u{:04x}", c as u32),
            c => quoted += &format!("\\U{:08x}", c as u32),
        }
    }
    quoted.push(quote);
    out.push(&quoted)
}

fn write_items(out: &mut Writer, items: &[Value]) -> Result<()> {
    for (at, item) in items.iter().enumerate() {
        out.push(if at > 0 { ", " } else { "" })?;
        write_repr(out, item)?;
    }
    Ok(())
}

/// Python's `repr(value)`.
pub fn write_repr(out: &mut Writer, value: &Value) -> Result<()> {
    work(1)?;
    let _level = Level::enter()?;
    match value {
        Value::Str(text) => {
            let _room = Held::new(text.text.len())?;
            write_quoted(out, &text.text)
        }
        Value::List(list) => {
            out.push("[")?;
            write_items(out, &list.items)?;
            out.push("]")
        }
        Value::Tuple(list) => {
            out.push("(")?;
            write_items(out, &list.items)?;
            out.push(if list.items.len() == 1 { ",)" } else { ")" })
        }
        Value::Dict(dict) => {
            out.push("{")?;
            for (at, (key, value)) in dict.members.iter().enumerate() {
                out.push(if at > 0 { ", " } else { "" })?;
                write_repr(out, key)?;
                out.push(": ")?;
                write_repr(out, value)?;
            }
            out.push("}")
        }
        Value::View(view) if view.kind != "range" => {
            out.push(view.kind)?;
            out.push("([")?;
            write_items(out, &view.items.items)?;
            out.push("])")
        }
        Value::View(view) => write_range(out, &view.items.items),
        Value::Undefined(_) => out.push("Undefined"),
        other => write_str(out, other),
    }
}

fn write_range(out: &mut Writer, items: &[Value]) -> Result<()> {
    let ints: Vec<i64> = items.iter().filter_map(Value::as_int).collect();
    let step = if ints.len() > 1 { ints[1] - ints[0] } else { 1 };
    let (first, last) = (ints.first().unwrap_or(&0), ints.last().unwrap_or(&-1));
    match step {
        1 => out.push(&format!("range({first}, {})", last + 1)),
        _ => fail("a range with a step cannot be printed; put `| list` behind it"),
    }
}

/// Python's `str(value)`.
pub fn write_str(out: &mut Writer, value: &Value) -> Result<()> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::None => out.push("None"),
        Value::Bool(true) => out.push("True"),
        Value::Bool(false) => out.push("False"),
        Value::Int(value) => out.push(&value.to_string()),
        Value::Float(value) => out.push(&float_text(*value)),
        Value::Str(text) => out.push(&text.text),
        Value::Callable(callable) => match &**callable {
            Callable::Macro(definition, _) => out.push(&format!("<Macro '{}'>", definition.name)),
            _ => fail("a function cannot be printed; it has to be called"),
        },
        Value::Stream(_) => fail("a generator cannot be printed; put `| list` behind it"),
        Value::Namespace(_) | Value::Loop(_) => {
            fail(format!("a {} cannot be printed", value.type_name()))
        }
        other => write_repr(out, other),
    }
}

/// The text of a value, as `{{ value }}` prints it.
pub fn text_of(value: &Value) -> Result<Value> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut out = Writer::default();
    write_str(&mut out, value)?;
    out.into_value()
}
