//! The filter with one cluster's configuration.

use std::rc::Rc;

use weir_core::{ConfigError, Filter, Metric, StreamId};
use weir_schema::compat::Config;

use crate::stream::CompatStream;

/// Fits each attempt to a cluster's upstream.
#[derive(Debug)]
pub struct ModelCompat {
    pub(crate) config: Config,
}

impl Filter for ModelCompat {
    const NAME: &'static str = "model-compat";
    const METRICS: &'static [Metric] = &[ATTEMPTS, MISROUTED, CONCEALED];
    type Config = Config;
    type Stream = CompatStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let path = &config.base_path;
        if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
            return Err(ConfigError { field: "base_path".into(), problem: "is no path such as /v1" });
        }
        Ok(Self { config })
    }

    fn stream(self: &Rc<Self>, _: StreamId) -> CompatStream {
        CompatStream::begin(Rc::clone(self))
    }
}

/// Attempts that were fitted to this upstream.
pub(crate) const ATTEMPTS: Metric = Metric::counter("weir.model_compat.attempts_total");
/// Errors that came with status 200.
pub(crate) const CONCEALED: Metric = Metric::counter("weir.model_compat.concealed_errors_total");
/// Attempts that were refused, since they are for no target of their model.
pub(crate) const MISROUTED: Metric = Metric::counter("weir.model_compat.misrouted_total");
