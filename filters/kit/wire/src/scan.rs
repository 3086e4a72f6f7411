//! An incremental scanner for JSON request bodies.

mod capture;
mod error;
mod nesting;
mod number;
mod text;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests;

use core::ops::Range;

use self::{capture::Capture, nesting::Nesting, number::Number, text::Text};

pub use self::error::ScanError;

/// Incremental, strict JSON (RFC 8259) scanner over an object body that reports a few depth-1 members.
/// Any chunking gives the same answer.
///
/// A client must not be able to show one model to a permission check and another to the upstream's parser.
/// So the body must be JSON to its last byte, and may name `model` once only: a second key that means
/// `model` after unescaping, or to a parser that ignores case, is refused wherever it stands.
///
/// ```
/// # use weir_wire::RequestScan;
/// let mut scan = RequestScan::new();
/// scan.feed(br#"{"stream":true,"mod"#)?;
/// scan.feed(br#"el":"gpt-4o","messages":["#)?;
/// let model = scan.model().expect("its string has ended");
/// assert_eq!((model.value.as_str(), model.span.clone()), ("gpt-4o", 23..31));
/// assert_eq!(scan.stream(), Some(true));
/// scan.feed(b"]}")?;
/// scan.finish()?;
/// # Ok::<(), weir_wire::ScanError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestScan {
    offset: u64,
    at: At,
    nesting: Nesting,
    /// The depth-1 member whose value comes or is being read.
    field: Field,
    /// Where the string being read began.
    start: u64,
    text: Text,
    capture: Capture,
    /// Where the body's object begins, after its brace.
    inside: u64,
    has_members: bool,
    model: Option<Member<String>>,
    stream: Option<bool>,
    stream_options: bool,
    max_tokens: Option<u64>,
    failed: Option<ScanError>,
}

/// A member of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<T> {
    /// The decoded value.
    pub value: T,
    /// Which bytes of the body are the value as it is written: a string's with its quotes.
    pub span: Range<u64>,
}

