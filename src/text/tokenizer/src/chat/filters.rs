//! The filters: of one value here, of sequences in `sequences.rs`.

use super::access;
use super::arguments::Args;
use super::budget::{work, Held};
use super::error::{error, fail, Result};
use super::format::percent;
use super::json::to_json;
use super::lexer::is_space;
use super::sequences;
use super::strings;
use super::text::{text_of, Writer};
use super::value::Value;

// A longer text is taken for no number.
const MOST_DIGITS: usize = 4000;

/// `value | name(arguments)`.
pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    work(1)?;
    if let Some(result) = sequences::apply(name, value, args)? {
        return Ok(result);
    }
    match name {
        "upper" | "lower" | "capitalize" => {
            strings::call(text(value)?.as_str().unwrap_or_default(), name, args)
        }
        "title" => {
            args.bind(name, &[])?;
            titled(text(value)?.as_str().unwrap_or_default())
        }
        "trim" => {
            let chars = args.bind(name, &["chars"])?.text(0)?;
            let text = text(value)?;
            let text = text.as_str().unwrap_or_default();
            Value::str(strings::stripped(text, chars.as_ref().and_then(Value::as_str), "strip"))
        }
        "string" | "safe" => {
            args.bind(name, &[])?;
            text_of(value)
        }
        "escape" | "e" | "forceescape" => {
            args.bind(name, &[])?;
            escaped(text(value)?.as_str().unwrap_or_default())
        }
        "replace" => {
            let mut args = args.bind(name, &["old", "new", "count"])?;
            let (old, new) = (text(&args.need(0)?)?, text(&args.need(1)?)?);
            let count = args.int(2)?.and_then(|count| usize::try_from(count).ok());
            let (old, new) = (old.as_str().unwrap_or_default(), new.as_str().unwrap_or_default());
            strings::replaced(text(value)?.as_str().unwrap_or_default(), old, new, count)
        }
        "default" | "d" => {
            let mut args = args.bind(name, &["default_value", "boolean"])?;
            let default = args.take(0);
            let is_there = match value {
                Value::Undefined(_) => false,
                value => !args.truth(1, false) || value.truth(),
            };
            if is_there {
                return Ok(value.clone());
            }
            default.map_or_else(|| Value::str(""), Ok)
        }
        "tojson" => to_json(value, args),
        "attr" => {
            let name = args.bind(name, &["name"])?.need(0)?;
            let found = match value {
                Value::Dict(_) => Value::undefined("a dict has no such attribute")?,
                value => access::attribute(value, name.as_str().unwrap_or_default())?,
            };
            Ok(found)
        }
        "format" => {
            let operand = match args.named.is_empty() {
                true => Value::tuple(args.positional.clone())?,
                false => Value::dict(
                    args.named
                        .iter()
                        .map(|(name, value)| Ok((Value::str(&**name)?, value.clone())))
                        .collect::<Result<Vec<_>>>()?,
                )?,
            };
            percent(text(value)?.as_str().unwrap_or_default(), &operand)
        }
        "indent" if value.defined()?.as_str().is_none() => {
            fail(format!("{name}: expected a str, got a {}", value.type_name()))
        }
        "indent" => indented(text(value)?.as_str().unwrap_or_default(), args),
        "center" => {
            let width = args.bind(name, &["width"])?.int(0)?.unwrap_or(80);
            let args = Args::of(vec![Value::Int(width)]);
            strings::call(text(value)?.as_str().unwrap_or_default(), name, &args)
        }
        "truncate" => truncated(value, args),
        "wordcount" => {
            args.bind(name, &[])?;
            let text = text(value)?;
            let words = text.as_str().unwrap_or_default();
            let words = words.split(|c: char| c != '_' && !c.is_alphanumeric());
            Ok(Value::Int(words.filter(|word| !word.is_empty()).count() as i64))
        }
        "int" | "float" | "abs" | "round" => number(name, value, args),
        _ => fail(format!("the filter '{name}' is not supported")),
    }
}

fn text(value: &Value) -> Result<Value> {
    text_of(value)
}

// As the filter has it: words are what stands between space, '-' and opening brackets.
fn titled(text: &str) -> Result<Value> {
    let mut out = Writer::default();
    let mut rest = text;
    while !rest.is_empty() {
        let separates =
            |c: char| strings::is(c.encode_utf8(&mut [0; 4]), "isspace") || "-({[<".contains(c);
        let end = rest.find(separates).unwrap_or(rest.len());
        let word = &rest[..end];
        let first = word.chars().next().map_or(0, char::len_utf8);
        out.push(&word[..first].to_uppercase())?;
        out.push(&word[first..].to_lowercase())?;
        rest = &rest[end..];
        let end = rest.find(|c| !separates(c)).unwrap_or(rest.len());
        out.push(&rest[..end])?;
        rest = &rest[end..];
    }
    out.into_value()
}

fn escaped(text: &str) -> Result<Value> {
    let mut out = Writer::default();
    let mut from = 0;
    for (at, found) in text.match_indices(['&', '<', '>', '"', '\'']) {
        out.push(&text[from..at])?;
        out.push(match found {
            "&" => "&amp;",
            "<" => "&lt;",
            ">" => "&gt;",
            "\"" => "&#34;",
            _ => "&#39;",
        })?;
        from = at + 1;
    }
    out.push(&text[from..])?;
    out.into_value()
}

