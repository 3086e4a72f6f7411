//! An incremental scanner for multipart forms (RFC 7578).

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests;

use core::fmt;

use memchr::memmem::Finder;

use crate::Member;

/// Incremental scanner over a `multipart/form-data` body that reports its `model` field. Any chunking gives the same
/// answer.
///
/// As with JSON, a client must not be able to show one model to a permission check and another to the upstream's
/// parser, and parsers of forms differ. So a form is read in the one way all agree on, and whatever some of them read
/// otherwise is refused: a boundary that is no delimiter, a bare line feed before one, a part whose disposition can be
/// read in two ways, anything before the first part or behind the last.
///
/// ```
/// # use weir_wire::FormScan;
/// let mut scan = FormScan::new(b"multipart/form-data; boundary=x").expect("it has a boundary");
/// scan.feed(b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--")?;
/// assert!(scan.model().is_none());
/// scan.feed(b"x--\r\n")?;
/// scan.finish()?;
/// let model = scan.model().expect("its part has ended");
/// assert_eq!((model.value.as_str(), model.span.clone()), ("whisper-1", 53..62));
/// # Ok::<(), weir_wire::FormError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FormScan {
    delimiter: Finder<'static>,
    /// What has come and is not read yet, with the two bytes before it.
    held: Vec<u8>,
    /// Where in the body `held` begins.
    offset: u64,
    at: At,
    model: Option<Member<String>>,
    failed: Option<FormError>,
}

/// Why a form is refused. Every offset counts from the start of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// It does not begin with a boundary, or has something behind the last one.
    NotForm {
        /// Where.
        offset: u64,
    },
    /// The boundary stands where it is no delimiter.
    Boundary {
        /// Where.
        offset: u64,
    },
    /// A part's header is too long, or parsers may differ about it.
    Header {
        /// Where the part begins.
        offset: u64,
    },
    /// There is a second `model`, or one in other case.
    DuplicateModel {
        /// Where the part begins.
        offset: u64,
    },
    /// `model` is no text.
    ModelNotText,
    /// `model` is too long.
    ModelTooLong {
        /// How many bytes it may have.
        limit: usize,
    },
    /// The body ended before the form did.
    Incomplete,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first boundary.
    Start,
    /// What follows a boundary.
    Delimited,
    /// A part's header.
    Header,
    /// A part's content: that of `model`, or another.
    Content { model: bool },
    /// Nothing but a line end.
    End,
}

/// What a part's header says.
enum Part {
    Model,
    Other,
}

impl FormScan {
    /// A scan of a body of this `content-type`; `None` if it is no form, or its boundary can be read in two ways.
    pub fn new(content_type: &[u8]) -> Option<Self> {
        let boundary = boundary(core::str::from_utf8(content_type).ok()?)?;
        let delimiter = Finder::new(&format!("--{boundary}")).into_owned();
        Some(Self { delimiter, held: Vec::new(), offset: 0, at: At::Start, model: None, failed: None })
    }

