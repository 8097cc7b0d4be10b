//! The tokens of a template, with the whitespace control of Jinja: `trim_blocks` and
//! `lstrip_blocks` on, one newline at the end of the template dropped.

use super::error::{Error, Result};

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Text(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Op(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub line: u32,
    pub kind: Kind,
}

// Longer ones first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// As Python's `str.isspace` has it.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    // Was the last thing read the end of a line, or nothing?
    at_line_start: bool,
    tokens: Vec<Token>,
}

/// Cuts `template` into tokens; the last one is `Kind::End`.
pub fn tokens_of(template: &str) -> Result<Vec<Token>> {
    let source = template.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, at_line_start: true, tokens: Vec::new() };
    while lexer.at < source.len() {
        lexer.text()?;
    }
    lexer.push(Kind::End);
    Ok(lexer.tokens)
}

// What ends a tag: the signs before it are '-' (all space after it goes) and '+' (all stays).
fn end_of_tag(rest: &str, close: &str) -> Option<(usize, char)> {
    if rest.starts_with(close) {
        return Some((close.len(), ' '));
    }
    let sign = rest.chars().next().filter(|c| matches!(c, '-' | '+'))?;
    rest[1..].starts_with(close).then_some((1 + close.len(), sign))
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { line: self.line, kind });
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let passed = &self.source[self.at..self.at + bytes];
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.at += bytes;
        passed
    }

    fn error<T>(&self, text: String) -> Result<T> {
        Err(Error { text, line: self.line })
    }

    fn skip_space(&mut self) -> &'a str {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(is_space).len())
    }

    // Text up to the next tag, and that tag.
    fn text(&mut self) -> Result<()> {
        let rest = self.rest();
        let is_open = |at: &usize| rest[at + 1..].starts_with(['{', '%', '#']);
        let Some(length) = rest.match_indices('{').map(|(at, _)| at).find(is_open) else {
            self.emit_text(rest, ' ', false);
            self.advance(rest.len());
            return Ok(());
        };
        let open = &rest[length..length + 2];
        let sign = rest[length + 2..].chars().next().filter(|c| matches!(c, '-' | '+'));
        let is_variable = open == "{{";
        self.emit_text(&rest[..length], sign.unwrap_or(' '), !is_variable);
        self.advance(length);
        if open == "{%" && self.raw()? {
            return Ok(());
        }
        self.advance(2 + usize::from(sign.is_some()));
        match open {
            "{#" => self.comment(),
            "{%" => {
                self.push(Kind::BlockBegin);
                self.tag("%}", Kind::BlockEnd)
            }
            _ => {
                self.push(Kind::VariableBegin);
                self.tag("}}", Kind::VariableEnd)
            }
        }
    }

    // The text before a tag whose sign is `sign`; before a block the line's indentation goes.
    fn emit_text(&mut self, text: &str, sign: char, is_block: bool) {
        let mut kept = text;
        if sign == '-' {
            kept = text.trim_end_matches(is_space);
        } else if is_block && sign != '+' {
            let start = text.rfind('\n').map_or(0, |at| at + 1);
            if (start > 0 || self.at_line_start) && text[start..].chars().all(is_space) {
                kept = &text[..start];
            }
        }
        if !kept.is_empty() {
            self.push(Kind::Text(kept.to_string()));
        }
    }

    // Passes the end of a tag; of a block or comment, the newline behind it, too.
    fn close(&mut self, length: usize, sign: char, trims: bool) {
        let mut passed = self.advance(length);
        if sign == '-' {
            let space = self.skip_space();
            passed = if space.is_empty() { passed } else { space };
        } else if sign != '+' && trims && self.rest().starts_with('\n') {
            passed = self.advance(1);
        }
        self.at_line_start = passed.ends_with('\n');
    }

    fn comment(&mut self) -> Result<()> {
        let Some(length) = self.rest().find("#}") else {
            return self.error("a comment has no end: '#}' is missing".to_string());
        };
        let sign = self.rest()[..length].chars().next_back().filter(|c| matches!(c, '-' | '+'));
        self.advance(length);
        self.close(2, sign.unwrap_or(' '), true);
        Ok(())
    }

    // {% raw %} up to {% endraw %}, if that stands here.
    fn raw(&mut self) -> Result<bool> {
        let Some((length, sign, _)) = named_tag(self.rest(), "raw") else {
            return Ok(false);
        };
        if sign == '+' {
            return Ok(false);
        }
        self.advance(length);
        if sign == '-' {
            self.skip_space();
        }
        self.at_line_start = false;
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%") {
            let at = from + found;
            if let Some((length, sign, before)) = named_tag(&rest[at..], "endraw") {
                self.emit_text(&rest[..at], before, true);
                self.advance(at);
                let own = length - if sign == ' ' { 2 } else { 3 };
                self.advance(own);
                let end = length - own;
                self.close(end, sign, true);
                return Ok(true);
            }
            from = at + 2;
        }
        self.error("'raw' has no end: 'endraw' is missing".to_string())
    }

    // The tokens of one tag, up to its end.
    fn tag(&mut self, close: &str, end: Kind) -> Result<()> {
        let mut open_brackets: Vec<char> = Vec::new();
        loop {
            self.skip_space();
            let rest = self.rest();
            let Some(first) = rest.chars().next() else {
                return self.error(format!("unexpected end of the template: '{close}' is missing"));
            };
            if open_brackets.is_empty() {
                let found = end_of_tag(rest, close).filter(|end| close == "%}" || end.1 != '+');
                if let Some((length, sign)) = found {
                    self.push(end);
                    self.close(length, sign, close == "%}");
                    return Ok(());
                }
            }
            if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphabetic() {
                let length =
                    rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                self.push(Kind::Name(rest[..length].to_string()));
                self.advance(length);
            } else if matches!(first, '\'' | '"') {
                self.string(first)?;
            } else {
                let Some(operator) = OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
                    return self.error(format!("unexpected character '{first}'"));
                };
                self.brackets(operator, &mut open_brackets)?;
                self.push(Kind::Op(operator));
                self.advance(operator.len());
            }
        }
    }

    fn brackets(&self, operator: &str, open: &mut Vec<char>) -> Result<()> {
        match operator {
            "(" => open.push(')'),
            "[" => open.push(']'),
            "{" => open.push('}'),
            ")" | "]" | "}" => match open.pop() {
                Some(expected) if operator.starts_with(expected) => {}
                Some(expected) => {
                    return self.error(format!("unexpected '{operator}', expected '{expected}'"))
                }
                None => return self.error(format!("unexpected '{operator}'")),
            },
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let after_dot = self.source[..self.at].ends_with('.');
        let digits = |from: usize| {
            let more = rest[from..].find(|c: char| !c.is_ascii_digit() && c != '_');
            more.map_or(rest.len(), |more| from + more)
        };
        let digit_at = |at: usize| rest[at..].starts_with(|c: char| c.is_ascii_digit());
        let radix = match rest.get(..2) {
            Some("0x" | "0X") => 16,
            Some("0o" | "0O") => 8,
            Some("0b" | "0B") => 2,
            _ => 10,
        };
        if radix != 10 {
            let end = rest[2..].find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.map_or(rest.len(), |end| end + 2);
            let text = rest[2..end].replace('_', "");
            let Ok(value) = i64::from_str_radix(&text, radix) else {
                return self.error(format!("'{}' is no number", &rest[..end]));
            };
            self.push(Kind::Int(value));
            self.advance(end);
            return Ok(());
        }
        let mut end = digits(0);
        let mut is_float = false;
        if !after_dot && rest[end..].starts_with('.') && digit_at(end + 1) {
            end = digits(end + 1);
            is_float = true;
        }
        if !after_dot && rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            if digit_at(end + 1 + sign) {
                end = digits(end + 1 + sign);
                is_float = true;
            }
        }
        let text = rest[..end].replace('_', "");
        let kind = match (is_float, text.parse::<f64>(), text.parse::<i64>()) {
            (true, Ok(value), _) => Kind::Float(value),
            (false, _, Ok(value)) => Kind::Int(value),
            _ => return self.error(format!("the number '{text}' is too large")),
        };
        self.push(kind);
        self.advance(end);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let body = &self.rest()[1..];
        let mut escaped = false;
        let length = body.find(|c| {
            let ends = !escaped && c == quote;
            escaped = !escaped && c == '\\';
            ends
        });
        let Some(length) = length else {
            return self.error(format!("a string has no end: {quote} is missing"));
        };
        let Some(text) = super::escapes::unescaped(&body[..length]) else {
            return self.error("a string has an escape that stands for no character".to_string());
        };
        self.push(Kind::Str(text));
        self.advance(length + 2);
        Ok(())
    }
}

// The length of `{% name %}` at the front of `text`, the sign at its end and that at its front.
fn named_tag(text: &str, name: &str) -> Option<(usize, char, char)> {
    let rest = text.strip_prefix("{%")?;
    let before = rest.chars().next().filter(|c| matches!(c, '-' | '+'));
    let rest = &rest[usize::from(before.is_some())..];
    let rest = rest.trim_start_matches(is_space).strip_prefix(name)?;
    let rest = rest.trim_start_matches(is_space);
    let (length, sign) = end_of_tag(rest, "%}")?;
    Some((text.len() - rest.len() + length, sign, before.unwrap_or(' ')))
}
