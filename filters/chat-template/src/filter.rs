//! The filter with one configuration.

use std::rc::Rc;

use weir_core::{ConfigError, Filter, Metric, StreamId};
use weir_schema::chat_template::Config;

use crate::endpoints::Endpoints;
use crate::stream::ChatTemplateStream;

/// Makes chat completions of templates and variables.
#[derive(Debug)]
pub struct ChatTemplates {
    pub(crate) endpoints: Endpoints,
    pub(crate) held_body_bytes: u64,
}

impl Filter for ChatTemplates {
    const NAME: &'static str = "chat-template";
    const METRICS: &'static [Metric] = &[RENDERED, BAD_REQUEST, BAD_OUTPUT];
    type Config = Config;
    type Stream = ChatTemplateStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let endpoints = Endpoints::of(config.endpoints)?;
        Ok(Self { endpoints, held_body_bytes: config.held_body_bytes.get().into() })
    }

    fn stream(self: &Rc<Self>, _: StreamId) -> ChatTemplateStream {
        ChatTemplateStream::begin(Rc::clone(self))
    }
}

/// Requests that a template was filled for.
pub(crate) const RENDERED: Metric = Metric::counter("weir.chat_template.rendered_total");
/// Requests that do not fit their template.
pub(crate) const BAD_REQUEST: Metric = Metric::counter("weir.chat_template.bad_request_total");
/// Answers of models that are not what their template promises.
pub(crate) const BAD_OUTPUT: Metric = Metric::counter("weir.chat_template.bad_output_total");
