//! Rules for the messages of a conversation.

use core::ops::Range;

use weir_schema::compat::{Content, Rules};
use weir_wire::{Splice, walk};

use super::params::json;

/// The messages as the rules have them; `None` if they are so already.
pub(super) fn fitted(messages: &[u8], rules: &Rules) -> Option<Vec<u8>> {
    let mut splice = Splice::of(messages);
    for message in walk::items(messages, 0..messages.len()) {
        for member in walk::members(messages, message) {
            match walk::name_of(messages, &member) {
                b"role" => {
                    let role = messages.get(member.value.clone()).and_then(walk::inside);
                    let role = role.and_then(|role| str::from_utf8(role).ok());
                    if let Some(other) = role.and_then(|role| rules.roles.get(role)) {
                        splice.replace(member.value, &json(&other.as_str().into()));
                    }
                }
                b"content" if rules.content == Some(Content::Text) => {
                    if let Some(text) = flattened(messages, member.value.clone()) {
                        splice.replace(member.value, &text);
                    }
                }
                _ => {}
            }
        }
    }
    splice.finish()
}

/// The one text that parts are which are all texts; `None` if they are not.
fn flattened(json: &[u8], content: Range<usize>) -> Option<Vec<u8>> {
    if json.get(content.start) != Some(&b'[') {
        return None;
    }
    // Texts are put together as they are written, escapes and all.
    let mut text = b"\"".to_vec();
    for part in walk::items(json, content) {
        let is = |name: &[u8], value: &[u8]| {
            walk::member(json, part.clone(), name).is_some_and(|place| json.get(place.value) == Some(value))
        };
        let words = walk::member(json, part.clone(), b"text").filter(|_| is(b"type", br#""text""#))?;
        if text.len() > 1 {
            text.extend_from_slice(br"\n");
        }
        text.extend_from_slice(json.get(words.value).and_then(walk::inside)?);
    }
    text.push(b'"');
    Some(text)
}
