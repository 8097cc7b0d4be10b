//! `tojson`: Python's `json.dumps`, with the defaults of Hugging Face's templates.

use super::arguments::Args;
use super::budget::{work, Held, Level};
use super::error::{fail, Result};
use super::text::{float_text, Writer};
use super::value::Value;
use std::cmp::Ordering;

struct Style {
    ascii: bool,
    sorted: bool,
    indent: Option<Value>,
    between: Value,
    after_key: Value,
}

/// The filter: `value | tojson(ensure_ascii, indent, separators, sort_keys)`.
pub fn to_json(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.bind("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let ascii = args.truth(0, false);
    let indent = match args.take(1) {
        None | Some(Value::None) => None,
        Some(text) if text.as_str().is_some() => Some(text),
        Some(number) => match number.as_int() {
            Some(width) => {
                let mut spaces = Writer::default();
                spaces.repeat(" ", usize::try_from(width).unwrap_or(0))?;
                Some(spaces.into_value()?)
            }
            None => return fail("tojson: indent: expected an int or a str"),
        },
    };
    let (mut between, mut after_key) = (if indent.is_none() { ", " } else { "," }, ": ");
    let separators = args.take(2).filter(|given| !matches!(given, Value::None));
    let given = match &separators {
        Some(pair) => pair.elements()?,
        None => Vec::new(),
    };
    if separators.is_some() {
        match given.as_slice() {
            [Value::Str(first), Value::Str(second)] => {
                (between, after_key) = (&first.text, &second.text);
            }
            _ => return fail("tojson: separators: expected two texts"),
        }
    }
    let style = Style {
        ascii,
        sorted: args.truth(3, false),
        indent,
        between: Value::str(between)?,
        after_key: Value::str(after_key)?,
    };
    let mut out = Writer::default();
    style.write(&mut out, value, 0)?;
    out.into_value()
}

impl Style {
    fn write(&self, out: &mut Writer, value: &Value, depth: usize) -> Result<()> {
        work(1)?;
        let _level = Level::enter()?;
        match value {
            Value::None => out.push("null"),
            Value::Bool(value) => out.push(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push(&value.to_string()),
            Value::Float(value) => out.push(&number_text(*value)),
            Value::Str(text) => self.write_text(out, &text.text),
            Value::List(list) | Value::Tuple(list) => {
                out.push("[")?;
                for (at, item) in list.items.iter().enumerate() {
                    self.begin_item(out, at, depth + 1)?;
                    self.write(out, item, depth + 1)?;
                }
                self.end(out, "]", list.items.is_empty(), depth)
            }
            Value::Dict(dict) => {
                let mut members: Vec<&(Value, Value)> = dict.members.iter().collect();
                if self.sorted {
                    let keys = dict.members.iter().map(|member| member.0.clone()).collect();
                    let order = super::sorting::order_of(keys, false, &mut |a, b| {
                        Ok(a.compare(b)?.unwrap_or(Ordering::Equal))
                    })?;
                    members = order.into_iter().map(|at| &dict.members[at]).collect();
                }
                out.push("{")?;
                for (at, (key, value)) in members.iter().enumerate() {
                    self.begin_item(out, at, depth + 1)?;
                    self.write_key(out, key)?;
                    out.push(self.after_key.as_str().unwrap_or_default())?;
                    self.write(out, value, depth + 1)?;
                }
                self.end(out, "}", members.is_empty(), depth)
            }
            other => fail(format!("tojson: a {} is no JSON", other.type_name())),
        }
    }

    fn begin_item(&self, out: &mut Writer, at: usize, depth: usize) -> Result<()> {
        out.push(if at > 0 { self.between.as_str().unwrap_or_default() } else { "" })?;
        self.new_line(out, depth)
    }

    fn end(&self, out: &mut Writer, close: &str, is_empty: bool, depth: usize) -> Result<()> {
        if !is_empty {
            self.new_line(out, depth)?;
        }
        out.push(close)
    }

    fn new_line(&self, out: &mut Writer, depth: usize) -> Result<()> {
        let Some(indent) = self.indent.as_ref().and_then(Value::as_str) else {
            return Ok(());
        };
        out.push("\n")?;
        out.repeat(indent, depth)
    }

    fn write_key(&self, out: &mut Writer, key: &Value) -> Result<()> {
        match key {
            Value::Str(text) => self.write_text(out, &text.text),
            Value::None => out.push("\"null\""),
            Value::Bool(value) => out.push(if *value { "\"true\"" } else { "\"false\"" }),
            Value::Int(value) => out.push(&format!("\"{value}\"")),
            Value::Float(value) => out.push(&format!("\"{}\"", number_text(*value))),
            other => fail(format!("tojson: a {} is no key of JSON", other.type_name())),
        }
    }

    fn write_text(&self, out: &mut Writer, text: &str) -> Result<()> {
        let _room = Held::new(text.len())?;
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        for c in text.chars() {
            match c {
                '"' => quoted += "\\\"",
                '\\' => quoted += "\\\\",
                '\n' => quoted += "\\n",
                '\r' => quoted += "\\r",
                '\t' => quoted += "\\t",
                '\x08' => quoted += "\\b",
                '\x0c' => quoted += "\\f",
                c if c < ' ' => quoted += &format!("\\u{:04x}", c as u32),
                c if self.ascii && (c as u32) > 0x7e => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        quoted += &format!("\\u{unit:04x}");
                    }
                }
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        out.push(&quoted)
    }
}

fn number_text(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_string(),
        value if value == f64::INFINITY => "Infinity".to_string(),
        value if value == f64::NEG_INFINITY => "-Infinity".to_string(),
        value => float_text(value),
    }
}
