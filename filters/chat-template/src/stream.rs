//! One request: its variables become a prompt, and the answer what its template promises.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Metric, Part, Reply, Side, Stream};
use weir_schema::Name;
use weir_schema::state;
use weir_template::chat::{Chat, Refusal};
use weir_wire::openai::ApiError;

use crate::endpoints::Served;
use crate::filter::{BAD_OUTPUT, BAD_REQUEST, ChatTemplates, RENDERED};
use crate::reply;

/// One request.
#[derive(Debug)]
pub struct ChatTemplateStream {
    filter: Rc<ChatTemplates>,
    phase: Phase,
}

/// ```text
/// Head ──► Asked ──► Sent ──► Answered ──► Told ──► Over
///   └────────────────────────────────────────────────▲
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// The request is held until its body is whole.
    Asked { of: Variant, body: Vec<u8> },
    /// The prompt has been sent.
    Sent { of: Variant },
    /// The answer is held until it is whole.
    Answered { of: Variant, body: Vec<u8> },
    /// The caller has what there is for it; what still comes is dropped.
    Told,
    /// Nothing is left to do.
    Over,
}

/// Which template it is.
#[derive(Clone, Copy, Debug)]
struct Variant {
    endpoint: usize,
    variant: usize,
}

impl ChatTemplateStream {
    pub(crate) fn begin(filter: Rc<ChatTemplates>) -> Self {
        Self { filter, phase: Phase::Head }
    }

    /// Takes a request of an endpoint.
    fn ask(&mut self, cx: &mut Cx<'_>, head: &Head<'_>, of: Variant) -> Flow {
        let filter = Rc::clone(&self.filter);
        let Some((served, chat)) = of.find(&filter) else { return Flow::Reply(Reply::fault()) };
        let refuse = |cx: &mut Cx<'_>, reply: Reply| refused(cx, BAD_REQUEST, served, chat, reply);
        let method = head.text(":method").unwrap_or_default();
        if method != "POST" {
            return refuse(cx, reply::wrong_method(method));
        }
        let media_type = head.get("content-type");
        if let Err(unreadable) = ApiError::unless_json(media_type, head.get("content-encoding")) {
            return refuse(cx, reply::api_error(&unreadable));
        }
        if !media_type.is_none_or(is_json) {
            return refuse(cx, reply::wrong_media_type());
        }
        let limit = u64::from(chat.options().limits.body_bytes.get());
        let length = head.text("content-length").and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit) {
            return refuse(cx, reply::refusal(&Refusal::too_large("The request body", limit)));
        }
        let body = Vec::with_capacity(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
        self.phase = Phase::Asked { of, body };
        if head.is_end() {
            return self.send(cx);
        }
        cx.read(Part::RequestBody);
        Flow::Wait
    }

    /// Fills the template with the whole body and sends what that makes.
    fn send(&mut self, cx: &mut Cx<'_>) -> Flow {
        let Phase::Asked { of, body } = mem::replace(&mut self.phase, Phase::Over) else {
            return Flow::Continue;
        };
        let filter = Rc::clone(&self.filter);
        let Some((served, chat)) = of.find(&filter) else { return Flow::Reply(Reply::fault()) };
        let limit = filter.held_body_bytes;
        let made = chat.request(&body).and_then(|request| {
            let fits = u64::try_from(request.body.len()).is_ok_and(|length| length <= limit);
            if fits { Ok(request) } else { Err(Refusal::too_large("The filled template", limit)) }
        });
        let request = match made {
            Ok(request) => request,
            Err(refusal) => return refused(cx, BAD_REQUEST, served, chat, reply::refusal(&refusal)),
        };
        cx.set_request_header(":path", CHAT_COMPLETIONS);
        cx.set_request_header("content-type", "application/json");
        cx.set_request_header("content-length", request.body.len().to_string());
        if let Some(timeout_ms) = served.timeout_ms {
            cx.set_request_header(TIMEOUT, timeout_ms.to_string());
        }
        if chat.reshapes() {
            // A compressed answer could not be read.
            cx.remove_request_header("accept-encoding");
        }
        cx.publish(state::TEMPLATE, served.name.as_str());
        if let Some(version) = &chat.options().version {
            cx.publish(state::TEMPLATE_VERSION, version.as_str());
        }
        cx.publish(state::PROMPT_BYTES, request.prompt_bytes.to_string());
        if let Some(provider) = &chat.options().provider {
            cx.publish(state::PIN, provider.as_str());
        }
        cx.count(RENDERED);
        cx.skip(Part::RequestBody);
        cx.read(Part::ResponseHead);
        cx.replace_body(Side::Request, 0..body.len(), request.body);
        self.phase = Phase::Sent { of };
        Flow::Continue
    }

