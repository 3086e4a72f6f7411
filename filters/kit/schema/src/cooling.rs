//! Which clusters are better left alone for a while, as filters tell each other over all workers.
//!
//! It is one entry of the proxy's shared data: a line `cluster failures last until` for each cluster that has failed
//! lately, the times in milliseconds since 1970. What is over is dropped with the next change, so it has no more lines
//! than there are clusters.

use core::fmt;
use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Where it is in the proxy's shared data.
pub const KEY: &str = "weir/cooling";

/// When a cluster is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// After how many failures without an answer between them.
    pub failures: NonZeroU32,
    /// For how long, in milliseconds.
    pub millis: u64,
    /// For how long at most if it says itself when to come back, in milliseconds.
    pub longest_millis: u64,
}

/// What is known of the clusters that have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cooling(Vec<Line>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    cluster: String,
    failures: u32,
    last: u64,
    until: u64,
}

impl Cooling {
    /// What is known at `now`.
    pub fn read(bytes: Option<&[u8]>, now: u64) -> Self {
        let text = bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(Line::parse);
        Self(lines.filter(|line| line.until > now || line.last.saturating_add(MEMORY_MILLIS) > now).collect())
    }

    /// Until when a cluster is to be left alone, if it is at `now`.
    pub fn until(&self, cluster: &str, now: u64) -> Option<u64> {
        let line = self.0.iter().find(|line| line.cluster == cluster)?;
        (line.until > now).then_some(line.until)
    }

    /// Whether something is known of a cluster.
    pub fn knows(&self, cluster: &str) -> bool {
        self.0.iter().any(|line| line.cluster == cluster)
    }

    /// A cluster has failed.
    pub fn fail(&mut self, cluster: &str, terms: &Terms, now: u64) {
        let line = self.line(cluster);
        line.failures = line.failures.saturating_add(1);
        line.last = now;
        if line.failures >= terms.failures.get() {
            line.until = line.until.max(now.saturating_add(terms.millis));
        }
    }

    /// A cluster has said in how many seconds to come back.
    pub fn pause(&mut self, cluster: &str, terms: &Terms, seconds: u64, now: u64) {
        let millis = seconds.saturating_mul(1000).min(terms.longest_millis);
        let line = self.line(cluster);
        line.until = line.until.max(now.saturating_add(millis));
        line.last = now;
    }

    /// A cluster has answered.
    pub fn recover(&mut self, cluster: &str) {
        self.0.retain(|line| line.cluster != cluster);
    }

    fn line(&mut self, cluster: &str) -> &mut Line {
        let known = self.0.iter().position(|line| line.cluster == cluster);
        let at = known.unwrap_or_else(|| {
            // A list that is too long has the clusters of many configurations; the oldest goes.
            if self.0.len() >= MOST {
                self.0.remove(0);
            }
            self.0.push(Line { cluster: cluster.to_owned(), failures: 0, last: 0, until: 0 });
            self.0.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "it was found or pushed just now")]
        &mut self.0[at]
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let cluster = words.next()?.to_owned();
        let (failures, last, until) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            cluster,
            failures: failures.parse().ok()?,
            last: last.parse().ok()?,
            until: until.parse().ok()?,
        })
    }
}

impl fmt::Display for Cooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Line { cluster, failures, last, until }| {
            writeln!(f, "{cluster} {failures} {last} {until}")
        })
    }
}

/// How long a failure counts that no other one follows.
const MEMORY_MILLIS: u64 = 60_000;

/// How many clusters are remembered.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms =
        Terms { failures: NonZeroU32::MIN.saturating_add(2), millis: 10_000, longest_millis: 60_000 };

    fn again(cooling: &Cooling, now: u64) -> Cooling {
        Cooling::read(Some(cooling.to_string().as_bytes()), now)
    }

    #[test]
    fn failures_in_a_row_cool_a_cluster_and_an_answer_ends_the_row() {
        let mut cooling = Cooling::default();
        for now in [1, 2] {
            cooling.fail("idc", &TERMS, now);
            assert_eq!(cooling.until("idc", now), None);
        }
        cooling.recover("idc");
        assert_eq!(cooling, Cooling::default());
        for now in [1, 2, 3] {
            cooling.fail("idc", &TERMS, now);
        }
        cooling = again(&cooling, 4);
        assert_eq!((cooling.until("idc", 4), cooling.until("lab", 4)), (Some(10_003), None));
        assert_eq!(cooling.until("idc", 10_003), None);
        cooling.fail("idc", &TERMS, 11_000);
        assert_eq!(cooling.until("idc", 11_000), Some(21_000));
    }

    #[test]
    fn a_cluster_says_itself_when_to_come_back_within_reason() {
        let mut cooling = Cooling::default();
        cooling.pause("idc", &TERMS, 30, 1000);
        cooling.pause("lab", &TERMS, u64::MAX, 1000);
        assert_eq!((cooling.until("idc", 1000), cooling.until("lab", 1000)), (Some(31_000), Some(61_000)));
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_cannot_be_read_is_nothing() {
        let mut cooling = Cooling::default();
        cooling.fail("idc", &TERMS, 1000);
        assert!(again(&cooling, 60_999).knows("idc") && !again(&cooling, 61_000).knows("idc"));
        for text in ["", "idc", "idc x 1 2", "idc 1 2"] {
            assert_eq!(Cooling::read(Some(text.as_bytes()), 0), Cooling::default(), "{text}");
        }
        for n in 0..MOST.saturating_add(9) {
            cooling.fail(&n.to_string(), &TERMS, 5);
        }
        assert_eq!(cooling.0.len(), MOST);
    }
}
