//! Another model name in a body that is not parsed again.

use core::ops::Range;

use crate::body::is_form;

/// The replacement of a model's name in a body, or a name for one that has none: these bytes and its length change, and
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    span: Range<u64>,
    literal: String,
}

impl Rename {
    /// Writes `name` where `span` is: the old name in bytes of the body, quotes included ([`crate::Member::span`]). Where
    /// that is empty, as no name is, a `model` is written before the first member
    /// ([`crate::RequestScan::before_members`]). `name` has no character that JSON escapes.
    pub fn new(span: Range<u64>, name: &str) -> Self {
        let literal = if span.is_empty() { format!("\"model\":\"{name}\",") } else { format!("\"{name}\"") };
        Self { span, literal }
    }

    /// The same in a body of this `content-type`: in a form the name has no quotes.
    pub fn in_body(content_type: Option<&[u8]>, span: Range<u64>, name: &str) -> Self {
        match is_form(content_type) {
            true => Self { span, literal: name.to_owned() },
            false => Self::new(span, name),
        }
    }

    /// The length of the body afterwards, in bytes.
    pub fn content_length(&self, before: u64) -> u64 {
        let added = u64::try_from(self.literal.len()).unwrap_or(u64::MAX);
        before.saturating_sub(self.span.end.saturating_sub(self.span.start)).saturating_add(added)
    }

    /// Which bytes of the body are replaced.
    pub fn range(&self) -> Range<usize> {
        let position = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        position(self.span.start)..position(self.span.end)
    }

    /// What stands there afterwards.
    pub fn literal(&self) -> &str {
        &self.literal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_and_the_length_follows() {
        let body = r#"{"model":"index","n":1}"#;
        let rename = Rename::new(9..16, "index-1.9b-chat");
        let mut renamed = body.to_owned();
        renamed.replace_range(rename.range(), rename.literal());
        assert_eq!(renamed, r#"{"model":"index-1.9b-chat","n":1}"#);
        let (before, after) = (u64::try_from(body.len()).unwrap(), u64::try_from(renamed.len()).unwrap());
        assert_eq!(rename.content_length(before), after);
    }

    #[test]
    fn in_a_form_a_name_has_no_quotes() {
        let literal = |media: &str| Rename::in_body(Some(media.as_bytes()), 0..1, "m").literal().to_owned();
        assert_eq!(literal("Multipart/form-data; boundary=x"), "m");
        assert_eq!(literal("application/json"), "\"m\"");
    }

    #[test]
    fn a_body_without_a_model_is_given_one() {
        let body = r#" { "n":1}"#;
        let rename = Rename::new(2..2, "index");
        let mut named = body.to_owned();
        named.replace_range(rename.range(), rename.literal());
        assert_eq!(named, r#" {"model":"index", "n":1}"#);
        assert_eq!(rename.content_length(9), 25);
    }
}
