//! One value after a format specification, as Python's `format(value, spec)` and `%` print it.

use super::error::{error, fail, Result};
use super::text::{float_text, text_of, Writer};
use super::value::Value;

// More digits than any number has.
const MOST_PRECISION: usize = 2000;

pub struct Spec {
    pub fill: char,
    /// '<', '>', '^' or '='.
    pub align: Option<char>,
    /// '-', '+' or ' '.
    pub sign: char,
    pub alternate: bool,
    pub width: usize,
    /// What stands between groups of digits.
    pub group: Option<char>,
    pub precision: Option<usize>,
    /// 's' and so on; a space where none is given.
    pub kind: char,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            fill: ' ',
            align: None,
            sign: '-',
            alternate: false,
            width: 0,
            group: None,
            precision: None,
            kind: ' ',
        }
    }
}

/// The number at the front of `text`, and what follows it.
pub fn leading_number(text: &str) -> Result<(Option<usize>, &str)> {
    let length = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse() {
        Ok(value) => Ok((Some(value), rest)),
        Err(_) => fail(format!("the width or precision {digits} is too large")),
    }
}

impl Spec {
    /// The part behind the colon of `{:...}`.
    pub fn parse(text: &str) -> Result<Spec> {
        let mut spec = Spec::default();
        let mut rest = text;
        let mut chars = rest.chars();
        let (first, second) = (chars.next(), chars.next());
        let is_align = |c: Option<char>| matches!(c, Some('<' | '>' | '^' | '='));
        if let (Some(fill), true) = (first, is_align(second)) {
            (spec.fill, spec.align) = (fill, second);
            rest = chars.as_str();
        } else if is_align(first) {
            spec.align = first;
            rest = &rest[1..];
        }
        if let Some(sign @ ('+' | '-' | ' ')) = rest.chars().next() {
            spec.sign = sign;
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('#') {
            spec.alternate = true;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('0') {
            if spec.align.is_none() {
                (spec.fill, spec.align) = ('0', Some('='));
            }
            rest = after;
        }
        let (width, after) = leading_number(rest)?;
        (spec.width, rest) = (width.unwrap_or(0), after);
        if let Some(group @ (',' | '_')) = rest.chars().next() {
            spec.group = Some(group);
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('.') {
            (spec.precision, rest) = leading_number(after)?;
            if spec.precision.is_none() {
                return fail("a format specification has no precision behind the dot");
            }
        }
        let mut kinds = rest.chars();
        if let Some(kind) = kinds.next() {
            spec.kind = kind;
        }
        if kinds.next().is_some() {
            return fail(format!("'{text}' is no format specification"));
        }
        Ok(spec)
    }

    /// `value` after this specification.
    pub fn write(&self, out: &mut Writer, value: &Value) -> Result<()> {
        match value {
            Value::Bool(_) if matches!(self.kind, ' ' | 's') => {
                let text = text_of(value)?;
                self.write_text(out, text.as_str().unwrap_or_default())
            }
            Value::Bool(_) | Value::Int(_) => self.write_int(out, value),
            Value::Float(number) => self.write_float(out, *number),
            Value::Str(text) => self.write_text(out, &text.text),
            other if self.is_empty() => super::text::write_str(out, other),
            other => fail(format!("a {} takes no format specification", other.type_name())),
        }
    }

    fn is_empty(&self) -> bool {
        self.width == 0 && self.align.is_none() && self.precision.is_none() && self.kind == ' '
    }

    pub fn write_text(&self, out: &mut Writer, text: &str) -> Result<()> {
        if !matches!(self.kind, ' ' | 's') {
            return fail(format!("a str cannot be formatted as '{}'", self.kind));
        }
        let end = match self.precision {
            Some(most) => text.char_indices().nth(most).map_or(text.len(), |(at, _)| at),
            None => text.len(),
        };
        let align = self.align.map_or('<', |align| if align == '=' { '<' } else { align });
        self.pad(out, "", &text[..end], align)
    }

    fn write_int(&self, out: &mut Writer, value: &Value) -> Result<()> {
        let number = value.as_int().ok_or_else(|| error("expected an int"))?;
        let magnitude = number.unsigned_abs();
        let (prefix, digits, group) = match self.kind {
            ' ' | 'd' | 'i' | 'u' | 'n' => ("", magnitude.to_string(), 3),
            'b' => ("0b", format!("{magnitude:b}"), 4),
            'o' => ("0o", format!("{magnitude:o}"), 4),
            'x' => ("0x", format!("{magnitude:x}"), 4),
            'X' => ("0X", format!("{magnitude:X}"), 4),
            'c' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| error(format!("{number} is no character")))?;
                return self.pad(out, "", c.encode_utf8(&mut [0; 4]), self.align.unwrap_or('<'));
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' => {
                return self.write_float(out, number as f64);
            }
            kind => return fail(format!("an int cannot be formatted as '{kind}'")),
        };
        let prefix = if self.alternate { prefix } else { "" };
        self.write_number(out, number < 0, prefix, &digits, group)
    }

    fn write_float(&self, out: &mut Writer, value: f64) -> Result<()> {
        let precision = self.precision.unwrap_or(6);
        if precision > MOST_PRECISION {
            return fail(format!("the precision {precision} is too large"));
        }
        let magnitude = value.abs();
        let digits = if !value.is_finite() {
            float_text(magnitude)
        } else {
            match self.kind {
                'f' | 'F' => format!("{magnitude:.precision$}"),
                '%' => format!("{:.precision$}%", magnitude * 100.0),
                'e' | 'E' => scientific(magnitude, precision),
                'g' | 'G' | 'n' => general(magnitude, precision, self.alternate),
                ' ' if self.precision.is_none() => float_text(magnitude),
                ' ' => {
                    let text = general(magnitude, precision, false);
                    if text.contains(['.', 'e']) {
                        text
                    } else {
                        text + ".0"
                    }
                }
                kind => return fail(format!("a float cannot be formatted as '{kind}'")),
            }
        };
        let digits = if self.kind.is_uppercase() { digits.to_uppercase() } else { digits };
        let negative = value.is_sign_negative() && !value.is_nan();
        self.write_number(out, negative, "", &digits, 3)
    }

    fn write_number(
        &self,
        out: &mut Writer,
        negative: bool,
        prefix: &str,
        digits: &str,
        group: usize,
    ) -> Result<()> {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        };
        let before = format!("{sign}{prefix}");
        let Some(separator) = self.group else {
            return self.pad(out, &before, digits, self.align.unwrap_or('>'));
        };
        let whole = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(whole);
        let mut grouped = grouped(whole, separator, group);
        if self.align == Some('=') && self.fill == '0' {
            if self.width > MOST_PRECISION {
                return fail(format!("the width {} is too large", self.width));
            }
            let mut zeros = whole.to_string();
            while before.len() + grouped.len() + rest.len() < self.width {
                zeros.insert(0, '0');
                grouped = self::grouped(&zeros, separator, group);
            }
        }
        self.pad(out, &before, &(grouped + rest), self.align.unwrap_or('>'))
    }

