//! One request: find the key, say who is calling, and watch the body where that is this filter's duty.

use std::mem;
use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Metric, Part, Reply, Stream, StreamId};
use weir_schema::Name;
use weir_schema::auth::ModelCheck;
use weir_schema::state::{self, Grant};
use weir_wire::BodyScan;
use weir_wire::openai::{ApiError, Endpoint};

use crate::credential;
use crate::directory::{Caller, Denial};
use crate::filter::{
    ALLOWED, Auth, BAD_BODY, EXPIRED_KEY, INVALID_KEY, INVALID_TOKEN, MISSING_KEY, MISSING_TOKEN,
    MODEL_DENIED, UNKNOWN_HOST,
};
use crate::lookup::{Found, Verdict};
use crate::reply;
use crate::resource::{Bearer, Presented, Resource, has_token_in_query};

/// One request.
#[derive(Debug)]
pub struct AuthStream {
    filter: Rc<Auth>,
    id: StreamId,
    phase: Phase,
}

/// ```text
/// Head ──► LookingUp ──► Identified ──► Over
///   └───────────────────────▲
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// The key is being looked up; the body, if it may matter, is read meanwhile.
    LookingUp(Arrival),
    /// The caller is known; the body is held until its model is known, then watched for a second one.
    Identified { grant: Grant, body: Body },
    /// Nothing is left to do.
    Over,
}

/// What the head of a request said, and its body if that may matter.
#[derive(Debug)]
struct Arrival {
    /// The tenant of its host. `None`: tenants are not told apart.
    domain: Option<Name>,
    private_fields: Vec<String>,
    body: Option<Body>,
    /// The resource of OAuth that it is for.
    resource: Option<Rc<Resource>>,
}

/// A body as far as it has come.
#[derive(Debug, Default)]
struct Body {
    scan: BodyScan,
    /// What is wrong with it.
    problem: Option<ApiError>,
    ended: bool,
    /// Whether its model has been allowed.
    allowed: bool,
}

impl AuthStream {
    pub(crate) fn begin(filter: Rc<Auth>, id: StreamId) -> Self {
        Self { filter, id, phase: Phase::Head }
    }

    /// The key's verdict is known: say who is calling, or refuse.
    fn judge(&mut self, cx: &mut Cx<'_>, verdict: &Verdict, arrival: Arrival) -> Flow {
        let resource = arrival.resource.clone();
        match (self.judge_key(cx, verdict, arrival), resource) {
            (Flow::Reply(reply), Some(resource)) => Flow::Reply(resource.challenged(reply)),
            (flow, _) => flow,
        }
    }

    fn judge_key(&mut self, cx: &mut Cx<'_>, verdict: &Verdict, arrival: Arrival) -> Flow {
        self.phase = Phase::Over;
        let caller = match verdict {
            Verdict::Known(caller) if arrival.is_home_of(caller) => caller,
            Verdict::Known(_) | Verdict::Unknown => return refuse(cx, INVALID_KEY, reply::invalid_key()),
            Verdict::Unavailable => return Flow::Reply(reply::lookup_unavailable()),
        };
        match caller.admit(|| cx.now()) {
            Ok(()) => {}
            Err(Denial::Disabled) => return refuse(cx, INVALID_KEY, reply::invalid_key()),
            Err(Denial::Expired) => return refuse(cx, EXPIRED_KEY, reply::expired_key()),
        }
        identify(cx, caller, arrival.private_fields);
        match arrival.body {
            Some(body) if !caller.grant.is_any() => {
                self.phase = Phase::Identified { grant: caller.grant.clone(), body };
                cx.read(Part::RequestBody);
                self.watch(cx)
            }
            Some(_) | None => {
                cx.skip(Part::RequestBody);
                Flow::Continue
            }
        }
    }

    /// Decides by what has come of the body.
    fn watch(&mut self, cx: &mut Cx<'_>) -> Flow {
        let Phase::Identified { grant, body } = &mut self.phase else { return Flow::Continue };
        if let Some(problem) = body.problem.take() {
            self.phase = Phase::Over;
            return refuse(cx, BAD_BODY, reply::error(&problem));
        }
        if !body.allowed {
            match body.scan.model() {
                Some(model) if grant.allows(&model.value) => body.allowed = true,
                Some(model) => {
                    let reply = reply::error(&ApiError::model_not_found(&model.value));
                    self.phase = Phase::Over;
                    return refuse(cx, MODEL_DENIED, reply);
                }
                None if body.ended => {
                    self.phase = Phase::Over;
                    return refuse(cx, BAD_BODY, reply::error(&ApiError::missing_model()));
                }
                None if body.scan.bytes() > self.filter.held_body_bytes => {
                    self.phase = Phase::Over;
                    let limit = self.filter.held_body_bytes;
                    return refuse(cx, BAD_BODY, reply::error(&ApiError::model_too_late(limit)));
                }
                None => return Flow::Wait,
            }
        }
        if body.ended {
            self.phase = Phase::Over;
        }
        Flow::Continue
    }

    fn on_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        match &mut self.phase {
            Phase::LookingUp(Arrival { body: Some(body), .. }) => {
                body.feed(chunk, end);
                Flow::Wait
            }
            Phase::LookingUp(Arrival { body: None, .. }) => Flow::Wait,
            Phase::Identified { body, .. } => {
                body.feed(chunk, end);
                self.watch(cx)
            }
            Phase::Head | Phase::Over => Flow::Continue,
        }
    }
}

