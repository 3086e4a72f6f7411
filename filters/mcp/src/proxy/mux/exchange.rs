//! What is said with one of several servers.
//!
//! ```text
//! Initialize ──► Initialized ──► Ask ──► done
//!      ▲                          │
//!      └─── the session is lost ──┘
//! ```
//! Of a revision without sessions there is `Ask` only.

use serde_json::{Map, Value, json};
use weir_core::{Answer, Call, CallError, CallId, Cx, Owner};
use weir_schema::mcp::McpUpstream;

use super::answer::{Failure, Received};
use crate::era;
use crate::proxy::seal::Session;
use crate::proxy::{head_of_call, session};
use crate::version::Version;

/// A request for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) method: String,
    /// What the header `Mcp-Name` says.
    pub(super) name: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What is said with one server.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The revision of the client.
    version: Version,
    session: Option<Session>,
    step: Step,
    /// Absent: only a session is begun.
    question: Option<Question>,
    /// Whether the session was begun here, and cannot be lost again.
    has_begun: bool,
    /// What the server has said at the beginning.
    said: Option<Received>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Initialize,
    Initialized,
    Ask,
}

/// What goes with every call to a server.
pub(super) struct Terms<'a> {
    pub(super) upstream: &'a McpUpstream,
    /// Header fields of the client's request.
    pub(super) fields: &'a [(String, String)],
    pub(super) timeout_ms: u32,
    pub(super) max_answer_bytes: u32,
}

impl Exchange {
    /// With a session, it is used; without one, it is begun if the revision has sessions.
    pub(super) fn new(version: Version, session: Option<Session>, question: Option<Question>) -> Self {
        let step = if version.is_modern() || session.is_some() { Step::Ask } else { Step::Initialize };
        Self { version, session, step, question, has_begun: false, said: None }
    }

    /// Makes the call whose turn it is.
    pub(super) fn call(&self, cx: &mut Cx<'_>, terms: &Terms<'_>, id: CallId) {
        let (method, name, body) = match (self.step, &self.question) {
            (Step::Initialize, _) | (Step::Ask, None) => ("initialize", None, initialize(self.version)),
            (Step::Initialized, _) => ("notifications/initialized", None, INITIALIZED.to_vec()),
            (Step::Ask, Some(asked)) => (asked.method.as_str(), asked.name.as_deref(), asked.body.clone()),
        };
        let Terms { upstream, fields, timeout_ms, max_answer_bytes } = *terms;
        let mut headers = head_of_call(upstream);
        let session = self.session.as_ref();
        if self.step != Step::Initialize {
            let version = session.map_or(self.version, |session| session.version);
            headers.push((era::VERSION_HEADER.into(), version.as_str().into()));
        }
        if self.version.is_modern() {
            headers.push((era::METHOD_HEADER.into(), method.into()));
            if let Some(name) = name {
                headers.push((era::NAME_HEADER.into(), era::written(name)));
            }
        } else if let Some(session) = session.and_then(|session| session.id.as_ref()) {
            headers.push((session::HEADER.into(), session.clone()));
        }
        headers.extend(fields.iter().map(|(name, value)| (name.clone().into(), value.clone())));
        cx.call(Call {
            id,
            owner: Owner::Stream,
            cluster: upstream.cluster.clone(),
            headers,
            body,
            timeout_ms,
            max_answer_bytes,
        });
    }

    /// Takes the answer to the call. `None`: there is another one to make.
    pub(super) fn take(
        &mut self,
        answer: Result<Answer<'_>, CallError>,
    ) -> Option<Result<Received, Failure>> {
        let received = match Received::of(answer) {
            Ok(received) => received,
            Err(failure) => return Some(Err(failure)),
        };
        match self.step {
            Step::Initialize => match received.result() {
                Ok(result) => {
                    let said = result.get("protocolVersion").and_then(Value::as_str);
                    let version = said.and_then(Version::parse).unwrap_or(self.version);
                    self.session = Some(Session { id: received.session.clone(), version });
                    self.said = Some(received);
                    self.step = Step::Initialized;
                    None
                }
                Err(failure) => Some(Err(failure)),
            },
            Step::Initialized => {
                self.has_begun = true;
                self.step = Step::Ask;
                if self.question.is_some() { None } else { self.said.take().map(Ok) }
            }
            Step::Ask if received.status == 404 && self.has_session() && !self.has_begun => {
                self.session = None;
                self.step = Step::Initialize;
                None
            }
            Step::Ask => Some(Ok(received)),
        }
    }

    /// Asks something else, of the same session.
    pub(super) fn ask(&mut self, question: Question) {
        self.question = Some(question);
    }

    /// The session that was begun here.
    pub(super) fn begun(&self) -> Option<&Session> {
        self.session.as_ref().filter(|_| self.has_begun)
    }

    fn has_session(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.id.is_some())
    }
}

/// Begins a session. The client's capabilities are not told: what a server asks could not be led back to it.
fn initialize(version: Version) -> Vec<u8> {
    let params = json!({
        "protocolVersion": version.as_str(),
        "capabilities": {},
        "clientInfo": {"name": "weir", "version": env!("CARGO_PKG_VERSION")},
    });
    json!({"jsonrpc": "2.0", "id": "weir-initialize", "method": "initialize", "params": params})
        .to_string()
        .into_bytes()
}

/// A request with these parameters; `id` is JSON.
pub(super) fn request(id: &str, method: &str, params: &Map<String, Value>) -> Vec<u8> {
    let (method, params) = (Value::from(method), serde_json::to_string(params).unwrap_or_default());
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#).into_bytes()
}

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
