//! How quickly an answer is believed. It reads no clock.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Endpoint, Health};
use crate::model::Settling;

/// What is held of a service's nodes.
///
/// ```text
///            in an answer                  for as long as `drain`
/// (unknown) ─────────────► healthy ──────► draining ─────────────► (unknown)
///                             ▲   not in an  │
///                             └───────────── ┘ back in an answer
/// ```
///
/// An answer without any nodes counts only after it has been true for as long as `empty`: a registry that has
/// just lost its memory says the same.
#[derive(Debug)]
pub struct Damper {
    settling: Settling,
    held: BTreeMap<SocketAddr, Held>,
    empty_since: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    endpoint: Endpoint,
    left: Option<Instant>,
}

impl Damper {
    /// A damper that begins with the nodes that are known already.
    pub fn new(settling: Settling, known: Vec<Endpoint>) -> Self {
        let held = known.into_iter().map(|endpoint| (endpoint.address, Held { endpoint, left: None }));
        Self { settling, held: held.collect(), empty_since: None }
    }

    /// The registry has answered.
    pub fn on_answer(&mut self, now: Instant, nodes: Vec<Endpoint>) {
        if nodes.is_empty() {
            if self.held.values().any(|held| held.left.is_none()) {
                self.empty_since.get_or_insert(now);
            }
            return;
        }
        self.empty_since = None;
        let mut answer: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
        for node in nodes {
            let worse = answer.get(&node.address).is_some_and(|known| known.health < node.health);
            if !worse {
                answer.insert(node.address, node);
            }
        }
        for (address, held) in &mut self.held {
            if !answer.contains_key(address) {
                held.leave(now);
            }
        }
        let arrived = answer.into_iter().map(|(address, endpoint)| (address, Held { endpoint, left: None }));
        self.held.extend(arrived);
    }

    /// The registry is away: all is kept, and what it said last of an emptiness is forgotten.
    pub fn on_loss(&mut self) {
        self.empty_since = None;
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) {
        let Settling { drain, empty } = self.settling;
        if self.empty_since.is_some_and(|since| has_passed(since, empty, now)) {
            self.empty_since = None;
            self.held.values_mut().for_each(|held| held.leave(now));
        }
        self.held.retain(|_, held| !held.left.is_some_and(|left| has_passed(left, drain, now)));
    }

    /// When time changes something next.
    pub fn deadline(&self) -> Option<Instant> {
        let Settling { drain, empty } = self.settling;
        let gone = self.held.values().filter_map(|held| held.left?.checked_add(drain));
        gone.chain(self.empty_since.and_then(|since| since.checked_add(empty))).min()
    }

    /// The nodes as Envoy should see them, by address.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.held.values().map(|held| held.endpoint.clone()).collect()
    }
}

impl Held {
    fn leave(&mut self, now: Instant) {
        self.left.get_or_insert(now);
        self.endpoint.health = Health::Draining;
    }
}

