//! Lists of tools, without those that a caller may not use.

use serde_json::Value;
use weir_core::Head;
use weir_wire::jsonrpc::RpcError;
use weir_wire::{SseFrame, SseFramer};

/// The lists in an answer, which are written anew as they come.
#[derive(Debug)]
pub(crate) struct Lists {
    limit: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Not known yet.
    Unknown,
    /// One JSON text, held until it is whole.
    Json(Vec<u8>),
    /// Events, each held until it is whole.
    Events(Box<SseFramer>),
    /// Nothing more comes through.
    Over,
}

impl Lists {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), form: Form::Unknown }
    }

    /// The answer's head has come. False: there can be no list in it.
    pub(crate) fn begin(&mut self, head: &Head<'_>) -> bool {
        let media =
            head.text("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
        self.form = match media.to_ascii_lowercase().as_str() {
            "application/json" => Form::Json(Vec::new()),
            "text/event-stream" => Form::Events(Box::new(SseFramer::new(self.limit))),
            _ => return false,
        };
        true
    }

    /// What is sent in place of the next part of the body.
    pub(crate) fn write(&mut self, chunk: &[u8], end: bool, may_use: impl Fn(&str) -> bool) -> Vec<u8> {
        match &mut self.form {
            Form::Unknown => chunk.to_vec(),
            Form::Over => Vec::new(),
            Form::Json(held) => {
                held.extend_from_slice(chunk);
                let is_too_long = held.len() > self.limit;
                if !is_too_long && let Some(written) = without(held, &may_use) {
                    self.form = Form::Over;
                    return written;
                }
                if end || is_too_long {
                    self.form = Form::Over;
                    return refused().into_bytes();
                }
                Vec::new()
            }
            Form::Events(framer) => {
                let mut written = Vec::new();
                let read = framer.feed(chunk, |frame| match &frame {
                    SseFrame::Event(event) => match rewritten(event.data, &may_use) {
                        Some(data) => write_event(event.event, event.id, &data, &mut written),
                        None => written.extend_from_slice(frame.raw()),
                    },
                    SseFrame::Silence(raw) => written.extend_from_slice(raw),
                });
                if read.is_err() {
                    self.form = Form::Over;
                    write_event(None, None, refused().as_bytes(), &mut written);
                }
                written
            }
        }
    }
}

/// A whole JSON text without the tools that may not be seen; nothing if it is not whole.
fn without(text: &[u8], may_use: &impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    if !matches!(text.trim_ascii_end().last(), Some(b'}' | b']')) {
        return None;
    }
    let mut value: Value = serde_json::from_slice(text).ok()?;
    Some(if strip(&mut value, may_use) { value.to_string().into_bytes() } else { text.to_vec() })
}

/// An event's data without such tools; nothing if it has none, or is no JSON.
fn rewritten(data: &[u8], may_use: &impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(data).ok()?;
    strip(&mut value, may_use).then(|| value.to_string().into_bytes())
}

/// Takes the tools that may not be seen out of an answer, or out of a batch of them. False if there is no list.
fn strip(value: &mut Value, may_use: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::Array(answers) => {
            let mut found = false;
            for answer in answers {
                found |= strip_one(answer, may_use);
            }
            found
        }
        answer => strip_one(answer, may_use),
    }
}

fn strip_one(answer: &mut Value, may_use: &impl Fn(&str) -> bool) -> bool {
    let Some(Value::Array(tools)) = answer.get_mut("result").and_then(|result| result.get_mut("tools"))
    else {
        return false;
    };
    tools.retain(|tool| tool.get("name").and_then(Value::as_str).is_some_and(may_use));
    true
}

fn write_event(event: Option<&[u8]>, id: Option<&[u8]>, data: &[u8], into: &mut Vec<u8>) {
    for (name, value) in [("event", event), ("id", id), ("data", Some(data))] {
        if let Some(value) = value {
            into.extend_from_slice(name.as_bytes());
            into.extend_from_slice(b": ");
            into.extend_from_slice(value);
            into.push(b'\n');
        }
    }
    into.push(b'\n');
}

/// In place of a list that cannot be read.
fn refused() -> String {
    RpcError::new(RpcError::INTERNAL, "the server's answer cannot be read, or is too large").answer(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","x":1.50},{"name":"b"},{}],"nextCursor":"c"}}"#;
    const LEFT: &str =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","x":1.5}],"nextCursor":"c"}}"#;

    fn through(media: &str, text: &str, cut: usize) -> String {
        let mut lists = Lists::new(1000);
        assert!(lists.begin(&Head::new(&[("content-type", media)], false)));
        let (head, tail) = text.split_at(cut);
        let mut written = lists.write(head.as_bytes(), false, |tool| tool == "a");
        written.extend(lists.write(tail.as_bytes(), true, |tool| tool == "a"));
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_list_loses_what_may_not_be_seen_however_it_is_cut() {
        for cut in 0..LIST.len() {
            assert_eq!(through("application/json; charset=utf-8", LIST, cut), LEFT, "{cut}");
        }
        let batch = format!("[{LIST},{LIST}]");
        assert_eq!(through("application/json", &batch, 9), format!("[{LEFT},{LEFT}]"));
        let stream =
            format!(": hi\n\nevent: message\nid: 7\ndata: {LIST}\n\ndata: {{\"method\": \"x\"}}\n\n");
        let left = format!(": hi\n\nevent: message\nid: 7\ndata: {LEFT}\n\ndata: {{\"method\": \"x\"}}\n\n");
        for cut in 0..stream.len() {
            assert_eq!(through("text/event-stream", &stream, cut), left, "{cut}");
        }
    }

    #[test]
    fn what_has_no_list_stays_as_it_is() {
        for text in
            [r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}"#, r#"{ "result" : {} }"#]
        {
            assert_eq!(through("application/json", text, 3), text);
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_does_not_pass() {
        for text in ["not json", &"x".repeat(1001), "{\"result\":{\"tools\":["] {
            assert_eq!(through("application/json", text, 1), refused(), "{text}");
        }
        let long = format!("data: {}\n\n", "x".repeat(1001));
        assert_eq!(through("text/event-stream", &long, 1), format!("data: {}\n\n", refused()));
    }
}
