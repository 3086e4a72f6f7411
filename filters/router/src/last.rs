//! What the end of a request tells of the target that was asked last.
//!
//! Of every other one the attempt after it tells that it has failed.

use weir_core::{Cx, update};
use weir_schema::cooling::{self, Cooling, Terms};

/// Tells that the last target has failed, if it has.
pub(crate) fn tell(cx: &Cx<'_>, terms: &Terms) {
    let Some(failure) = Failure::of(cx) else { return };
    let cluster = cx.attribute(&["xds", "cluster_name"]).and_then(|name| String::from_utf8(name).ok());
    let Some(cluster) = cluster.filter(|name| !name.is_empty()) else { return };
    let now = cx.now().millis();
    // What is not told now is told by the next that fails.
    let _told = update(cx.store(), cooling::KEY, |bytes| {
        let mut cooling = Cooling::read(bytes, now);
        match failure {
            Failure::Answer => cooling.fail(&cluster, terms, now),
            Failure::Full => cooling.pause(&cluster, terms, FULL_SECONDS, now),
            Failure::Empty => cooling.pause(&cluster, terms, terms.millis.div_ceil(1000), now),
        }
        cooling.to_string().into_bytes()
    });
}

/// How a request has failed at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It was answered with an error, or not at all.
    Answer,
    /// As much is under way there as may be. Envoy tries no other target then.
    Full,
    /// There is no node. Envoy tries no other target then.
    Empty,
}

impl Failure {
    /// How the request that has ended now has failed; `None` if it has not, or not at an upstream.
    fn of(cx: &Cx<'_>) -> Option<Self> {
        let code = cx.attribute(&["response", "code"])?.try_into().map(u64::from_le_bytes).ok()?;
        if code < 500 && !OUR_FAULT_OR_BUSY.contains(&code) {
            return None;
        }
        let details = cx.attribute(&["response", "code_details"])?;
        let has = |part: &[u8]| details.windows(part.len()).any(|window| window == part);
        match &details {
            ours if ours.starts_with(OURS) => None,
            none if none.starts_with(NO_NODE) => Some(Self::Empty),
            _ if has(OVERFLOW) => Some(Self::Full),
            _ => Some(Self::Answer),
        }
    }
}

/// Answers below 500 that say nothing against the request, as the route has them.
const OUR_FAULT_OR_BUSY: [u64; 2] = [401, 429];

/// How the details of replies of Weir's own filters begin.
const OURS: &[u8] = b"weir_";

/// Envoy's details of a reply where there was nobody to ask, and of one where a circuit breaker was open.
const NO_NODE: &[u8] = b"no_healthy_upstream";
const OVERFLOW: &[u8] = b"overflow";

/// For how long a target that is full is asked last.
const FULL_SECONDS: u64 = 1;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use weir_core::SharedStore;
    use weir_core::testing::Bench;

    use super::*;

    fn told(code: u64, details: &str) -> String {
        let mut bench = Bench::default();
        for (name, value) in [
            ("response.code", code.to_le_bytes().to_vec()),
            ("response.code_details", details.into()),
            ("xds.cluster_name", b"idc".to_vec()),
        ] {
            bench.attributes.insert(name.into(), value);
        }
        let terms =
            Terms { failures: NonZeroU32::MIN.saturating_add(1), millis: 10_000, longest_millis: 20_000 };
        bench.run(|cx| tell(cx, &terms));
        let entry = bench.store.get(cooling::KEY).unwrap();
        entry.map_or_else(String::new, |entry| String::from_utf8(entry.value).unwrap())
    }

    #[test]
    fn a_failure_of_the_last_target_counts() {
        for (code, details) in [
            (503, "via_upstream"),
            (429, "via_upstream"),
            (401, "via_upstream"),
            (503, "upstream_reset_before_response_started{connection_failure}"),
            (504, "upstream_per_try_timeout"),
        ] {
            assert_eq!(told(code, details), "idc 1 0 0\n", "{code} {details}");
        }
    }

    #[test]
    fn what_has_no_node_or_no_room_is_left_alone_at_once() {
        assert_eq!(told(503, "no_healthy_upstream"), "idc 0 0 10000\n");
        assert_eq!(told(503, "upstream_reset_before_response_started{overflow}"), "idc 0 0 1000\n");
    }

    #[test]
    fn an_answer_and_a_refusal_of_our_own_count_for_nothing() {
        for (code, details) in [
            (200, "via_upstream"),
            (404, "via_upstream"),
            (429, "weir_quota_rpm"),
            (503, "weir_fault"),
            (0, "downstream_remote_disconnect"),
        ] {
            assert_eq!(told(code, details), "", "{code} {details}");
        }
    }
}
