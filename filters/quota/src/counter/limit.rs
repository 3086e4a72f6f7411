use weir_schema::quota::Limits;

use super::Load;

/// Which of a rule's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Rpm,
    Tpm,
    Concurrency,
    TokensPerDay,
    TokensPerMonth,
    CostPerMonth,
}

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

impl Limit {
    pub(crate) const ALL: [Self; 6] = [
        Self::Rpm,
        Self::Tpm,
        Self::Concurrency,
        Self::TokensPerDay,
        Self::TokensPerMonth,
        Self::CostPerMonth,
    ];

    /// The limit's key in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Tpm => "tpm",
            Self::Concurrency => "concurrency",
            Self::TokensPerDay => "tokens_per_day",
            Self::TokensPerMonth => "tokens_per_month",
            Self::CostPerMonth => "cost_per_month",
        }
    }

    pub(crate) fn measure(self) -> Measure {
        match self {
            Self::Rpm | Self::Concurrency => Measure::Requests,
            Self::Tpm => Measure::Tokens,
            Self::TokensPerDay | Self::TokensPerMonth | Self::CostPerMonth => Measure::Budget,
        }
    }

    /// How much of it there is.
    pub(crate) fn of(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::Rpm => limits.rpm,
            Self::Tpm => limits.tpm,
            Self::Concurrency => limits.concurrency,
            Self::TokensPerDay => limits.tokens_per_day,
            Self::TokensPerMonth => limits.tokens_per_month,
            Self::CostPerMonth => limits.cost_per_month.map(weir_schema::Amount::nanos),
        }
    }

    /// How much of it a request takes.
    pub(crate) fn wanted(self, load: Load) -> u64 {
        match self {
            Self::Rpm => load.requests.into(),
            Self::Concurrency => 1,
            Self::Tpm | Self::TokensPerDay | Self::TokensPerMonth => load.tokens,
            Self::CostPerMonth => load.cost,
        }
    }
}
