//! The filter with one cluster's configuration.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use weir_core::{ConfigError, Filter, Metric, StreamId};
use weir_schema::compat::{Config, Rules};

use crate::stream::CompatStream;

/// Fits each attempt to a cluster's upstream, and its answer to the client.
#[derive(Debug)]
pub struct ModelCompat {
    pub(crate) config: Config,
    pub(crate) rules: Rc<Rules>,
    /// The rules that came with requests, by their text.
    known: RefCell<HashMap<String, Rc<Rules>>>,
}

impl Filter for ModelCompat {
    const NAME: &'static str = "model-compat";
    const METRICS: &'static [Metric] = &[COOLED, ATTEMPTS, MISROUTED, CONCEALED, REFUSED, BROKEN];
    type Config = Config;
    type Stream = CompatStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let wrong = |field: &str, problem| Err(ConfigError { field: field.into(), problem });
        let path = &config.base_path;
        if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
            return wrong("base_path", "is no path such as /v1");
        }
        if config.path.as_ref().is_some_and(|path| !path.starts_with(['/', '{'])) {
            return wrong("path", "is no path such as /deployments/{model}{endpoint}");
        }
        Ok(Self { rules: Rc::new(config.rules.clone()), config, known: RefCell::default() })
    }

    fn stream(self: &Rc<Self>, _: StreamId) -> CompatStream {
        CompatStream::begin(Rc::clone(self))
    }
}

impl ModelCompat {
    /// Where a request for `asked` goes at the upstream. `None`: it is no request of the API's.
    pub(crate) fn path(&self, asked: &str, model: &str) -> Option<String> {
        let rest = asked.strip_prefix(API).filter(|rest| rest.starts_with('/'))?;
        let (endpoint, query) =
            rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        // In a path these are no names.
        if self.config.path.is_some() && [".", ".."].contains(&model) {
            return None;
        }
        let mut path = self.config.base_path.clone();
        match &self.config.path {
            None => path.push_str(endpoint),
            Some(form) => {
                path.push_str(&form.replace("{endpoint}", endpoint).replace("{model}", &encoded(model)))
            }
        }
        let own =
            self.config.query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let overridden =
            |part: &&str| self.config.query.contains_key(part.split('=').next().unwrap_or_default());
        let asked = query.into_iter().flat_map(|query| query.split('&')).filter(|part| !overridden(part));
        let queries: Vec<_> = asked.map(str::to_owned).chain(own).collect();
        if !queries.is_empty() {
            path.push('?');
            path.push_str(&queries.join("&"));
        }
        Some(path)
    }

    /// The rules that this text is; `None` if it is none.
    pub(crate) fn rules(&self, text: &str) -> Option<Rc<Rules>> {
        let mut known = self.known.borrow_mut();
        if let Some(rules) = known.get(text) {
            return Some(Rc::clone(rules));
        }
        let rules: Rc<Rules> = Rc::new(serde_json::from_str(text).ok()?);
        if known.len() >= MOST_RULES {
            known.clear();
        }
        known.insert(text.to_owned(), Rc::clone(&rules));
        Some(rules)
    }
}

/// A text as it stands in a path or a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The path under which clients find the API.
const API: &str = "/v1";
/// How many rules that came with requests are remembered; every model of a cluster can have its own.
const MOST_RULES: usize = 256;

/// Attempts that were fitted to this upstream.
pub(crate) const ATTEMPTS: Metric = Metric::counter("weir.model_compat.attempts_total");
/// Streams that broke off after the client had a part of them.
pub(crate) const BROKEN: Metric = Metric::counter("weir.model_compat.broken_streams_total");
/// Errors that came with status 200.
pub(crate) const CONCEALED: Metric = Metric::counter("weir.model_compat.concealed_errors_total");
/// Attempts that were refused, since they are for no target of their model.
pub(crate) const MISROUTED: Metric = Metric::counter("weir.model_compat.misrouted_total");
/// Requests that a rule of their model refuses.
pub(crate) const REFUSED: Metric = Metric::counter("weir.model_compat.refused_total");
/// Attempts whose upstream said when to come back.
pub(crate) const COOLED: Metric = Metric::counter("weir.model_compat.cooled_total");
