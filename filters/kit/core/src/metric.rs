//! What a filter counts.

/// A metric by name, `weir.<filter>.<what>_<unit|total>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// What its values mean.
    pub kind: MetricKind,
}

impl Metric {
    /// A sum that only grows.
    pub const fn counter(name: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter }
    }

    /// A value that is set.
    pub const fn gauge(name: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge }
    }

    /// A distribution of values.
    pub const fn histogram(name: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram }
    }
}

/// What the values of a metric mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Values are added up.
    Counter,
    /// The last value counts.
    Gauge,
    /// Each value is a sample.
    Histogram,
}