impl Stream for AuthStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        let filter = Rc::clone(&self.filter);
        let domain = match &filter.hosts {
            Some(hosts) => match hosts.find(head.get(":authority").unwrap_or_default()) {
                Some(domain) => Some(domain.clone()),
                None => return refuse(cx, UNKNOWN_HOST, reply::unknown_host()),
            },
            None => None,
        };
        if let Some(described) = filter.resources.describe(head, domain.as_ref()) {
            return Flow::Reply(described);
        }
        let path = head.text(":path").unwrap_or_default();
        let resource = filter.resources.find(path, domain.as_ref()).cloned();
        let private_fields = credential::private_fields(head, filter.is_relayed(head.text(":path")));
        if let Some(resource) = &resource {
            match tell(cx, resource, head, domain.as_ref()) {
                Ok(Some(bearer)) => return admit(cx, &bearer, private_fields),
                Ok(None) => {}
                Err(refused) => return refused,
            }
        }
        let Some(hash) = credential::presented(head) else {
            return refuse(cx, MISSING_KEY, resource.map_or_else(reply::missing_key, |of| of.missing()));
        };
        let checked_here = filter.model_check == ModelCheck::Here && !head.is_end();
        let arrival =
            Arrival { domain, private_fields, body: checked_here.then(|| Body::of(head)), resource };
        let found = match (filter.directory.find(&hash), &filter.lookups) {
            (Some(caller), _) => Found::Now(Verdict::Known(Rc::clone(caller))),
            (None, Some(lookups)) => lookups.find(cx, hash, self.id),
            (None, None) => Found::Now(Verdict::Unknown),
        };
        match found {
            Found::Now(verdict) => self.judge(cx, &verdict, arrival),
            Found::Later => {
                if arrival.body.is_some() {
                    cx.read(Part::RequestBody);
                }
                self.phase = Phase::LookingUp(arrival);
                Flow::Wait
            }
        }
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        self.on_body(cx, chunk, end)
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        self.on_body(cx, b"", true)
    }

    fn on_wake(&mut self, cx: &mut Cx<'_>) -> Flow {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::LookingUp(arrival) => {
                let fetched = self.filter.lookups.as_ref().and_then(|lookups| lookups.fetch(self.id));
                self.judge(cx, &fetched.unwrap_or(Verdict::Unavailable), arrival)
            }
            phase @ (Phase::Head | Phase::Identified { .. } | Phase::Over) => {
                self.phase = phase;
                Flow::Wait
            }
        }
    }

    fn on_end(&mut self, _: &mut Cx<'_>) {
        if let (Phase::LookingUp(_), Some(lookups)) = (&self.phase, &self.filter.lookups) {
            lookups.leave(self.id);
        }
    }
}

impl Arrival {
    /// Whether a caller's keys work on the host that was asked.
    fn is_home_of(&self, caller: &Caller) -> bool {
        self.domain.as_ref().is_none_or(|domain| *domain == caller.key.domain)
    }
}

impl Body {
    /// A body that is about to come.
    fn of(head: &Head<'_>) -> Self {
        let endpoint = head.text(":path").and_then(Endpoint::at);
        match BodyScan::of(endpoint.as_ref(), head.get("content-type"), head.get("content-encoding")) {
            Ok(scan) => Self { scan, ..Self::default() },
            Err(unreadable) => Self { problem: Some(unreadable), ..Self::default() },
        }
    }

    fn feed(&mut self, chunk: &[u8], end: bool) {
        let read = self.scan.feed(chunk).and_then(|()| if end { self.scan.finish() } else { Ok(()) });
        if let (Err(error), None) = (read, &self.problem) {
            self.problem = Some(error);
        }
        self.ended |= end;
    }
}

/// Whose token a request to a resource has; `Ok(None)` if it may have a key. `Err` is the answer to it.
fn tell(
    cx: &mut Cx<'_>,
    resource: &Resource,
    head: &Head<'_>,
    domain: Option<&Name>,
) -> Result<Option<Box<Bearer>>, Flow> {
    if has_token_in_query(head.text(":path").unwrap_or_default()) {
        return Err(refuse(cx, INVALID_TOKEN, reply::token_in_query()));
    }
    match resource.presented(cx, head, domain) {
        Presented::Verified(bearer) => Ok(Some(bearer)),
        Presented::Refused(reply, why) => Err(refuse(cx, why.metric(), reply)),
        Presented::Nothing if resource.allows_keys() => Ok(None),
        Presented::Nothing => Err(refuse(cx, MISSING_TOKEN, resource.missing())),
    }
}

/// Says whom a verified token stands for. It asks for no model: at a resource of OAuth there is none.
fn admit(cx: &mut Cx<'_>, bearer: &Bearer, private_fields: Vec<String>) -> Flow {
    for name in private_fields {
        cx.remove_request_header(name);
    }
    cx.publish(state::CONSUMER, bearer.consumer.as_str());
    cx.publish(state::KEY_ID, bearer.key_id.as_str());
    cx.publish(state::DOMAIN, bearer.domain.as_str());
    cx.publish(state::GRANT, bearer.grant.as_str());
    cx.publish(state::TOKEN, bearer.token.as_str());
    cx.count(ALLOWED);
    Flow::Continue
}

fn identify(cx: &mut Cx<'_>, caller: &Caller, private_fields: Vec<String>) {
    for name in private_fields {
        cx.remove_request_header(name);
    }
    cx.publish(state::CONSUMER, caller.key.consumer.as_str());
    cx.publish(state::KEY_ID, caller.key.id.as_str());
    cx.publish(state::DOMAIN, caller.key.domain.as_str());
    cx.publish(state::GRANT, caller.grant.as_str());
    cx.count(ALLOWED);
}

fn refuse(cx: &mut Cx<'_>, why: Metric, reply: Reply) -> Flow {
    cx.count(why);
    Flow::Reply(reply)
}

#[cfg(test)]
mod tests;
