//! `"...".format(...)` and `"..." % ...`, as Python has them.

use super::access;
use super::arguments::Args;
use super::error::{error, fail, Result};
use super::numbers::{leading_number, Spec};
use super::text::{text_of, write_repr, Writer};
use super::value::Value;

struct Fields<'a> {
    args: &'a Args,
    next: usize,
}

/// `pattern.format(*args)`.
pub fn format(pattern: &str, args: &Args) -> Result<Value> {
    let mut out = Writer::default();
    Fields { args, next: 0 }.write(&mut out, pattern, true)?;
    out.into_value()
}

// The length of a field, up to the bracket that closes it.
fn field_length(text: &str) -> Result<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Ok(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    fail("format: expected '}' before the end of the text")
}

impl Fields<'_> {
    // A field's specification may hold fields, and those none.
    fn write(&mut self, out: &mut Writer, pattern: &str, nested: bool) -> Result<()> {
        let mut rest = pattern;
        while let Some(at) = rest.find(['{', '}']) {
            out.push(&rest[..at])?;
            let bracket = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(bracket) {
                out.push(bracket)?;
                rest = after;
                continue;
            }
            if bracket == "}" {
                return fail("format: a single '}' in the text");
            }
            let length = field_length(rest)?;
            self.field(out, &rest[..length], nested)?;
            rest = &rest[length + 1..];
        }
        out.push(rest)
    }

    fn field(&mut self, out: &mut Writer, field: &str, nested: bool) -> Result<()> {
        let end = field.find([':', '!']).unwrap_or(field.len());
        let (path, mut rest) = field.split_at(end);
        let mut value = self.value(path)?;
        if let Some(after) = rest.strip_prefix('!') {
            let kind = after.chars().next().unwrap_or(' ');
            value = match kind {
                's' => text_of(&value)?,
                'r' | 'a' => {
                    let mut text = Writer::default();
                    write_repr(&mut text, &value)?;
                    text.into_value()?
                }
                _ => return fail(format!("format: '!{kind}' is no conversion")),
            };
            rest = &after[1..];
        }
        let mut spec = Writer::default();
        if let Some(after) = rest.strip_prefix(':') {
            if after.contains(['{', '}']) && !nested {
                return fail("format: fields nest too deep");
            }
            self.write(&mut spec, after, false)?;
        }
        Spec::parse(spec.text())?.write(out, &value)
    }

    // name.attribute[index]
    fn value(&mut self, path: &str) -> Result<Value> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (first, mut rest) = path.split_at(end);
        let index = leading_number(first)?;
        let found = match index {
            (Some(index), "") => self.args.positional.get(index).cloned(),
            _ if first.is_empty() => {
                self.next += 1;
                self.args.positional.get(self.next - 1).cloned()
            }
            _ => {
                let named = self.args.named.iter().find(|(name, _)| &**name == first);
                named.map(|(_, value)| value.clone())
            }
        };
        let mut value = found.ok_or_else(|| error(format!("format: no argument '{first}'")))?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = access::attribute(&value, &after[..end])?;
                rest = &after[end..];
                continue;
            }
            let Some(end) = rest.find(']') else {
                return fail("format: ']' is missing in a field");
            };
            let key = &rest[1..end];
            value = match leading_number(key)? {
                (Some(index), "") => access::item(&value, &Value::Int(index as i64))?,
                _ => access::item(&value, &Value::str(key)?)?,
            };
            rest = &rest[end + 1..];
        }
        Ok(value)
    }
}

/// `pattern % operand`; the operand is one value, a tuple of them, or a dict.
pub fn percent(pattern: &str, operand: &Value) -> Result<Value> {
    let values = match operand {
        Value::Tuple(list) => list.items.clone(),
        other => vec![other.clone()],
    };
    let mut percents = Percents { operand, values: values.into_iter(), named: false };
    let mut out = Writer::default();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push("%")?;
            rest = after;
            continue;
        }
        rest = percents.write(&mut out, rest)?;
    }
    let may_stay = matches!(operand, Value::Dict(_) | Value::List(_) | Value::View(_));
    if !percents.named && !may_stay && percents.values.next().is_some() {
        return fail("too many values for the '%' of a text");
    }
    out.push(rest)?;
    out.into_value()
}

