//! One request: find its model while it streams, and send it there.

mod mcp;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Metric, Part, Reply, Side, Stream};
use weir_schema::cooling::{self, Cooling};
use weir_schema::router::{Identity, Model, Target};
use weir_schema::state::{self, Forward, Grant, Lead};
use weir_schema::{HEADER_PREFIX, PROVIDER_HEADER, ROUTE_HEADER};
use weir_wire::BodyScan;
use weir_wire::openai::{ApiError, Endpoint, RequestBody};

use crate::catalog::Found;
use crate::filter::{
    BAD_REQUEST, LISTED, PASSED, ROUTED, Router, UNIDENTIFIED, UNKNOWN_MODEL, UNKNOWN_PROVIDER,
};
use crate::reply;
use crate::{last, order};

/// One request.
#[derive(Debug)]
pub struct RouterStream {
    filter: Rc<Router>,
    phase: Phase,
    /// Whether it could go to one of several targets.
    has_choice: bool,
}

/// ```text
/// Head ──► Seeking ──► Watching ──► Over
///     └──► Calling ─────────────────►
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// All is held until the model is known.
    Seeking { scan: BodyScan, grant: Grant, asked: Asked },
    /// The body flows; it is read on for a second `model` and for its end.
    Watching { scan: BodyScan, replay: Replay },
    /// The messages to an MCP server are held until it is known which tools they call.
    Calling(mcp::Messages),
    /// Nothing is left to do.
    Over,
}

/// Whether a request can be sent again to another target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    /// As far as its body has come.
    Possible,
    /// There is no other target, or that there will be no other attempt has been told.
    Settled,
}

/// What is kept of a request's head until its model is known.
#[derive(Debug)]
struct Asked {
    path: String,
    content_length: Option<u64>,
    /// A number that is another for each request, to draw with.
    lot: u64,
}

impl RouterStream {
    pub(crate) fn begin(filter: Rc<Router>) -> Self {
        Self { filter, phase: Phase::Head, has_choice: false }
    }

    /// What the caller may use. `None`: nobody has said who is calling, or for a tenant that is unknown here.
    fn grant(&self, cx: &Cx<'_>) -> Option<Grant> {
        match self.filter.identity {
            Identity::None => Some(Grant::any()),
            Identity::Required => {
                let grant = cx.state(state::GRANT).and_then(Grant::parse);
                grant.filter(|grant| self.filter.catalog.knows(grant))
            }
        }
    }

    /// Takes a request that carries a model in its body.
    fn seek(&mut self, cx: &mut Cx<'_>, head: &Head<'_>, endpoint: &Endpoint, grant: Grant) -> Flow {
        let media = (head.get("content-type"), head.get("content-encoding"));
        let scan = match BodyScan::of(Some(endpoint), media.0, media.1) {
            Ok(scan) => scan,
            Err(unreadable) => return refuse(cx, BAD_REQUEST, &unreadable),
        };
        let asked = Asked::of(cx, head);
        if asked.content_length.is_some_and(|length| length > self.filter.body_bytes) {
            return refuse(cx, BAD_REQUEST, &reply::too_large(self.filter.body_bytes));
        }
        if head.is_end() {
            return refuse(cx, BAD_REQUEST, &ApiError::missing_model());
        }
        if matches!(endpoint, Endpoint::Messages | Endpoint::CountTokens) {
            cx.publish(state::PROTOCOL, MESSAGES);
        }
        cx.read(Part::RequestBody);
        self.phase = Phase::Seeking { scan, grant, asked };
        Flow::Wait
    }

    /// Answers a request about the models themselves.
    fn list(&self, cx: &mut Cx<'_>, endpoint: &Endpoint, grant: &Grant) -> Flow {
        let Endpoint::Model(id) = endpoint else {
            cx.count(LISTED);
            return Flow::Reply(reply::model_list(self.filter.catalog.visible(grant)));
        };
        let Some(found) = self.filter.catalog.find(id, grant) else {
            return refuse(cx, UNKNOWN_MODEL, &ApiError::model_not_found(id));
        };
        cx.count(LISTED);
        Flow::Reply(reply::model(&found.name, found.model))
    }