fn has_passed(since: Instant, span: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= span
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLING: Settling = Settling { drain: Duration::from_secs(30), empty: Duration::from_secs(60) };

    fn node(number: u16) -> Endpoint {
        Endpoint::at("10.0.0.1", number).unwrap()
    }

    /// A damper at the times of a test, which are seconds.
    struct Driven(Damper, Instant);

    impl Driven {
        fn new() -> Self {
            Self(Damper::new(SETTLING, Vec::new()), Instant::now())
        }

        fn at(&mut self, seconds: u64, nodes: Option<&[u16]>) -> Vec<(u16, Health)> {
            let now = self.1 + Duration::from_secs(seconds);
            self.0.on_time(now);
            match nodes {
                Some(nodes) => self.0.on_answer(now, nodes.iter().map(|number| node(*number)).collect()),
                None => self.0.on_loss(),
            }
            self.0.endpoints().iter().map(|node| (node.address.port(), node.health)).collect()
        }
    }

    use Health::{Draining, Healthy};

    #[test]
    fn a_node_that_has_gone_drains_before_it_goes() {
        let mut driven = Driven::new();
        assert_eq!(driven.at(0, Some(&[1, 2])), [(1, Healthy), (2, Healthy)]);
        assert_eq!(driven.at(1, Some(&[1])), [(1, Healthy), (2, Draining)]);
        assert_eq!(driven.at(20, Some(&[1])), [(1, Healthy), (2, Draining)]);
        assert_eq!(driven.0.deadline(), Some(driven.1 + Duration::from_secs(31)));
        assert_eq!(driven.at(31, Some(&[1])), [(1, Healthy)]);
        assert_eq!(driven.0.deadline(), None);
    }

    #[test]
    fn a_node_that_flaps_never_goes() {
        let mut driven = Driven::new();
        driven.at(0, Some(&[1, 2]));
        for round in 1..100 {
            let back = round % 2 == 0;
            let nodes: &[u16] = if back { &[1, 2] } else { &[1] };
            let expected = if back { Healthy } else { Draining };
            assert_eq!(driven.at(round * 10, Some(nodes)), [(1, Healthy), (2, expected)]);
        }
    }

    #[test]
    fn an_empty_answer_is_believed_only_when_it_lasts() {
        let mut driven = Driven::new();
        driven.at(0, Some(&[1]));
        assert_eq!(driven.at(1, Some(&[])), [(1, Healthy)]);
        assert_eq!(driven.at(60, Some(&[])), [(1, Healthy)]);
        assert_eq!(driven.at(61, Some(&[])), [(1, Draining)]);
        assert_eq!(driven.at(90, Some(&[])), [(1, Draining)]);
        assert_eq!(driven.at(91, Some(&[])), []);
    }

    #[test]
    fn a_registry_that_is_away_changes_nothing() {
        let mut driven = Driven::new();
        driven.at(0, Some(&[1]));
        driven.at(1, Some(&[]));
        assert_eq!(driven.at(50, None), [(1, Healthy)]);
        assert_eq!(driven.at(100_000, None), [(1, Healthy)]);
        assert_eq!(driven.at(100_001, Some(&[])), [(1, Healthy)]);
        assert_eq!(driven.at(100_060, Some(&[])), [(1, Healthy)]);
        assert_eq!(driven.at(100_061, Some(&[])), [(1, Draining)]);
    }

    #[test]
    fn a_node_that_is_named_twice_is_healthy_if_one_of_them_is() {
        let leaving = Endpoint { health: Draining, ..node(1) };
        for answer in [vec![node(1), leaving.clone()], vec![leaving, node(1)]] {
            let mut damper = Damper::new(SETTLING, Vec::new());
            damper.on_answer(Instant::now(), answer);
            assert_eq!(damper.endpoints(), [node(1)]);
        }
    }

    proptest! {
        #[test]
        fn what_the_last_answer_names_is_healthy_and_the_rest_was_there_a_moment_ago(
            steps in prop::collection::vec((0u64..100, prop::option::of(prop::collection::btree_set(1u16..6, 0..4))), 1..40)
        ) {
            let mut driven = Driven::new();
            let (mut now, mut named, mut last_seen) = (0, Vec::new(), BTreeMap::new());
            for (wait, answer) in steps {
                now += wait;
                let answer: Option<Vec<u16>> = answer.map(|nodes| nodes.into_iter().collect());
                let held = driven.at(now, answer.as_deref());
                if let Some(nodes) = answer.filter(|nodes| !nodes.is_empty()) {
                    named.clone_from(&nodes);
                    last_seen.extend(nodes.into_iter().map(|node| (node, now)));
                    let healthy: Vec<u16> =
                        held.iter().filter(|(_, health)| *health == Healthy).map(|(node, _)| *node).collect();
                    prop_assert_eq!(&healthy, &named);
                }
                for (node, _) in held {
                    prop_assert!(last_seen.contains_key(&node));
                }
            }
        }
    }
}