    /// Feeds the next bytes. After an error the scan stays failed.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), FormError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.held.extend_from_slice(chunk);
        while self.step().inspect_err(|error| self.failed = Some(*error))? {}
        Ok(())
    }

    /// Says that the body has ended: an error if the form has not.
    pub fn finish(&mut self) -> Result<(), FormError> {
        let ended = self.at == At::End && matches!(self.held.as_slice(), b"" | b"\r\n");
        if self.failed.is_none() && !ended {
            self.failed = Some(FormError::Incomplete);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The field `model`, once it has wholly been read.
    pub fn model(&self) -> Option<&Member<String>> {
        self.model.as_ref()
    }

    /// How many bytes have been fed.
    pub fn bytes(&self) -> u64 {
        self.offset_of(self.held.len())
    }

    /// Reads on, and says whether there may be more to read.
    fn step(&mut self) -> Result<bool, FormError> {
        match self.at {
            At::Start => {
                let delimiter = self.delimiter.needle();
                let known = delimiter.iter().zip(&self.held).all(|(expected, byte)| expected == byte);
                if !known {
                    return Err(FormError::NotForm { offset: 0 });
                }
                let len = delimiter.len();
                Ok(self.held.len() >= len && self.go(len, At::Delimited))
            }
            At::Delimited => match self.held.get(..2) {
                None => Ok(false),
                Some(b"\r\n") => Ok(self.go(2, At::Header)),
                Some(b"--") => Ok(self.go(2, At::End)),
                Some(_) => Err(FormError::Boundary { offset: self.offset }),
            },
            At::Header => self.header(),
            At::Content { model } => self.content(model),
            At::End if b"\r\n".starts_with(&self.held) => Ok(false),
            At::End => Err(FormError::NotForm { offset: self.offset }),
        }
    }

    fn header(&mut self) -> Result<bool, FormError> {
        let refused = FormError::Header { offset: self.offset };
        let Some(len) = memchr::memmem::find(&self.held, b"\r\n\r\n") else {
            return if self.held.len() > HEADER_LEN { Err(refused) } else { Ok(false) };
        };
        let header = self.held.get(..len).filter(|header| header.len() <= HEADER_LEN).ok_or(refused)?;
        if self.delimiter.find(header).is_some() {
            return Err(refused);
        }
        let model = match part(header).ok_or(refused)? {
            Part::Other => false,
            Part::Model if self.model.is_none() => true,
            Part::Model => return Err(FormError::DuplicateModel { offset: self.offset }),
        };
        Ok(self.go(len.saturating_add(4), At::Content { model }))
    }

    fn content(&mut self, model: bool) -> Result<bool, FormError> {
        let delimiter = self.delimiter.needle().len();
        let Some(found) = self.delimiter.find(&self.held) else {
            // A delimiter may have begun, and the line end before it.
            let kept = delimiter.saturating_add(1);
            if !model {
                let over = self.held.len().saturating_sub(kept);
                self.drop_held(over);
            } else if self.held.len() > MODEL_LEN.saturating_add(kept) {
                return Err(FormError::ModelTooLong { limit: MODEL_LEN });
            }
            return Ok(false);
        };
        let content = self.held.get(..found).and_then(|before| before.strip_suffix(b"\r\n"));
        let content = content.ok_or(FormError::Boundary { offset: self.offset_of(found) })?;
        if model {
            let value = core::str::from_utf8(content).map_err(|_| FormError::ModelNotText)?.to_owned();
            if value.len() > MODEL_LEN {
                return Err(FormError::ModelTooLong { limit: MODEL_LEN });
            }
            let span = self.offset..self.offset_of(value.len());
            self.model = Some(Member { value, span });
        }
        Ok(self.go(found.saturating_add(delimiter), At::Delimited))
    }

    fn go(&mut self, used: usize, at: At) -> bool {
        self.drop_held(used);
        self.at = at;
        true
    }

    fn drop_held(&mut self, used: usize) {
        self.offset = self.offset_of(used);
        self.held.drain(..used.min(self.held.len()));
    }

    fn offset_of(&self, further: usize) -> u64 {
        self.offset.saturating_add(further as u64)
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForm { offset } => write!(f, "the body is not a multipart form at byte {offset}"),
            Self::Boundary { offset } => {
                write!(f, "the form's boundary is no delimiter at byte {offset}")
            }
            Self::Header { offset } => {
                write!(f, "the header of the form's part at byte {offset} is ambiguous")
            }
            Self::DuplicateModel { offset } => {
                write!(f, "the form has an ambiguous 'model' at byte {offset}")
            }
            Self::ModelNotText => f.write_str("'model' is not a text"),
            Self::ModelTooLong { limit } => write!(f, "'model' is longer than {limit} bytes"),
            Self::Incomplete => f.write_str("the body ends before its form does"),
        }
    }
}

impl core::error::Error for FormError {}

/// The boundary of a form's media type.
fn boundary(content_type: &str) -> Option<String> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut found = None;
    for (name, value) in parameters_of(parameters)? {
        let name = name.to_ascii_lowercase();
        if name.starts_with("boundary") && (name != "boundary" || found.replace(value).is_some()) {
            return None;
        }
    }
    // RFC 2046, section 5.1.1, without the blank, which readers trim differently.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    found.filter(|text| (1..=70).contains(&text.len()) && text.bytes().all(plain))
}

/// What the part of this header is; `None` if parsers may differ about it.
fn part(header: &[u8]) -> Option<Part> {
    let header = core::str::from_utf8(header).ok()?;
    let mut disposition = None;
    for line in header.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let token = |byte: u8| byte.is_ascii_graphic();
        if line.contains(['\r', '\n', '\0']) || name.is_empty() || !name.bytes().all(token) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let twice = name == "content-disposition" && disposition.replace(value).is_some();
        // Only an encoding that changes nothing; RFC 7578 has none at all.
        let plain = ["binary", "8bit", "7bit"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain));
        if twice || name == "content-transfer-encoding" && !plain {
            return None;
        }
    }
    let (kind, parameters) = disposition?.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut field = None;
    let mut is_file = false;
    for (name, value) in parameters_of(parameters)? {
        let name = name.to_ascii_lowercase();
        is_file |= name.starts_with("filename");
        if name.starts_with("name") && (name != "name" || field.replace(value).is_some()) {
            return None;
        }
    }
    let field = field?;
    // What some unescape, decode or trim.
    if field.contains(['\\', '%', '"']) || field.starts_with("=?") || field.trim() != field {
        return None;
    }
    match field.as_str() {
        "model" if !is_file => Some(Part::Model),
        _ if field.eq_ignore_ascii_case("model") => None,
        _ => Some(Part::Other),
    }
}

/// The parameters of a header's value; `None` if parsers may differ about them.
fn parameters_of(text: &str) -> Option<Vec<(&str, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte))
        {
            return None;
        }
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_at_checked(closing_quote(quoted)?)?,
            None => value.split_at_checked(value.find(';').unwrap_or(value.len()))?,
        };
        let after = after.strip_prefix('"').unwrap_or(after).trim_start();
        parameters.push((name, value.trim_end().to_owned()));
        rest = match after.strip_prefix(';') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(parameters)
}

/// The first quote, unless it is one that some take for escaped.
fn closing_quote(quoted: &str) -> Option<usize> {
    quoted.find('"').filter(|at| !quoted.get(..*at).is_some_and(|before| before.ends_with('\\')))
}

/// The longest value of `model`.
const MODEL_LEN: usize = 256;
/// The longest header of a part.
const HEADER_LEN: usize = 8 * 1024;