    /// Sends a request that names no model to the provider it names.
    fn pass(&self, cx: &mut Cx<'_>, head: &Head<'_>, grant: &Grant) -> Flow {
        let Some(name) = head.text(PROVIDER_HEADER) else {
            return refuse(cx, BAD_REQUEST, &ApiError::missing_provider());
        };
        let Some(route) = self.filter.catalog.provider(name, grant) else {
            return refuse(cx, UNKNOWN_PROVIDER, &ApiError::provider_not_found());
        };
        // Nobody here reads the body, so its length must be known from its head.
        match Asked::of(cx, head).content_length {
            None if !head.is_end() => return refuse(cx, BAD_REQUEST, &ApiError::missing_length()),
            Some(length) if length > self.filter.body_bytes => {
                return refuse(cx, BAD_REQUEST, &reply::too_large(self.filter.body_bytes));
            }
            None | Some(_) => {}
        }
        cx.set_request_header(ROUTE_HEADER, route);
        cx.count(PASSED);
        Flow::Continue
    }

    fn on_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let scan = match &mut self.phase {
            Phase::Seeking { scan, .. } | Phase::Watching { scan, .. } => scan,
            Phase::Calling(_) => return self.on_messages(cx, chunk, end),
            Phase::Head | Phase::Over => return Flow::Continue,
        };
        let read = scan.feed(chunk).and_then(|()| if end { scan.finish() } else { Ok(()) });
        if let Err(problem) = read {
            self.phase = Phase::Over;
            return refuse(cx, BAD_REQUEST, &problem);
        }
        if scan.bytes() > self.filter.body_bytes {
            self.phase = Phase::Over;
            return refuse(cx, BAD_REQUEST, &reply::too_large(self.filter.body_bytes));
        }
        let flow = self.decide(cx, end);
        self.tell_replay(cx);
        if end {
            self.phase = Phase::Over;
        }
        flow
    }

    /// Decides by what has come of the body, which is well-formed so far.
    fn decide(&mut self, cx: &mut Cx<'_>, end: bool) -> Flow {
        let Phase::Seeking { scan, grant, asked } = &mut self.phase else { return Flow::Continue };
        let (catalog, pins) = (&self.filter.catalog, &self.filter.pins);
        let found = match scan.model() {
            Some(name) => match catalog.find(&name.value, grant).and_then(|found| pins.way(cx, found)) {
                Some(found) => found,
                None => return refuse(cx, UNKNOWN_MODEL, &ApiError::model_not_found(&name.value)),
            },
            None if end => match catalog.default_for(grant).and_then(|found| pins.way(cx, found)) {
                Some(found) if scan.place().is_some() => found,
                Some(_) | None => return refuse(cx, BAD_REQUEST, &ApiError::missing_model()),
            },
            None if scan.bytes() > self.filter.held_body_bytes => {
                return refuse(cx, BAD_REQUEST, &ApiError::model_too_late(self.filter.held_body_bytes));
            }
            None => return Flow::Wait,
        };
        send(cx, &found, scan, asked);
        self.has_choice = found.model.targets.len() > 1;
        let replay = if self.has_choice { Replay::Possible } else { Replay::Settled };
        let scan = mem::take(scan);
        self.phase = Phase::Watching { scan, replay };
        Flow::Continue
    }

    /// Tells once that the body is too large for a second attempt: Envoy keeps no more of it.
    fn tell_replay(&mut self, cx: &mut Cx<'_>) {
        let Phase::Watching { scan, replay } = &mut self.phase else { return };
        if *replay == Replay::Possible && scan.bytes() > self.filter.replay_body_bytes {
            cx.publish(state::REPLAY, TOO_LARGE);
            *replay = Replay::Settled;
        }
    }
}

impl Stream for RouterStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        let (Some(method), Some(path)) = (head.text(":method"), head.text(":path")) else {
            cx.count(BAD_REQUEST);
            return Flow::Reply(reply::unserved("", ""));
        };
        let endpoint = Endpoint::of(method, path);
        let may_have_one = || matches!(endpoint, Some(Endpoint::Model(_))) || self.is_market(path);
        if has_escaped_slash(path) && !may_have_one() {
            return refuse(cx, BAD_REQUEST, &reply::escaped_slash());
        }
        let Some(endpoint) = endpoint else {
            return self.elsewhere(cx, head, method, path);
        };
        let Some(grant) = self.grant(cx) else {
            cx.count(UNIDENTIFIED);
            return Flow::Reply(Reply::fault());
        };
        let forged = head.fields().filter_map(|(name, _)| str::from_utf8(name).ok());
        for name in forged.filter(|name| name.starts_with(HEADER_PREFIX)) {
            cx.remove_request_header(name.to_owned());
        }
        match endpoint.request_body() {
            RequestBody::Json | RequestBody::Form => self.seek(cx, head, &endpoint, grant),
            RequestBody::Opaque => self.pass(cx, head, &grant),
            RequestBody::None => self.list(cx, &endpoint, &grant),
        }
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        self.on_body(cx, chunk, end)
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        self.on_body(cx, b"", true)
    }

    fn on_end(&mut self, cx: &mut Cx<'_>) {
        if let Some(terms) = self.filter.cooling.filter(|_| self.has_choice) {
            last::tell(cx, &terms);
        }
    }
}

