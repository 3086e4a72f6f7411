use serde_json::{Number, Value};

/// Why a literal cannot be read.
pub(super) enum LiteralError {
    /// A string does not end.
    Unclosed,
    /// A backslash, so many bytes behind the start, means nothing.
    Escape(usize),
    /// A number is none.
    Number,
}

/// The string or number at the start of `text`, and how many bytes it has.
pub(super) fn read(text: &str) -> Result<(Value, usize), LiteralError> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, _) = raw.split_once('`').ok_or(LiteralError::Unclosed)?;
        // Go leaves carriage returns out of raw strings.
        return Ok((Value::from(inside.replace('\r', "")), inside.len().saturating_add(2)));
    }
    match text.strip_prefix('"') {
        Some(inside) => quoted(inside).map(|(value, length)| (value, length.saturating_add(1))),
        None => number(text),
    }
}

/// A string behind its opening quote, and the length of that with the closing one.
fn quoted(inside: &str) -> Result<(Value, usize), LiteralError> {
    let mut value = String::new();
    let mut rest = inside.char_indices();
    while let Some((offset, character)) = rest.next() {
        match character {
            '"' => return Ok((Value::from(value), offset.saturating_add(1))),
            '\n' => return Err(LiteralError::Unclosed),
            '\\' => {
                let (escaped, length) =
                    escape(rest.as_str()).ok_or(LiteralError::Escape(offset.saturating_add(1)))?;
                value.push(escaped);
                rest.nth(length.saturating_sub(1));
            }
            character => value.push(character),
        }
    }
    Err(LiteralError::Unclosed)
}

/// The character that stands for what is behind a backslash, and how many bytes that has.
fn escape(text: &str) -> Option<(char, usize)> {
    let simple = |character| Some((character, 1));
    match text.chars().next()? {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' => simple('\\'),
        '"' => simple('"'),
        // A byte beyond ASCII would be half a character.
        'x' => code(text.get(1..3)?, 16).filter(char::is_ascii).map(|character| (character, 3)),
        'u' => code(text.get(1..5)?, 16).map(|character| (character, 5)),
        'U' => code(text.get(1..9)?, 16).map(|character| (character, 9)),
        '0'..='7' => code(text.get(..3)?, 8).filter(char::is_ascii).map(|character| (character, 3)),
        _ => None,
    }
}

fn code(digits: &str, radix: u32) -> Option<char> {
    let sign = digits.starts_with('+');
    u32::from_str_radix(digits, radix).ok().filter(|_| !sign).and_then(char::from_u32)
}

fn number(text: &str) -> Result<(Value, usize), LiteralError> {
    let mut previous = ' ';
    let ends = |character: char| {
        let sign = matches!(character, '+' | '-') && matches!(previous, ' ' | 'e' | 'E');
        previous = character;
        !(sign || character.is_alphanumeric() || matches!(character, '.' | '_'))
    };
    let end = text.find(ends).unwrap_or(text.len());
    let written = text.get(..end).ok_or(LiteralError::Number)?;
    let digits = written.strip_prefix('+').unwrap_or(written);
    // "inf" and "nan" would be read as floats.
    if !digits.chars().all(|character| matches!(character, '0'..='9' | '.' | '-' | '+' | 'e' | 'E')) {
        return Err(LiteralError::Number);
    }
    let whole = digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from));
    let number = whole.ok().or_else(|| digits.parse().ok().and_then(Number::from_f64));
    number.map(|number| (Value::Number(number), end)).ok_or(LiteralError::Number)
}