// The values that the conversions of a text take one after the other, or by name.
struct Percents<'a> {
    operand: &'a Value,
    values: std::vec::IntoIter<Value>,
    named: bool,
}

impl Percents<'_> {
    fn next(&mut self) -> Result<Value> {
        self.values.next().ok_or_else(|| error("too few values for the '%' of a text"))
    }

    fn star(&mut self) -> Result<i64> {
        self.next()?.as_int().ok_or_else(|| error("'*' expects an int"))
    }

    // The conversion at the front of `text`, behind its '%'; gives back what follows it.
    fn write<'t>(&mut self, out: &mut Writer, text: &'t str) -> Result<&'t str> {
        let mut rest = text;
        let mut given = None;
        if let Some(after) = rest.strip_prefix('(') {
            let split = after.split_once(')');
            let (key, after) = split.ok_or_else(|| error("')' is missing behind a '%('"))?;
            self.named = true;
            given = Some(access::item(self.operand, &Value::str(key)?)?.defined()?.clone());
            rest = after;
        }
        let mut spec = Spec::default();
        let (mut left, mut zeros) = (false, false);
        while let Some(flag @ ('-' | '+' | ' ' | '#' | '0')) = rest.chars().next() {
            match flag {
                '-' => left = true,
                '0' => zeros = true,
                '#' => spec.alternate = true,
                sign if spec.sign != '+' => spec.sign = sign,
                _ => {}
            }
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('*') {
            let width = self.star()?;
            left |= width < 0;
            spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
            rest = after;
        } else {
            let (width, after) = leading_number(rest)?;
            (spec.width, rest) = (width.unwrap_or(0), after);
        }
        if let Some(after) = rest.strip_prefix(".*") {
            spec.precision = Some(usize::try_from(self.star()?).unwrap_or(0));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = leading_number(after)?;
            (spec.precision, rest) = (Some(precision.unwrap_or(0)), after);
        }
        rest = rest.trim_start_matches(['l', 'h', 'L']);
        let kind = rest.chars().next().ok_or_else(|| error("a '%' ends the text"))?;
        let value = given.map_or_else(|| self.next(), Ok)?;
        spec.align = Some(if left { '<' } else { '>' });
        let is_number = !matches!(kind, 's' | 'r' | 'a' | 'c');
        if zeros && !left && is_number {
            (spec.fill, spec.align) = ('0', Some('='));
        }
        percent_value(out, spec, kind, &value)?;
        Ok(&rest[kind.len_utf8()..])
    }
}

fn percent_value(out: &mut Writer, mut spec: Spec, kind: char, value: &Value) -> Result<()> {
    match kind {
        's' => {
            let text = text_of(value)?;
            spec.write_text(out, text.as_str().unwrap_or_default())
        }
        'r' | 'a' => {
            let mut text = Writer::default();
            write_repr(&mut text, value)?;
            spec.write_text(out, text.text())
        }
        'c' if value.as_str().is_some() => spec.write_text(out, value.as_str().unwrap_or_default()),
        'd' | 'i' | 'u' => {
            spec.kind = 'd';
            let number = match value {
                Value::Float(number) if number.is_finite() => Value::Int(*number as i64),
                other => other.clone(),
            };
            if number.as_int().is_none() {
                return fail(format!("%{kind} expects a number, got a {}", value.type_name()));
            }
            spec.precision = None;
            spec.write(out, &number)
        }
        'x' | 'X' | 'o' | 'c' if value.as_int().is_some() => {
            spec.kind = kind;
            spec.write(out, &Value::Int(value.as_int().unwrap_or(0)))
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' if value.as_float().is_some() => {
            spec.kind = kind;
            spec.write(out, &Value::Float(value.as_float().unwrap_or(0.0)))
        }
        _ => fail(format!("%{kind} takes no {}", value.type_name())),
    }
}
