use core::str;

use super::{ScanError, capture::Capture};

/// The inside of a string, from its opening quote to its closing one.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    /// Whether the text goes to the capture; then its escapes must make characters.
    wanted: bool,
    part: Part,
}

impl Text {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, part: Part::Plain }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.part == Part::Over
    }

    /// Reads up to the closing quote. `rest` begins at `offset`.
    pub(super) fn read(
        &mut self,
        rest: &[u8],
        offset: u64,
        capture: &mut Capture,
    ) -> Result<usize, ScanError> {
        let mut used: usize = 0;
        while let Some((&byte, _)) = rest.get(used..).unwrap_or_default().split_first() {
            let here = offset.saturating_add(used as u64);
            let read = match self.part {
                Part::Plain => self.plain(rest.get(used..).unwrap_or_default(), here, capture)?,
                Part::Over => break,
                Part::Character(cut) => {
                    self.part = self.character(cut, byte, here, capture)?;
                    1
                }
                Part::Escape | Part::Hex(_) | Part::Low(_) | Part::LowEscape(_) => {
                    let next = self.escape(byte, capture);
                    self.part = next.ok_or(ScanError::NotJson { offset: here })?;
                    1
                }
            };
            used = used.saturating_add(read);
        }
        Ok(used)
    }

    /// Reads the run up to the next quote, backslash or fault, and that byte too.
    fn plain(&mut self, rest: &[u8], offset: u64, capture: &mut Capture) -> Result<usize, ScanError> {
        let run = rest.get(..run_len(rest)).unwrap_or_default();
        let stop = rest.get(run.len());
        let valid = str::from_utf8(run).map_or_else(|fault| fault.valid_up_to(), str::len);
        let (valid, cut) = run.split_at_checked(valid).unwrap_or((run, &[]));
        if self.wanted {
            capture.push(valid);
        }
        let fault = ScanError::NotJson { offset: offset.saturating_add(valid.len() as u64) };
        self.part = match (stop, cut) {
            (None, []) => return Ok(run.len()),
            (None, _) => Part::Character(Cut::new(cut).ok_or(fault)?),
            (Some(b'"'), []) => Part::Over,
            (Some(b'\\'), []) => Part::Escape,
            (Some(_), _) => return Err(fault),
        };
        Ok(run.len().saturating_add(usize::from(stop.is_some())))
    }

    /// Puts `byte` to a character that a chunk's end has cut.
    fn character(&self, cut: Cut, byte: u8, offset: u64, capture: &mut Capture) -> Result<Part, ScanError> {
        let start = offset.saturating_sub(u64::from(cut.len));
        let cut = cut.with(byte);
        if str::from_utf8(cut.bytes()).is_ok() {
            if self.wanted {
                capture.push(cut.bytes());
            }
            return Ok(Part::Plain);
        }
        Cut::new(cut.bytes()).map(Part::Character).ok_or(ScanError::NotJson { offset: start })
    }

    /// The state after a byte of an escape.
    fn escape(&self, byte: u8, capture: &mut Capture) -> Option<Part> {
        match (self.part, byte) {
            (Part::Escape, b'u') => Some(Part::Hex(Hex::default())),
            (Part::Escape, _) => {
                let plain = unescape(byte)?;
                if self.wanted {
                    capture.push(&[plain]);
                }
                Some(Part::Plain)
            }
            (Part::Hex(hex), _) => {
                let hex = hex.with(byte)?;
                if hex.digits < 4 {
                    return Some(Part::Hex(hex));
                }
                if self.wanted { hex.decode(capture) } else { Some(Part::Plain) }
            }
            (Part::Low(high), b'\\') => Some(Part::LowEscape(high)),
            (Part::LowEscape(high), b'u') => Some(Part::Hex(Hex { high: Some(high), ..Hex::default() })),
            _ => None,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Plain,
    /// The rest of a character's bytes.
    Character(Cut),
    /// What follows a backslash.
    Escape,
    /// The digits of `\u`.
    Hex(Hex),
    /// The backslash of the second half of a surrogate pair.
    Low(u16),
    /// The `u` of the second half.
    LowEscape(u16),
    /// Nothing: the closing quote has been read.
    Over,
}

/// The first bytes of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    bytes: [u8; 4],
    len: u8,
}

impl Cut {
    /// Takes `bytes` if more of them could make a character.
    fn new(bytes: &[u8]) -> Option<Self> {
        let fault = str::from_utf8(bytes).err()?;
        let incomplete = fault.valid_up_to() == 0 && fault.error_len().is_none();
        incomplete.then(|| bytes.iter().fold(Self { bytes: [0; 4], len: 0 }, |cut, byte| cut.with(*byte)))
    }

    fn with(mut self, byte: u8) -> Self {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
        self
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The digits of `\u` so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hex {
    /// The first half of the surrogate pair that these digits must complete.
    high: Option<u16>,
    code: u16,
    digits: u8,
}

impl Hex {
    fn with(self, byte: u8) -> Option<Self> {
        let digit = char::from(byte).to_digit(16)? as u16;
        Some(Self { code: self.code << 4 | digit, digits: self.digits.saturating_add(1), ..self })
    }

    /// Captures the character; no half of a pair stands alone.
    fn decode(self, capture: &mut Capture) -> Option<Part> {
        if self.high.is_none() && (0xd800..0xdc00).contains(&self.code) {
            return Some(Part::Low(self.code));
        }
        let character = char::decode_utf16(self.high.into_iter().chain([self.code])).next()?.ok()?;
        capture.push(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(Part::Plain)
    }
}

fn unescape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' | b'/' => Some(byte),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

/// How many bytes come before the first quote, backslash or control character. Eight at a time, since that
/// is what both a 64-bit machine and WebAssembly do in one step.
fn run_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return index.saturating_mul(8).saturating_add(stops.trailing_zeros() as usize / 8);
        }
    }
    let plain = tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)).count();
    bytes.len().saturating_sub(tail.len()).saturating_add(plain)
}

/// Sets the high bit of each byte that ends a run. A borrow may set more of them, but only in bytes above one
/// that does; so the lowest is right.
fn stops(word: u64) -> u64 {
    let below = |word: u64, limit: u8| word.wrapping_sub(every(limit)) & !word;
    let equal = |byte: u8| below(word ^ every(byte), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & every(0x80)
}

const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
