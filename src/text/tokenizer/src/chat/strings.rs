//! The methods of Python's str.

use super::arguments::{Args, Bound};
use super::budget::{work, Held};
use super::error::{fail, Result};
use super::format::format;
use super::lexer::is_space;
use super::text::Writer;
use super::value::Value;

pub const METHODS: [&str; 42] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// `text.name(arguments)`.
pub fn call(text: &str, name: &str, args: &Args) -> Result<Value> {
    work(text.len() / 32)?;
    match name {
        "upper" | "lower" | "casefold" | "capitalize" | "swapcase" | "title" => {
            args.bind(name, &[])?;
            let _room = Held::new(3 * text.len())?;
            Value::str(in_case(text, name))
        }
        "strip" | "lstrip" | "rstrip" => {
            let chars = args.bind(name, &["chars"])?.text(0)?;
            Value::str(stripped(text, chars.as_ref().and_then(Value::as_str), name))
        }
        "startswith" | "endswith" => affixed(text, name, args),
        "removeprefix" | "removesuffix" => {
            let affix = args.bind(name, &["affix"])?.need(0)?;
            let affix = need_text(&affix, name)?;
            let kept = if name == "removeprefix" {
                text.strip_prefix(affix)
            } else {
                text.strip_suffix(affix)
            };
            Value::str(kept.unwrap_or(text))
        }
        "replace" => {
            let mut args = args.bind(name, &["old", "new", "count"])?;
            let (old, new) = (args.need(0)?, args.need(1)?);
            let count = args.int(2)?.and_then(|count| usize::try_from(count).ok());
            replaced(text, need_text(&old, name)?, need_text(&new, name)?, count)
        }
        "split" | "rsplit" => split(text, name, args.bind(name, &["sep", "maxsplit"])?),
        "splitlines" => {
            let keeps = args.bind(name, &["keepends"])?.truth(0, false);
            let _room = Held::new(128 * text.chars().filter(|c| is_space(*c)).count())?;
            Value::list(lines(text, keeps).into_iter().map(Value::str).collect::<Result<_>>()?)
        }
        "partition" | "rpartition" => {
            let separator = args.bind(name, &["sep"])?.need(0)?;
            let separator = need_text(&separator, name)?;
            let parts = match (name, text.split_once(separator), text.rsplit_once(separator)) {
                (_, None, _) if name == "partition" => [text, "", ""],
                (_, _, None) => ["", "", text],
                ("partition", Some((before, after)), _) => [before, separator, after],
                (_, _, Some((before, after))) => [before, separator, after],
            };
            Value::tuple(parts.into_iter().map(Value::str).collect::<Result<_>>()?)
        }
        "join" => {
            let items = args.bind(name, &["iterable"])?.need(0)?.elements()?;
            let mut out = Writer::default();
            for (at, item) in items.iter().enumerate() {
                out.push(if at > 0 { text } else { "" })?;
                out.push(need_text(item, name)?)?;
            }
            out.into_value()
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            search(text, name, args.bind(name, &["sub", "start", "end"])?)
        }
        "format" => format(text, args),
        "center" | "ljust" | "rjust" | "zfill" => {
            let mut args = args.bind(name, &["width", "fillchar"])?;
            let width = args.int(0)?.unwrap_or(0);
            let fill = args.text(1)?;
            let fill = fill.as_ref().and_then(Value::as_str).unwrap_or(" ");
            justified(text, name, usize::try_from(width).unwrap_or(0), fill)
        }
        "expandtabs" => {
            let width = args.bind(name, &["tabsize"])?.int(0)?.unwrap_or(8).clamp(0, 1000);
            expanded(text, width as usize)
        }
        "translate" => fail("the method 'translate' is not supported"),
        _ => {
            args.bind(name, &[])?;
            Ok(Value::Bool(is(text, name)))
        }
    }
}

fn need_text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    match value.defined()?.as_str() {
        Some(text) => Ok(text),
        None => fail(format!("{name}: expected a str, got a {}", value.type_name())),
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

fn in_case(text: &str, name: &str) -> String {
    match name {
        "upper" => text.to_uppercase(),
        "lower" | "casefold" => text.to_lowercase(),
        "capitalize" => capitalized(text),
        "swapcase" => text
            .chars()
            .flat_map(|c| match c {
                c if c.is_uppercase() => c.to_lowercase().collect::<Vec<char>>(),
                c => c.to_uppercase().collect(),
            })
            .collect(),
        _ => {
            let mut out = String::with_capacity(text.len());
            let mut rest = text;
            while let Some(begin) = rest.find(char::is_alphabetic) {
                out += &rest[..begin];
                rest = &rest[begin..];
                let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
                out += &capitalized(&rest[..end]);
                rest = &rest[end..];
            }
            out + rest
        }
    }
}

/// `strip`, `lstrip` or `rstrip`; without `chars` it is space that goes.
pub fn stripped<'a>(text: &'a str, chars: Option<&str>, name: &str) -> &'a str {
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if name == "rstrip" { text } else { text.trim_start_matches(goes) };
    if name == "lstrip" {
        text
    } else {
        text.trim_end_matches(goes)
    }
}

// The place of the character at `index`, which counts from the end where it is negative.
fn place(text: &str, index: i64) -> usize {
    let count = text.chars().count() as i64;
    let at = if index < 0 { index.saturating_add(count).max(0) } else { index };
    text.char_indices().nth(at.min(count) as usize).map_or(text.len(), |(place, _)| place)
}

