//! One attempt.

use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Part, Reply, Side, Stream};
use weir_schema::state::{self, Forward};
use weir_wire::Rename;
use weir_wire::openai::ConcealedError;

use crate::filter::{ATTEMPTS, CONCEALED, MISROUTED, ModelCompat};
use crate::opening::{Opening, Verdict};

/// One attempt at this cluster's upstream.
#[derive(Debug)]
pub struct CompatStream {
    filter: Rc<ModelCompat>,
    /// The body is held until the name that is replaced has come.
    rename: Option<Pending>,
    answer: Answer,
}

#[derive(Debug)]
struct Pending {
    rename: Rename,
    /// How much of the body has come.
    come: usize,
}

#[derive(Debug)]
enum Answer {
    /// What comes flows on.
    Flowing,
    /// The head is held, and the body so far.
    Opening(Opening),
    /// It was an error; nothing more of it passes.
    Refused,
}

impl CompatStream {
    pub(crate) fn begin(filter: Rc<ModelCompat>) -> Self {
        Self { filter, rename: None, answer: Answer::Flowing }
    }

    /// Where the request goes at the upstream. `None`: it is no request of the API's.
    fn path(&self, asked: &str) -> Option<String> {
        let rest = asked.strip_prefix(API).filter(|rest| rest.starts_with('/'))?;
        Some(format!("{}{rest}", self.filter.config.base_path))
    }

    fn authority(&self, cx: &Cx<'_>) -> Option<String> {
        let chosen = || cx.attribute(&["upstream", "address"]).and_then(|text| String::from_utf8(text).ok());
        self.filter.config.authority.clone().or_else(chosen)
    }
}

impl Stream for CompatStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        // A request whose model has one target was finished by the router, and its route has the path and the host.
        let Some(published) = cx.state(state::FORWARD) else { return Flow::Continue };
        let asked = Forward::parse(&published);
        let here = |asked: &Forward| {
            let mut targets =
                asked.targets.iter().filter(|(cluster, _)| *cluster == self.filter.config.cluster);
            targets.next().map(|(_, model)| model.clone())
        };
        let model = asked.as_ref().and_then(here);
        let path = asked.as_ref().and_then(|asked| self.path(&asked.path));
        let (Some(asked), Some(model), Some(path), Some(authority)) =
            (&asked, model, path, self.authority(cx))
        else {
            cx.count(MISROUTED);
            return Flow::Reply(Reply::fault());
        };
        let rename = Rename::in_body(head.get("content-type"), asked.model.clone(), &model);
        cx.set_request_header(":path", path);
        cx.set_request_header(":authority", authority);
        if let Some(length) = asked.content_length {
            cx.set_request_header("content-length", rename.content_length(length).to_string());
        }
        cx.publish(state::UPSTREAM_MODEL, model);
        cx.count(ATTEMPTS);
        // A compressed answer could not be read.
        cx.remove_request_header("accept-encoding");
        cx.read(Part::ResponseHead);
        cx.read(Part::ResponseBody);
        cx.read(Part::RequestBody);
        self.rename = Some(Pending { rename, come: 0 });
        Flow::Continue
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Some(pending) = &mut self.rename else { return Flow::Continue };
        pending.come = pending.come.saturating_add(chunk.len());
        let range = pending.rename.range();
        if pending.come < range.end {
            return if end { Flow::Reply(Reply::fault()) } else { Flow::Wait };
        }
        cx.replace_body(Side::Request, range, pending.rename.literal());
        cx.skip(Part::RequestBody);
        self.rename = None;
        Flow::Continue
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        let readable =
            head.get(":status") == Some(b"200") && !head.is_end() && head.get("content-encoding").is_none();
        match Opening::of(head.text("content-type")).filter(|_| readable) {
            Some(opening) => {
                self.answer = Answer::Opening(opening);
                Flow::Wait
            }
            None => {
                cx.skip(Part::ResponseBody);
                Flow::Continue
            }
        }
    }

    fn on_response_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let opening = match &mut self.answer {
            Answer::Flowing => return Flow::Continue,
            Answer::Refused => {
                cx.replace_body(Side::Response, 0..chunk.len(), "");
                return Flow::Continue;
            }
            Answer::Opening(opening) => opening,
        };
        match opening.feed(chunk, end) {
            Verdict::Unclear => return Flow::Wait,
            Verdict::Sound => {
                cx.skip(Part::ResponseBody);
                self.answer = Answer::Flowing;
            }
            Verdict::Error(error) => {
                refuse(cx, &error);
                cx.remove_response_header("content-length");
                cx.set_response_header("content-type", "application/json");
                cx.replace_body(Side::Response, 0..opening.come(), error.body);
                self.answer = Answer::Refused;
            }
        }
        Flow::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        // The body, which is out of reach now, is the error as the upstream wrote it.
        if let Answer::Opening(opening) = &mut self.answer
            && let Verdict::Error(error) = opening.feed(b"", true)
        {
            refuse(cx, &error);
        }
        self.answer = Answer::Flowing;
        Flow::Continue
    }
}

/// Gives the answer the status of its error: Envoy tries the next target, or tells the client.
fn refuse(cx: &mut Cx<'_>, error: &ConcealedError) {
    cx.set_response_header(":status", error.status.to_string());
    cx.count(CONCEALED);
}

/// The path under which clients find the API.
const API: &str = "/v1";

#[cfg(test)]
mod tests;