    /// Gives the caller what its template promises, or says why there is none.
    fn tell(
        &mut self,
        cx: &mut Cx<'_>,
        held: usize,
        answer: (&'static str, Result<Vec<u8>, Refusal>),
    ) -> Flow {
        let (media_type, answer) = answer;
        let body = match answer {
            Ok(body) => {
                cx.set_response_header("content-type", media_type);
                body
            }
            Err(refusal) => {
                cx.count(BAD_OUTPUT);
                cx.set_response_header(":status", refusal.status.to_string());
                // An answer that could not be read may have been compressed.
                cx.remove_response_header("content-encoding");
                cx.set_response_header("content-type", "application/json");
                reply::body(&refusal)
            }
        };
        cx.set_response_header("content-length", body.len().to_string());
        cx.replace_body(Side::Response, 0..held, body);
        self.phase = Phase::Told;
        Flow::Continue
    }
}

impl Stream for ChatTemplateStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        let Some(path) = head.text(":path") else { return Flow::Continue };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let domain = || {
            let domain = cx.state(state::DOMAIN).and_then(|domain| String::from_utf8(domain).ok());
            domain.and_then(|domain| Name::try_from(domain).ok())
        };
        let Some(endpoint) = self.filter.endpoints.find(path, domain) else { return Flow::Continue };
        let served = self.filter.endpoints.get(endpoint);
        let drawn = served.filter(|served| served.has_choice()).map(|served| served.draw(lot(cx, head)));
        self.ask(cx, head, Variant { endpoint, variant: drawn.unwrap_or(0) })
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Phase::Asked { of, body } = &mut self.phase else { return Flow::Continue };
        body.extend_from_slice(chunk);
        if end {
            return self.send(cx);
        }
        let filter = Rc::clone(&self.filter);
        let Some((served, chat)) = of.find(&filter) else { return Flow::Reply(Reply::fault()) };
        let limit = u64::from(chat.options().limits.body_bytes.get());
        if u64::try_from(body.len()).is_ok_and(|length| length <= limit) {
            return Flow::Wait;
        }
        self.phase = Phase::Over;
        let refusal = Refusal::too_large("The request body", limit);
        refused(cx, BAD_REQUEST, served, chat, reply::refusal(&refusal))
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        let Phase::Asked { of, .. } = mem::replace(&mut self.phase, Phase::Over) else {
            return Flow::Continue;
        };
        let Some((served, chat)) = of.find(&self.filter) else { return Flow::Reply(Reply::fault()) };
        // Behind trailers a body can no longer be replaced.
        let message = "A template's request has no trailers.".to_owned();
        let refusal = Refusal { status: 400, code: "invalid_request", message, param: None };
        refused(cx, BAD_REQUEST, served, chat, reply::refusal(&refusal))
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        let Phase::Sent { of } = mem::replace(&mut self.phase, Phase::Over) else { return Flow::Continue };
        let filter = Rc::clone(&self.filter);
        let Some((served, chat)) = of.find(&filter) else { return Flow::Continue };
        cx.set_response_header(NAME, served.name.as_str());
        if let Some(version) = &chat.options().version {
            cx.set_response_header(VERSION, version.as_str());
        }
        // An error passes as it is.
        if !chat.reshapes() || head.text(":status") != Some("200") {
            return Flow::Continue;
        }
        if head.is_end() {
            cx.count(BAD_OUTPUT);
            cx.set_response_header(":status", "502");
            return Flow::Continue;
        }
        cx.read(Part::ResponseBody);
        self.phase = Phase::Answered { of, body: Vec::new() };
        Flow::Wait
    }

    fn on_response_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let (of, body) = match &mut self.phase {
            Phase::Answered { of, body } => (*of, body),
            Phase::Told => {
                cx.replace_body(Side::Response, 0..chunk.len(), Vec::new());
                return Flow::Continue;
            }
            Phase::Head | Phase::Asked { .. } | Phase::Sent { .. } | Phase::Over => return Flow::Continue,
        };
        body.extend_from_slice(chunk);
        // The end is not always told, so an answer counts as whole when it is JSON.
        let whole = end || (body.trim_ascii_end().ends_with(b"}") && is_whole(body));
        let held = body.len();
        if !whole && held <= LONGEST_ANSWER {
            return Flow::Wait;
        }
        let body = mem::take(body);
        let filter = Rc::clone(&self.filter);
        let Some((_, chat)) = of.find(&filter) else { return Flow::Continue };
        let answer = if whole { chat.answer(&body) } else { Err(too_long()) };
        self.tell(cx, held, (chat.media_type(), answer))
    }
}

impl Variant {
    fn find(self, filter: &ChatTemplates) -> Option<(&Served, &Chat)> {
        let served = filter.endpoints.get(self.endpoint)?;
        Some((served, served.chat(self.variant)?))
    }
}

fn refused(cx: &mut Cx<'_>, why: Metric, served: &Served, chat: &Chat, reply: Reply) -> Flow {
    cx.count(why);
    cx.publish(state::TEMPLATE, served.name.as_str());
    let reply = reply.with_header(NAME, served.name.to_string());
    Flow::Reply(match &chat.options().version {
        Some(version) => reply.with_header(VERSION, version.to_string()),
        None => reply,
    })
}

fn too_long() -> Refusal {
    let message = format!("The model's answer is larger than {LONGEST_ANSWER} bytes.");
    Refusal { status: 502, code: "invalid_model_output", message, param: None }
}

/// A number that is another for each request, to draw with.
fn lot(cx: &Cx<'_>, head: &Head<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match head.get("x-request-id") {
        Some(id) => id.hash(&mut hasher),
        None => cx.now().hash(&mut hasher),
    }
    // The router draws with the same number; without this, a template would always go to the same target.
    NAME.hash(&mut hasher);
    hasher.finish()
}

fn is_json(media_type: &[u8]) -> bool {
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let media_type = media_type.to_ascii_lowercase();
    media_type == b"application/json"
        || (media_type.starts_with(b"application/") && media_type.ends_with(b"+json"))
}

fn is_whole(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok()
}

/// Where every chat completion is asked for.
const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// How long Envoy waits for an answer. A client's own is taken away before.
const TIMEOUT: &str = "x-envoy-upstream-rq-timeout-ms";
/// Which template has answered.
const NAME: &str = "x-weir-template";
/// Which version of it.
const VERSION: &str = "x-weir-template-version";
/// How much of an answer is held, in bytes: less than Envoy holds of a connection.
const LONGEST_ANSWER: usize = 768 * 1024;

#[cfg(test)]
mod tests;
