//! A request's whole body, made what the upstream takes.

mod messages;
mod params;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use weir_schema::compat::{Content, Rules, StreamUsage};
use weir_wire::walk::{self, Place};
use weir_wire::{Rename, Splice};

use params::Fate;

/// What a body has become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The body, if it is another.
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the usage of the stream that answers it is our own question, and not the client's.
    pub(crate) hide_usage: bool,
}

/// A member that the upstream's model does not take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) param: String,
}

/// Makes a body of JSON what the rules say. `tells_usage`: what answers it may tell the usage of a stream.
pub(crate) fn edit(
    body: &[u8],
    rename: &Rename,
    rules: &Rules,
    tells_usage: bool,
) -> Result<Edited, Refused> {
    let members: Vec<Place> = walk::members(body, 0..body.len()).collect();
    let names: Vec<_> = members.iter().map(|place| decoded(body, place)).collect();
    let value = |name: &str| {
        let found = members.iter().zip(&names).rfind(|(_, known)| *known == name);
        found.and_then(|(place, _)| body.get(place.value.clone()))
    };
    let streams = tells_usage && value("stream") == Some(b"true");
    let asked = value(OPTIONS).is_some_and(asks_usage);
    let mut fates = params::fates(body, &members, &names, &rules.params)?;
    let mut more = params::missing(&members, &names, &fates, &rules.params);
    for ((place, name), fate) in members.iter().zip(&names).zip(&mut fates) {
        if *fate == Fate::Kept {
            *fate = fitted(body, place, name, rules, streams);
        }
        if place.value == rename.range() {
            *fate = Fate::valued(rename.literal());
        }
    }
    if streams && rules.stream_usage() == StreamUsage::Ask && value(OPTIONS).is_none() {
        more.push(ASK.to_owned());
    }
    // The client has named no model, which is one more member then.
    if rename.range().is_empty() {
        more.push(rename.literal().trim_end_matches(',').to_owned());
    }
    Ok(Edited { body: write(body, &members, &fates, &more), hide_usage: streams && !asked })
}

/// What becomes of a member that the rules for members keep.
fn fitted(body: &[u8], place: &Place, name: &str, rules: &Rules, streams: bool) -> Fate {
    let value = body.get(place.value.clone()).unwrap_or_default();
    match (name, rules.stream_usage()) {
        (OPTIONS, StreamUsage::Unasked) => Fate::Removed,
        (OPTIONS, StreamUsage::Ask) if streams => asking(value).map_or(Fate::Kept, Fate::valued),
        ("messages", _) if !rules.roles.is_empty() || rules.content == Some(Content::Text) => {
            messages::fitted(value, rules).map_or(Fate::Kept, Fate::valued)
        }
        ("tool_choice", _) => {
            let word = walk::inside(value).and_then(|word| str::from_utf8(word).ok());
            let other = word.and_then(|word| rules.tool_choice.get(word));
            other.map_or(Fate::Kept, |other| Fate::valued(params::json(&other.as_str().into())))
        }
        _ => Fate::Kept,
    }
}

/// Whether `stream_options` ask for the usage.
fn asks_usage(options: &[u8]) -> bool {
    let asked = walk::member(options, 0..options.len(), b"include_usage");
    asked.is_some_and(|asked| options.get(asked.value) == Some(b"true"))
}

/// `stream_options` that ask for the usage beside what they say; `None` if they do already.
fn asking(options: &[u8]) -> Option<Vec<u8>> {
    let mut splice = Splice::of(options);
    let all = 0..options.len();
    match walk::member(options, all.clone(), b"include_usage") {
        Some(place) if options.get(place.value.clone()) == Some(b"true") => return None,
        Some(place) => splice.replace(place.value, b"true"),
        None if walk::members(options, all.clone()).next().is_some() => {
            splice.insert(1, br#""include_usage":true,"#);
        }
        None => splice.replace(all, br#"{"include_usage":true}"#),
    }
    splice.finish()
}

/// The body with what became of its members, and with more of them.
fn write(body: &[u8], members: &[Place], fates: &[Fate], more: &[String]) -> Option<Vec<u8>> {
    let mut splice = Splice::of(body);
    let mut before: Option<usize> = None;
    for (at, (place, fate)) in members.iter().zip(fates).enumerate() {
        match fate {
            Fate::Kept => {}
            Fate::Removed => {
                let next = members.get(at.saturating_add(1)).map(|next| next.name.start);
                let (start, end) = match before {
                    Some(last) => (last, place.value.end),
                    None => (place.name.start, next.unwrap_or(place.value.end)),
                };
                splice.replace(start..end, b"");
                before = before.map(|_| place.value.end);
                continue;
            }
            Fate::Changed { name, value } => {
                if let Some(name) = name {
                    splice.replace(place.name.clone(), name);
                }
                if let Some(value) = value {
                    splice.replace(place.value.clone(), value);
                }
            }
        }
        before = Some(place.value.end);
    }
    if !more.is_empty() {
        let end = walk::whole(body)?.end.saturating_sub(1);
        let comma = if before.is_some() { "," } else { "" };
        splice.insert(end, format!("{comma}{}", more.join(",")).as_bytes());
    }
    splice.finish()
}

/// A member's name as a parser reads it.
fn decoded<'a>(body: &'a [u8], place: &Place) -> Cow<'a, str> {
    let name = walk::name_of(body, place);
    if name.contains(&b'\\') {
        let literal = body.get(place.name.clone()).unwrap_or_default();
        return Cow::Owned(serde_json::from_slice(literal).unwrap_or_default());
    }
    String::from_utf8_lossy(name)
}

const OPTIONS: &str = "stream_options";
/// The question for the usage of a stream, as a member of a request.
pub(crate) const ASK: &str = r#""stream_options":{"include_usage":true}"#;
