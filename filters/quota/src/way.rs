//! The targets of a request, as far as rules about providers go: which it may be sent to, and who is charged.
//!
//! Such a rule counts at the provider that is asked. The first target with room reserves; those without room are left
//! out. When Envoy has gone on to the next, the one before is charged a request and no tokens, and the next what is
//! expected of it, whatever its limit is by then.

use weir_core::Cx;
use weir_schema::state::{self, Forward};

use crate::admission::{self, Held, No, Taken};
use crate::counter::Load;
use crate::estimate::Estimate;
use crate::filter::{PASSED_OVER, Quota};
use crate::rule::{self, Caller};

/// The way that a request takes.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// The clusters that it may be sent to, in order.
    clusters: Vec<String>,
    /// Which of them is asked, as far as is known.
    at: usize,
    /// What is reserved at its provider.
    held: Vec<Held>,
    /// Whether others had no room.
    is_shorter: bool,
}

impl Way {
    /// Finds the targets with room, and reserves at the first. `Err` is what is in the way at all of them.
    pub(crate) fn find<'a>(
        cx: &mut Cx<'_>,
        filter: &'a Quota,
        caller: &Caller,
        estimate: Estimate,
        waited: bool,
    ) -> Result<(Self, Taken<'a>), No<'a>> {
        let rules = || filter.config.rules.iter().filter(|rule| rule::is_of_providers(rule));
        let (mut first, mut clusters, mut refused) = (None, Vec::new(), None::<No<'a>>);
        for cluster in &caller.targets {
            let there = caller.at(cluster);
            if first.is_some() {
                if rules().all(|rule| admission::has_room(cx, filter, rule, &there, estimate)) {
                    clusters.push(cluster.clone());
                }
                continue;
            }
            match admission::take(cx, filter, rules(), &there, estimate, waited) {
                Ok(taken) => {
                    first = Some(taken);
                    clusters.push(cluster.clone());
                }
                Err(no) => refused = Some(refused.map_or_else(|| no, |other| other.or_sooner(no))),
            }
        }
        match (first, refused) {
            (Some(mut taken), _) => {
                let is_shorter = clusters.len() < caller.targets.len();
                let held = std::mem::take(&mut taken.held);
                Ok((Self { clusters, at: 0, held, is_shorter }, taken))
            }
            (None, Some(no)) => Err(no),
            (None, None) => Ok(Default::default()),
        }
    }

    /// Takes back what is reserved.
    pub(crate) fn release(self, cx: &mut Cx<'_>, filter: &Quota) {
        for held in &self.held {
            admission::settle(cx, filter, held, Load::default());
        }
    }

    /// Tells those behind this filter where the request may be sent to. The request's head must still be held.
    pub(crate) fn publish(&self, cx: &mut Cx<'_>, targets: usize) {
        let forward = cx.state(state::FORWARD).and_then(|forward| Forward::parse(&forward));
        let (true, Some(mut forward), Some(first)) = (self.is_shorter, forward, self.clusters.first()) else {
            return;
        };
        for _ in self.clusters.len()..targets {
            cx.count(PASSED_OVER);
        }
        forward.targets.retain(|lead| self.clusters.contains(&lead.cluster));
        cx.publish(state::FORWARD, forward.to_string());
        cx.publish(state::NEXT, first.as_str());
        // The route would try the last one again for each that is left out.
        cx.set_request_header(MOST_RETRIES, self.clusters.len().saturating_sub(1).to_string());
    }

    /// Charges those that have been asked since, and have not answered.
    pub(crate) fn follow(&mut self, cx: &mut Cx<'_>, filter: &Quota, caller: &Caller, estimate: Estimate) {
        if self.clusters.len().saturating_sub(self.at) < 2 {
            return;
        }
        let Some(asked) = cx.attribute(&["xds", "cluster_name"]) else { return };
        let asked = self.clusters.iter().position(|cluster| cluster.as_bytes() == asked);
        while let Some(cluster) = self.clusters.get(self.at.saturating_add(1))
            && asked.is_some_and(|asked| self.at < asked)
        {
            for failed in std::mem::take(&mut self.held) {
                admission::settle(cx, filter, &failed, A_REQUEST);
            }
            self.held = admission::charge(cx, filter, &caller.at(cluster), estimate);
            self.at = self.at.saturating_add(1);
        }
    }

    /// Charges who has answered.
    pub(crate) fn settle(&self, cx: &mut Cx<'_>, filter: &Quota, used: Load) {
        for held in &self.held {
            admission::settle(cx, filter, held, used);
        }
    }
}

/// What a provider has done that has not answered.
const A_REQUEST: Load = Load { requests: 1, tokens: 0, cost: 0 };
/// How often Envoy's router tries again, above what the route says.
const MOST_RETRIES: &str = "x-envoy-max-retries";

#[cfg(test)]
mod tests;