    // `body` with what fills it up to the width; with '=' that goes behind the sign.
    fn pad(&self, out: &mut Writer, sign: &str, body: &str, align: char) -> Result<()> {
        let missing = self.width.saturating_sub(sign.len() + body.chars().count());
        let (left, inside, right) = match align {
            '<' => (0, 0, missing),
            '^' => (missing / 2, 0, missing - missing / 2),
            '=' => (0, missing, 0),
            _ => (missing, 0, 0),
        };
        let fill = self.fill.to_string();
        out.repeat(&fill, left)?;
        out.push(sign)?;
        out.repeat(&fill, inside)?;
        out.push(body)?;
        out.repeat(&fill, right)
    }
}

fn grouped(digits: &str, separator: char, size: usize) -> String {
    let mut text = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % size == 0 {
            text.push(separator);
        }
        text.push(c);
    }
    text
}

fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn general(value: f64, precision: usize, keeps_zeros: bool) -> String {
    let precision = precision.max(1);
    let text = scientific(value, precision - 1);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| {
        let has_zeros = text.contains('.') && !keeps_zeros;
        let kept = if has_zeros { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        kept.to_string()
    };
    if power < -4 || power >= precision as i32 {
        return format!("{}e{exponent}", without_zeros(digits));
    }
    let decimals = (precision as i32 - 1 - power).max(0) as usize;
    without_zeros(&format!("{value:.decimals$}"))
}
