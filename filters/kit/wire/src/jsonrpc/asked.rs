//! What a body asks of a server that costs something.

use super::{Body, Call, Members, Message, text};

/// A call that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The call of a tool.
    Tool(String),
    /// The reading of a resource.
    Resource,
}

/// The calls in a body that count, in order; none in a body that is no body of messages, as no server runs it.
///
/// ```
/// # use weir_wire::jsonrpc::{Asked, asked};
/// let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query-logs"}}"#;
/// assert_eq!(asked(body), [Asked::Tool("query-logs".into())]);
/// ```
pub fn asked(body: &[u8]) -> Vec<Asked> {
    match Body::parse(body) {
        Ok(Body::Single(message)) => of_message(&message).into_iter().collect(),
        Ok(Body::Batch(messages)) => messages.iter().flatten().filter_map(of_message).collect(),
        Err(_) => Vec::new(),
    }
}

fn of_message(message: &Message<'_>) -> Option<Asked> {
    match message {
        Message::Request(_, call) | Message::Notification(call) => call.asked(),
        Message::Response => None,
    }
}

impl Call<'_> {
    /// What it asks, if that counts.
    pub fn asked(&self) -> Option<Asked> {
        match self.method.as_str() {
            "tools/call" => {
                let name = self.params.and_then(|params| Members::parse(params, &NAMED).ok());
                name.and_then(|members| members.get("name").and_then(text)).map(Asked::Tool)
            }
            "resources/read" => Some(Asked::Resource),
            _ => None,
        }
    }
}

const NAMED: [&str; 1] = ["name"];
