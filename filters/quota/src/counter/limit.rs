use weir_schema::quota::Limit;

use super::Load;

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Requests,
    Tokens,
    Budget,
}

/// A limit that a request does not fit under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) limit: Limit,
    pub(crate) most: u64,
    pub(crate) wanted: u64,
    /// After how many seconds it may fit. `None`: never, as it alone is more than the limit.
    pub(crate) retry_secs: Option<u64>,
}

/// What a limit is about.
pub(crate) fn measure(limit: Limit) -> Measure {
    match limit {
        Limit::Rpm | Limit::Concurrency => Measure::Requests,
        Limit::Tpm => Measure::Tokens,
        Limit::TokensPerDay | Limit::TokensPerMonth | Limit::CostPerMonth => Measure::Budget,
    }
}

/// How much of a limit a request takes.
pub(crate) fn wanted(limit: Limit, load: Load) -> u64 {
    match limit {
        Limit::Rpm => load.requests.into(),
        Limit::Concurrency => 1,
        Limit::Tpm | Limit::TokensPerDay | Limit::TokensPerMonth => load.tokens,
        Limit::CostPerMonth => load.cost,
    }
}