fn affixed(text: &str, name: &str, args: &Args) -> Result<Value> {
    let mut args = args.bind(name, &["affix", "start", "end"])?;
    let affix = args.need(0)?;
    let begin = args.int(1)?.map_or(0, |at| place(text, at));
    let end = args.int(2)?.map_or(text.len(), |at| place(text, at));
    let text = text.get(begin..end).unwrap_or_default();
    let choices = match &affix {
        Value::Tuple(list) => list.items.clone(),
        other => vec![other.clone()],
    };
    for choice in &choices {
        let affix = need_text(choice, name)?;
        work(1)?;
        if if name == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) } {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// `text.replace(old, new, count)`.
pub fn replaced(text: &str, old: &str, new: &str, count: Option<usize>) -> Result<Value> {
    let most = count.unwrap_or(usize::MAX);
    let mut out = Writer::default();
    let mut from = 0;
    for (at, found) in text.match_indices(old).take(most) {
        work(1)?;
        out.push(&text[from..at])?;
        out.push(new)?;
        from = at + found.len();
    }
    out.push(&text[from..])?;
    out.into_value()
}

fn split(text: &str, name: &str, mut args: Bound) -> Result<Value> {
    let separator = args.text(0)?;
    let most = args.int(1)?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let from_right = name == "rsplit";
    let cuts = match separator.as_ref().and_then(Value::as_str) {
        Some(separator) => text.matches(separator).count(),
        None => text.chars().filter(|c| is_space(*c)).count(),
    };
    let _room = Held::new(128 * cuts.saturating_add(1).min(most.saturating_add(1)))?;
    let parts = match separator.as_ref().and_then(Value::as_str) {
        Some("") => return fail(format!("{name}: the separator is empty")),
        Some(separator) => {
            let most = most.saturating_add(1);
            if from_right {
                let mut parts: Vec<&str> = text.rsplitn(most, separator).collect();
                parts.reverse();
                parts
            } else {
                text.splitn(most, separator).collect()
            }
        }
        None => words(text, most, from_right),
    };
    Value::list(parts.into_iter().map(Value::str).collect::<Result<_>>()?)
}

// Words between space, cut at most `most` times; the last one keeps the space inside it.
fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        rest = match from_right {
            true => rest.trim_end_matches(is_space),
            false => rest.trim_start_matches(is_space),
        };
        if rest.is_empty() {
            break;
        }
        let at = match parts.len() < most {
            true if from_right => rest.rfind(is_space),
            true => rest.find(is_space),
            false => None,
        };
        let Some(at) = at else {
            parts.push(rest);
            break;
        };
        if from_right {
            parts.push(&rest[at + rest[at..].chars().next().map_or(1, char::len_utf8)..]);
            rest = &rest[..at];
        } else {
            parts.push(&rest[..at]);
            rest = &rest[at..];
        }
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// The lines of a text, at each of the ends that Python knows.
pub fn lines(text: &str, keeps_ends: bool) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let mut end = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        if rest[at..].starts_with("\r\n") {
            end = at + 2;
        }
        lines.push(&rest[..if keeps_ends { end } else { at }]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn search(text: &str, name: &str, mut args: Bound) -> Result<Value> {
    let wanted = args.need(0)?;
    let wanted = need_text(&wanted, name)?;
    let begin = args.int(1)?.map_or(0, |at| place(text, at));
    let end = args.int(2)?.map_or(text.len(), |at| place(text, at));
    let part = text.get(begin..end).unwrap_or_default();
    if name == "count" {
        return Ok(Value::Int(part.matches(wanted).count() as i64));
    }
    let found = if name.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) };
    match found {
        Some(at) => Ok(Value::Int(text[..begin + at].chars().count() as i64)),
        None if name.ends_with("find") => Ok(Value::Int(-1)),
        None => fail(format!("{name}: the text is not there")),
    }
}

fn justified(text: &str, name: &str, width: usize, fill: &str) -> Result<Value> {
    let missing = width.saturating_sub(text.chars().count());
    let mut out = Writer::default();
    if name == "zfill" {
        let digits = text.trim_start_matches(['+', '-']);
        let signs = usize::from(digits.len() < text.len());
        out.push(&text[..signs])?;
        out.repeat("0", missing)?;
        out.push(&text[signs..])?;
        return out.into_value();
    }
    if fill.chars().count() != 1 {
        return fail(format!("{name}: expected one character to fill with"));
    }
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    out.repeat(fill, left)?;
    out.push(text)?;
    out.repeat(fill, missing - left)?;
    out.into_value()
}

fn expanded(text: &str, width: usize) -> Result<Value> {
    let mut out = Writer::default();
    let mut column = 0;
    for c in text.chars() {
        if c == '\t' {
            let spaces = if width > 0 { width - column % width } else { 0 };
            out.repeat(" ", spaces)?;
            column += spaces;
            continue;
        }
        out.push(c.encode_utf8(&mut [0; 4]))?;
        column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
    }
    out.into_value()
}

/// The tests `isupper` and so on.
pub fn is(text: &str, name: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        "isdecimal" | "isdigit" | "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "islower" => text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        _ => text.chars().any(char::is_uppercase) && in_case(text, "title") == text,
    }
}