impl RequestScan {
    /// A scan that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the next bytes. After an error the scan stays failed.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let used = self.step(rest).inspect_err(|error| self.failed = Some(*error))?;
            self.offset = self.offset_of(used);
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that the body has ended: an error if its JSON has not.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        if self.failed.is_none() && self.at != At::End {
            self.failed = Some(ScanError::Incomplete);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The top-level `model`, once its string has wholly been read.
    pub fn model(&self) -> Option<&Member<String>> {
        self.model.as_ref()
    }

    /// Where another member fits before the first: just after the opening brace. `None`: there is none yet.
    pub fn before_members(&self) -> Option<u64> {
        self.has_members.then_some(self.inside)
    }

    /// The top-level `stream`, if it is a boolean; of several the last.
    pub fn stream(&self) -> Option<bool> {
        self.stream
    }

    /// Whether there is a top-level `stream_options`, whatever is in it.
    pub fn has_stream_options(&self) -> bool {
        self.stream_options
    }

    /// Whether the body's JSON has ended: nothing but blanks may come.
    pub fn is_complete(&self) -> bool {
        self.at == At::End
    }

    /// The largest of the top-level `max_tokens`, `max_completion_tokens` and `max_output_tokens`. A fraction
    /// is rounded up; a number too large, or too long to be kept, counts as [`u64::MAX`]; a negative one not
    /// at all.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// How many bytes have been read: all that were fed, unless the scan has failed before.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Reads some bytes of `rest`, which is not empty. Where it reads none, the state has moved on.
    fn step(&mut self, rest: &[u8]) -> Result<usize, ScanError> {
        match self.at {
            At::Name | At::Text => self.string(rest),
            At::Number(number) => self.number(number, rest),
            At::Literal(letters) => self.literal(letters, rest),
            At::Start
            | At::FirstKey
            | At::Key
            | At::Colon
            | At::Value
            | At::FirstItem
            | At::Separator
            | At::End => match rest.iter().take_while(|byte| BLANK.contains(byte)).count() {
                0 => self.mark(rest),
                blank => Ok(blank),
            },
        }
    }

    /// Reads a byte between strings, numbers and literals.
    fn mark(&mut self, rest: &[u8]) -> Result<usize, ScanError> {
        let Some(&byte) = rest.first() else { return Ok(0) };
        let in_object = self.nesting.in_object();
        self.at = match (self.at, byte) {
            (At::Separator, b',') if in_object => At::Key,
            (At::Separator, b',') => At::Value,
            (At::FirstKey | At::Key, b'"') => {
                self.begin_string(self.nesting.depth() == 1, KEY_LEN);
                At::Name
            }
            (At::Colon, b':') => At::Value,
            (At::Separator | At::FirstKey, b'}') if in_object => self.close(),
            (At::Separator | At::FirstItem, b']') if !in_object => self.close(),
            (At::Value | At::FirstItem, _) => return self.value(byte),
            (At::Start, b'{') => {
                self.inside = self.offset_of(1);
                self.open(true)?
            }
            (At::Start, b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                return Err(ScanError::NotObject);
            }
            _ => return Err(self.not_json(0)),
        };
        Ok(1)
    }

    /// Reads the first byte of a value; a number's is left to [`Self::number`].
    fn value(&mut self, byte: u8) -> Result<usize, ScanError> {
        match self.field {
            Field::Model if byte != b'"' => return Err(ScanError::ModelNotString),
            Field::Stream => self.stream = (byte == b't' || byte == b'f').then_some(byte == b't'),
            Field::MaxTokens => self.capture.begin(NUMBER_LEN),
            Field::Model | Field::Other => {}
        }
        self.at = match byte {
            b'"' => {
                self.begin_string(self.field == Field::Model, MODEL_LEN);
                At::Text
            }
            b'{' | b'[' => {
                self.field = Field::Other;
                self.open(byte == b'{')?
            }
            b't' => At::Literal(b"rue"),
            b'f' => At::Literal(b"alse"),
            b'n' => At::Literal(b"ull"),
            b'-' | b'0'..=b'9' => {
                self.at = At::Number(Number::Start);
                return Ok(0);
            }
            _ => return Err(self.not_json(0)),
        };
        Ok(1)
    }

    fn begin_string(&mut self, wanted: bool, limit: usize) {
        self.start = self.offset;
        self.text = Text::new(wanted);
        if wanted {
            self.capture.begin(limit);
        }
    }

    /// Reads a part of a string, and its closing quote if that is near.
    fn string(&mut self, rest: &[u8]) -> Result<usize, ScanError> {
        let read = self.text.read(rest, self.offset, &mut self.capture);
        let is_model = self.at == At::Text && self.field == Field::Model;
        // What is too long was read before whatever `read` refuses.
        if is_model && self.capture.is_over() {
            return Err(ScanError::ModelTooLong { limit: MODEL_LEN });
        }
        let read = read?;
        if self.text.has_ended() {
            let span = self.start..self.offset_of(read);
            if self.at == At::Name {
                self.name()?;
            } else if is_model {
                self.model = Some(Member { value: self.capture.text(), span });
            }
            self.at = if self.at == At::Name { At::Colon } else { At::Separator };
        }
        Ok(read)
    }

    /// Decides what the member is whose key has been read.
    fn name(&mut self) -> Result<(), ScanError> {
        if self.nesting.depth() != 1 {
            return Ok(());
        }
        self.has_members = true;
        let key = self.capture.bytes();
        self.field = match key {
            b"model" if self.model.is_none() => Field::Model,
            b"stream" => Field::Stream,
            b"stream_options" => {
                self.stream_options = true;
                Field::Other
            }
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" => Field::MaxTokens,
            // No letter of `model` has a relative outside ASCII under Unicode's simple case folding.
            _ if key.eq_ignore_ascii_case(b"model") => {
                return Err(ScanError::DuplicateModel { offset: self.start });
            }
            _ => Field::Other,
        };
        Ok(())
    }

    /// Reads a part of a number.
    fn number(&mut self, mut number: Number, rest: &[u8]) -> Result<usize, ScanError> {
        let mut used: usize = 0;
        let mut ended = false;
        for &byte in rest {
            let Some(next) = number.next(byte) else {
                ended = true;
                break;
            };
            number = next;
            used = used.saturating_add(1);
        }
        if ended && !number.is_whole() {
            return Err(self.not_json(used));
        }
        let wanted = self.field == Field::MaxTokens;
        if wanted {
            self.capture.push(rest.get(..used).unwrap_or_default());
        }
        if ended && wanted {
            self.max_tokens = self.max_tokens.max(number::tokens(&self.capture));
        }
        self.at = if ended { At::Separator } else { At::Number(number) };
        Ok(used)
    }

    /// Reads a letter of `true`, `false` or `null`.
    fn literal(&mut self, letters: &'static [u8], rest: &[u8]) -> Result<usize, ScanError> {
        let Some((letter, letters)) = letters.split_first() else {
            self.at = At::Separator;
            return Ok(0);
        };
        if rest.first() != Some(letter) {
            return Err(self.not_json(0));
        }
        self.at = At::Literal(letters);
        Ok(1)
    }

    fn open(&mut self, object: bool) -> Result<At, ScanError> {
        self.nesting.open(object)?;
        Ok(if object { At::FirstKey } else { At::FirstItem })
    }

    fn close(&mut self) -> At {
        self.nesting.close();
        if self.nesting.depth() == 0 { At::End } else { At::Separator }
    }

    fn not_json(&self, further: usize) -> ScanError {
        ScanError::NotJson { offset: self.offset_of(further) }
    }

    fn offset_of(&self, further: usize) -> u64 {
        self.offset.saturating_add(further as u64)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The root object.
    #[default]
    Start,
    /// The first key of an object, or its end.
    FirstKey,
    /// A key after a comma.
    Key,
    Colon,
    /// A member's value, or an item after a comma.
    Value,
    /// The first item of an array, or its end.
    FirstItem,
    /// A comma, or the end of what is open.
    Separator,
    /// Nothing but blanks.
    End,
    /// The rest of a key.
    Name,
    /// The rest of a string.
    Text,
    /// The rest of a number.
    Number(Number),
    /// These letters.
    Literal(&'static [u8]),
}

/// A depth-1 member that matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    Model,
    Stream,
    MaxTokens,
    #[default]
    Other,
}

const BLANK: [u8; 4] = *b" \t\n\r";
/// The longest decoded model.
const MODEL_LEN: usize = 256;
/// The longest decoded key that matters, `max_completion_tokens`.
const KEY_LEN: usize = 21;
/// The longest number that is kept.
const NUMBER_LEN: usize = 32;
