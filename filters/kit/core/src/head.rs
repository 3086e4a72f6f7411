//! Header fields of a message.

/// The header fields (or trailers) of a request or response, pseudo-header fields included.
///
/// Names are lower-case, as the proxy gives them. Values are bytes until proven text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    fields: Vec<(&'a [u8], &'a [u8])>,
    end: bool,
}

impl<'a> Head<'a> {
    /// A head of these fields; `end` says that no body follows.
    pub fn new<N, V>(fields: &'a [(N, V)], end: bool) -> Self
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        Self::from_fields(fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect(), end)
    }

    /// A head of fields that are already borrowed.
    pub fn from_fields(fields: Vec<(&'a [u8], &'a [u8])>, end: bool) -> Self {
        Self { fields, end }
    }

    /// Whether the message ends here, without a body.
    pub fn is_end(&self) -> bool {
        self.end
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().copied()
    }
}
