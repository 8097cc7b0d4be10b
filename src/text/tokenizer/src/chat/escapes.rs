//! The escapes of a string literal, as Python reads them.

fn number(digits: &str, radix: u32) -> Option<char> {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
}

/// `body` is what stands between the quotes; nothing when an escape stands for no character.
pub fn unescaped(body: &str) -> Option<String> {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        text += &rest[..at];
        rest = &rest[at + 1..];
        let kind = rest.chars().next()?;
        rest = &rest[kind.len_utf8()..];
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            text.push(number(rest.get(..digits)?, 16)?);
            rest = &rest[digits..];
            continue;
        }
        match kind {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'f' => text.push('\x0c'),
            'v' => text.push('\x0b'),
            '\\' | '\'' | '"' => text.push(kind),
            '\n' => {}
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                text.push(number(&format!("{kind}{}", &rest[..more]), 8)?);
                rest = &rest[more..];
            }
            'N' => return None,
            other => {
                text.push('\\');
                text.push(other);
            }
        }
    }
    Some(text + rest)
}