fn indented(text: &str, args: &Args) -> Result<Value> {
    let mut args = args.bind("indent", &["width", "first", "blank"])?;
    let mut indent = Writer::default();
    match args.take(0) {
        Some(Value::Str(text)) => indent.push(&text.text)?,
        Some(width) => match width.as_int() {
            Some(width) => indent.repeat(" ", usize::try_from(width).unwrap_or(0))?,
            None => return fail("indent: width: expected an int or a str"),
        },
        None => indent.repeat(" ", 4)?,
    }
    let (first, blank) = (args.truth(1, false), args.truth(2, false));
    let mut out = Writer::default();
    let with_end = format!("{text}\n");
    let _room = Held::new(32 * text.chars().filter(|c| is_space(*c)).count())?;
    for (at, line) in strings::lines(&with_end, false).into_iter().enumerate() {
        out.push(if at > 0 { "\n" } else { "" })?;
        if (at > 0 || first) && (blank || at == 0 || !line.is_empty()) {
            out.push(indent.text())?;
        }
        out.push(line)?;
    }
    out.into_value()
}

fn truncated(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.bind("truncate", &["length", "killwords", "end", "leeway"])?;
    let length = args.int(0)?.unwrap_or(255);
    let kills = args.truth(1, false);
    let end = args.text(2)?;
    let end = end.as_ref().and_then(Value::as_str).unwrap_or("...");
    let leeway = args.int(3)?.unwrap_or(5);
    let room = length - end.chars().count() as i64;
    if room < 0 {
        return fail("truncate: expected a length beyond that of the end");
    }
    if value.len()? as i64 <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let Some(text) = value.as_str() else {
        return fail(format!("truncate: expected a str, got a {}", value.type_name()));
    };
    let kept = text.char_indices().nth(room as usize).map_or(text, |(at, _)| &text[..at]);
    let kept = if kills { kept } else { kept.rsplit_once(' ').map_or(kept, |(before, _)| before) };
    let mut out = Writer::default();
    out.push(kept)?;
    out.push(end)?;
    out.into_value()
}

// The number that a text begins to be is not enough: Python reads all of it.
fn parsed(text: &str) -> Option<f64> {
    if text.len() > MOST_DIGITS {
        return None;
    }
    let text = strings::stripped(text, None, "strip").replace('_', "");
    let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    let lower = text.to_lowercase();
    let is_word = matches!(lower.trim_start_matches(['+', '-']), "inf" | "infinity" | "nan");
    (is_number || is_word).then(|| text.parse().ok()).flatten()
}

fn number(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "int" => {
            let mut args = args.bind(name, &["default", "base"])?;
            let default = args.take(0).unwrap_or(Value::Int(0));
            let base = args.int(1)?.unwrap_or(10);
            let whole = match value.defined()? {
                Value::Str(text) if text.text.len() > MOST_DIGITS => None,
                Value::Str(text) => {
                    let digits = strings::stripped(&text.text, None, "strip").replace('_', "");
                    let lower = digits.to_lowercase();
                    let digits = match base {
                        16 => lower.trim_start_matches("0x"),
                        8 => lower.trim_start_matches("0o"),
                        2 => lower.trim_start_matches("0b"),
                        _ => &lower,
                    };
                    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
                    let base = base.ok_or_else(|| error("int: expected a base from 2 to 36"))?;
                    i64::from_str_radix(digits, base).ok().or_else(|| whole(parsed(digits)?))
                }
                other => other.as_int().or_else(|| whole(other.as_float()?)),
            };
            Ok(whole.map_or(default, Value::Int))
        }
        "float" => {
            let default = args.bind(name, &["default"])?.take(0).unwrap_or(Value::Float(0.0));
            let number = match value.defined()? {
                Value::Str(text) => parsed(&text.text),
                other => other.as_float(),
            };
            Ok(number.map_or(default, Value::Float))
        }
        "abs" => {
            args.bind(name, &[])?;
            match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                other => match other.as_int().and_then(i64::checked_abs) {
                    Some(number) => Ok(Value::Int(number)),
                    None => fail(format!("abs: expected a number, got a {}", other.type_name())),
                },
            }
        }
        _ => rounded(value, args),
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e18).then_some(number as i64)
}

fn rounded(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.bind("round", &["precision", "method"])?;
    let precision = args.int(0)?.unwrap_or(0);
    let method = args.text(1)?;
    let method = method.as_ref().and_then(Value::as_str).unwrap_or("common");
    let Some(number) = value.defined()?.as_float() else {
        return fail(format!("round: expected a number, got a {}", value.type_name()));
    };
    let Some(precision) = i32::try_from(precision).ok().filter(|p| p.abs() <= 300) else {
        return fail("round: the precision is too large");
    };
    let factor = 10f64.powi(precision);
    match method {
        "ceil" => Ok(Value::Float((number * factor).ceil() / factor)),
        "floor" => Ok(Value::Float((number * factor).floor() / factor)),
        "common" if value.as_int().is_some() && precision >= 0 => {
            Ok(Value::Int(value.as_int().unwrap_or(0)))
        }
        "common" if precision >= 0 => {
            let text = format!("{number:.*}", precision as usize);
            Ok(Value::Float(text.parse().unwrap_or(number)))
        }
        "common" => Ok(Value::Float((number * factor).round_ties_even() / factor)),
        _ => fail("round: expected the method 'common', 'ceil' or 'floor'"),
    }
}
