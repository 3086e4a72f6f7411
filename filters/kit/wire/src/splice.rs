//! Edits of a text, from its start to its end.

use core::ops::Range;

/// Replaces parts of a text and keeps the bytes of all others.
///
/// ```
/// # use weir_wire::Splice;
/// let mut splice = Splice::of(br#"{"model":"a","n":1}"#);
/// assert_eq!(splice.clone().finish(), None);
/// splice.replace(9..12, br#""index""#);
/// splice.insert(18, b",\"x\":0");
/// assert_eq!(splice.finish().as_deref(), Some(&br#"{"model":"index","n":1,"x":0}"#[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Splice<'a> {
    source: &'a [u8],
    written: Vec<u8>,
    /// How much of the source has been written or replaced.
    at: usize,
    edited: bool,
}

impl<'a> Splice<'a> {
    /// No edits of `source`.
    pub fn of(source: &'a [u8]) -> Self {
        Self { source, written: Vec::new(), at: 0, edited: false }
    }

    /// Replaces a range, which does not begin before the end of the last one.
    pub fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        if !self.edited {
            self.written.reserve(self.source.len().saturating_add(with.len()));
            self.edited = true;
        }
        self.written.extend_from_slice(self.source.get(self.at..range.start).unwrap_or_default());
        self.written.extend_from_slice(with);
        self.at = range.end;
    }

    /// Inserts at a position, which is not before the end of the last edit.
    pub fn insert(&mut self, at: usize, what: &[u8]) {
        self.replace(at..at, what);
    }

    /// Whether anything has been edited.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// The text as it is now; `None` if it is what it was.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if !self.edited {
            return None;
        }
        self.written.extend_from_slice(self.source.get(self.at..).unwrap_or_default());
        Some(self.written)
    }
}
