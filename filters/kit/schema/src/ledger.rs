//! What gateways and the ledger tell each other.
//!
//! A gateway reports what it has used, as running totals, and the ledger answers how far these may grow. So a report
//! that is lost is made good by the next, and one that comes twice charges once: the ledger passes by what it has
//! seen. Unknown members are kept out of the way, as both sides may be of different releases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::quota::{Dimension, Limit};

/// What a gateway has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The gateway's name.
    pub node: String,
    /// Another one after each restart, when all that the gateway has counted is gone.
    pub epoch: u64,
    /// Grows with each report. A report is over before the next is sent: answered, or never to be.
    pub sequence: u64,
    /// Some of its counters.
    pub counters: Vec<Counted>,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Where.
    pub counter: CounterName,
    /// When this count began. Another one than before: the one before is complete, and is added to.
    pub since: u64,
    /// Whether requests wait for what they need.
    #[serde(default)]
    pub waiting: bool,
    /// By limit.
    pub limits: BTreeMap<Limit, Held>,
}

/// What a gateway holds of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What is used: of a rate in the last minute, of a budget in its period.
    pub used: u64,
    /// How far that may grow without asking.
    pub cap: u64,
    /// The second at which the period ends; 0 where there are no periods, or none has been told.
    #[serde(default)]
    pub until: u64,
    /// What a request takes of it; 0 if there were none lately.
    #[serde(default)]
    pub need: u64,
}

/// What the ledger says to a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which report is answered.
    pub sequence: u64,
    /// In how many milliseconds the next report is due.
    pub next_ms: u32,
    /// The counters of the report that are known.
    pub counters: Vec<Granting>,
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granting {
    /// Where.
    pub counter: CounterName,
    /// For how long rates and concurrency are granted, from when the report was sent.
    pub valid_secs: u32,
    /// How many gateways count there, this one included.
    pub nodes: u32,
    /// By limit.
    pub limits: BTreeMap<Limit, Granted>,
}

/// A slice of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// How far what is used may grow.
    pub cap: u64,
    /// What others have used, and what was corrected by hand.
    pub others: i64,
    /// The second at which the period ends that is meant; 0 where there are no periods.
    #[serde(default)]
    pub until: u64,
}

/// A counter: its rule, and what the rule tells apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CounterName {
    /// The rule.
    pub rule: Name,
    /// What of a request has this counter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per: BTreeMap<Dimension, String>,
}

impl CounterName {
    /// The name as text without zero bytes but between its parts.
    pub fn to_text(&self) -> String {
        let parts = self.per.iter().flat_map(|(dimension, value)| [dimension.as_str(), value.as_str()]);
        let mut text = self.rule.to_string();
        for part in parts {
            text.push('\0');
            text.push_str(part);
        }
        text
    }

    /// A name of that text; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('\0');
        let rule = Name::try_from(parts.next()?.to_owned()).ok()?;
        let mut per = BTreeMap::new();
        while let Some(dimension) = parts.next() {
            per.insert(Dimension::named(dimension)?, parts.next()?.to_owned());
        }
        Some(Self { rule, per })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counters_name_is_read_as_it_was_written() {
        let per = [(Dimension::Consumer, "team".to_owned()), (Dimension::Model, String::new())];
        let name = CounterName { rule: Name::default_domain(), per: per.into() };
        assert_eq!(name.to_text(), "default\0consumer\0team\0model\0");
        assert_eq!(CounterName::parse(&name.to_text()), Some(name));
        for none in ["", "default\0consumer", "default\0nothing\0x"] {
            assert_eq!(CounterName::parse(none), None, "{none:?}");
        }
    }
}