impl Asked {
    fn of(cx: &Cx<'_>, head: &Head<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        match head.get("x-request-id") {
            Some(id) => id.hash(&mut hasher),
            None => cx.now().hash(&mut hasher),
        }
        Self {
            path: head.text(":path").unwrap_or_default().to_owned(),
            content_length: head.text("content-length").and_then(|length| length.parse().ok()),
            lot: hasher.finish(),
        }
    }
}

/// Whether a path, with its query or without, has a slash or a backslash in disguise: what reads it after its escapes
/// have been undone could find another path in it than the filters have judged.
fn has_escaped_slash(path: &str) -> bool {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let escapes = path.split('%').skip(1).filter_map(|rest| rest.get(..2));
    escapes.into_iter().any(|escape| ["2f", "5c"].iter().any(|slash| escape.eq_ignore_ascii_case(slash)))
}

/// Sends a request, whose head and first bytes are held, to the model's route.
fn send(cx: &mut Cx<'_>, found: &Found<'_>, scan: &BodyScan, asked: &Asked) {
    let model = found.model;
    cx.set_request_header(ROUTE_HEADER, model.route.as_str());
    cx.publish(state::MODEL, found.name.as_ref());
    cx.publish(state::ROUTE, model.route.as_str());
    cx.count(ROUTED);
    if model.targets.is_empty() {
        return rename(cx, found, scan, asked.content_length);
    }
    let Some(place) = scan.place() else { return };
    let lead = |target: &Target| Lead {
        cluster: target.cluster.clone(),
        model: found.there(target.upstream_model.as_str()).into_owned(),
        rules: target.rules.as_ref().map(|rules| rules.as_str().to_owned()),
    };
    let forward = Forward {
        path: asked.path.clone(),
        model: place,
        content_length: asked.content_length,
        name: scan.model().map_or_else(|| found.name.to_string(), |asked| asked.value.clone()),
        targets: ordered(cx, model, asked.lot).into_iter().map(lead).collect(),
    };
    cx.publish(state::FORWARD, forward.to_string());
}

/// The targets of a model in the order in which this request asks them.
fn ordered<'a>(cx: &mut Cx<'_>, model: &'a Model, lot: u64) -> Vec<&'a Target> {
    if model.targets.len() < 2 {
        return model.targets.iter().collect();
    }
    let now = cx.now().millis();
    // What cannot be read is as if nobody had failed.
    let entry = cx.store().get(cooling::KEY).ok().flatten();
    let cooling = Cooling::read(entry.as_ref().map(|entry| entry.value.as_slice()), now);
    let order = order::order(&model.targets, lot, &cooling, now);
    if let Some(first) = order.first() {
        cx.publish(state::NEXT, first.cluster.as_str());
    }
    order
}

/// Writes the upstream's name of the model in the body.
fn rename(cx: &mut Cx<'_>, found: &Found<'_>, scan: &BodyScan, content_length: Option<u64>) {
    let own = found.model.upstream_model.as_ref().map(|name| found.there(name.as_str()));
    let upstream_model = own.as_deref().unwrap_or(&found.name);
    cx.publish(state::UPSTREAM_MODEL, upstream_model);
    if scan.model().is_some_and(|asked| asked.value == upstream_model) {
        return;
    }
    let Some(rename) = scan.rename(upstream_model) else { return };
    if let Some(length) = content_length {
        cx.set_request_header("content-length", rename.content_length(length).to_string());
    }
    cx.replace_body(Side::Request, rename.range(), rename.literal());
}

fn refuse(cx: &mut Cx<'_>, why: Metric, error: &ApiError) -> Flow {
    cx.count(why);
    Flow::Reply(reply::error(error))
}

/// What [`state::REPLAY`] says of a body that is larger than what is kept of it.
const TOO_LARGE: &str = "too_large";

/// What [`state::PROTOCOL`] says of a client of Anthropic's.
const MESSAGES: &str = "messages";

#[cfg(test)]
mod tests;
