//! Where one attempt goes, and what it needs there.

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{Cx, Head, Reply};
use weir_schema::compat::Rules;
use weir_schema::state::{Forward, Lead};
use weir_wire::answer::Ending;
use weir_wire::openai::Endpoint;
use weir_wire::{Rename, translate};

use crate::filter::ModelCompat;
use crate::speech::Speech;

/// An attempt at this cluster's upstream.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// What is asked for, if it is known here.
    pub(crate) endpoint: Option<Endpoint>,
    /// The path the client has asked for.
    pub(crate) asked_path: String,
    /// What the request's `:path` says.
    pub(crate) path: String,
    /// What its `:authority` says.
    pub(crate) authority: String,
    /// The model's name at the upstream, written in the body.
    pub(crate) rename: Rename,
    pub(crate) model: String,
    /// The length of the client's body, if it has said it.
    pub(crate) content_length: Option<u64>,
    /// The model's name as the client has it, as a JSON string, where the upstream's is another.
    pub(crate) name: Option<String>,
    pub(crate) rules: Rc<Rules>,
    pub(crate) speech: Speech,
    /// The clusters of the request, in the order in which they are asked.
    pub(crate) leads: Vec<Lead>,
}

impl Attempt {
    /// The attempt at this cluster of what the router has published; `None` if it is none.
    pub(crate) fn of(filter: &ModelCompat, cx: &Cx<'_>, head: &Head<'_>, published: &[u8]) -> Option<Self> {
        let config = &filter.config;
        let Forward { path, model: span, content_length, name, targets } = Forward::parse(published)?;
        let lead = targets.iter().find(|lead| lead.cluster == config.cluster)?.clone();
        let chosen = || cx.attribute(&["upstream", "address"]).and_then(|text| String::from_utf8(text).ok());
        let endpoint = Endpoint::at(&path);
        Some(Self {
            speech: Speech::of(endpoint.as_ref(), &config.protocols),
            endpoint,
            path: filter.path(&path, &lead.model)?,
            asked_path: path,
            authority: config.authority.clone().or_else(chosen)?,
            rename: Rename::in_body(head.get("content-type"), span, &lead.model),
            content_length,
            name: (name != lead.model).then(|| serde_json::Value::from(name).to_string()),
            rules: match &lead.rules {
                Some(text) => filter.rules(text)?,
                None => Rc::clone(&filter.rules),
            },
            model: lead.model,
            leads: targets,
        })
    }

    /// Writes the head, as if no attempt had written it before.
    pub(crate) fn write_head(&self, cx: &mut Cx<'_>, head: &Head<'_>, filter: &ModelCompat) {
        for name in filter.config.foreign_credentials.iter().map(|header| header.as_str()) {
            if head.get(name).is_some() {
                cx.remove_request_header(name);
            }
        }
        // Also an attempt before this one may have written it, for an upstream that demands it.
        match (self.speech.is_to_messages(self.endpoint.as_ref()), head.get(VERSION)) {
            (true, None) => cx.set_request_header(VERSION, ANTHROPIC_VERSION),
            (false, Some(_)) => cx.remove_request_header(VERSION),
            (true, Some(_)) | (false, None) => {}
        }
        for (name, value) in [(":path", &self.path), (":authority", &self.authority)] {
            if head.get(name) != Some(value.as_bytes()) {
                cx.set_request_header(name, value);
            }
        }
        // A compressed answer could not be read.
        if head.get("accept-encoding").is_some() {
            cx.remove_request_header("accept-encoding");
        }
    }

    /// A reply of our own in the form that the client reads.
    pub(crate) fn worded(&self, reply: Reply) -> Reply {
        let body = translate::worded(&self.asked_path, reply.status, &reply.body);
        Reply { body: body.map_or(reply.body, Cow::Owned), ..reply }
    }

    /// How a stream of the upstream's ends, once it is one of OpenAI's interface or stays what the client has asked for.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self.speech {
            Speech::Native => self.endpoint.as_ref().and_then(Ending::at),
            Speech::Foreign { .. } => Some(Ending::Chunks),
            Speech::Counted => None,
        }
    }

    /// Whether its body has to be whole before anything of it can be sent.
    pub(crate) fn is_edited_whole(&self) -> bool {
        self.rules.edit_requests() || self.speech != Speech::Native
    }

    /// Whether its answer may be a stream that tells its usage if it is asked to.
    pub(crate) fn may_tell_usage(&self) -> bool {
        matches!(self.endpoint, Some(Endpoint::ChatCompletions | Endpoint::Completions))
    }
}

/// The version of Anthropic's interface, which it demands.
const VERSION: &str = "anthropic-version";
const ANTHROPIC_VERSION: &str = "2023-06-01";
