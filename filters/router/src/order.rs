//! In which order the targets of a model are asked for one request.

use weir_schema::cooling::Cooling;
use weir_schema::router::Target;

/// The targets of each priority in an order drawn by their weights, those of lower numbers first; then those that are
/// cooling, the one that is ready again first.
pub(crate) fn order<'a>(targets: &'a [Target], lot: u64, cooling: &Cooling, now: u64) -> Vec<&'a Target> {
    let mut lot = lot;
    let mut order: Vec<_> = targets
        .iter()
        .map(|target| {
            lot = scatter(lot);
            let until = cooling.until(&target.cluster, now).unwrap_or(0);
            (until, target.priority, rank(lot, target.weight.get()), target)
        })
        .collect();
    order.sort_by(|(a_until, a, a_rank, _), (b_until, b, b_rank, _)| {
        a_until.cmp(b_until).then(a.cmp(b)).then(a_rank.total_cmp(b_rank))
    });
    order.into_iter().map(|(.., target)| target).collect()
}

/// What targets are sorted by to be drawn by their weights: `-ln(u) / weight`, where `u` is drawn between 0 and 1.
///
/// Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
fn rank(lot: u64, weight: u32) -> f64 {
    let [.., a, b, c, d] = lot.to_be_bytes();
    let drawn = (f64::from(u32::from_be_bytes([a, b, c, d])) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -drawn.ln() / f64::from(weight)
}

/// Another number for each number (SplitMix64; Steele, Lea and Flood, 2014).
fn scatter(lot: u64) -> u64 {
    let mut z = lot.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_schema::cooling::Terms;

    use super::*;

    fn targets() -> Vec<Target> {
        let text = r#"[
            {"cluster": "a", "upstream_model": "m", "weight": 6},
            {"cluster": "b", "upstream_model": "m", "weight": 3},
            {"cluster": "c", "upstream_model": "m"},
            {"cluster": "d", "upstream_model": "m", "priority": 1, "weight": 100}
        ]"#;
        serde_json::from_str(text).unwrap()
    }

    fn drawn(lot: u64, cooling: &Cooling, now: u64) -> String {
        let targets = targets();
        order(&targets, lot, cooling, now).iter().map(|target| target.cluster.as_str()).collect()
    }

    #[test]
    fn the_first_of_a_priority_is_drawn_by_weight_and_so_is_the_next() {
        let mut orders: BTreeMap<String, u32> = BTreeMap::new();
        for lot in 0..10_000 {
            *orders.entry(drawn(lot, &Cooling::default(), 0)).or_default() += 1;
        }
        // The chance of an order is that of its first, times that of its second among those that are left.
        for (order, expected) in
            [("abcd", 4500), ("acbd", 1500), ("bacd", 2571), ("bcad", 429), ("cabd", 667), ("cbad", 333)]
        {
            let times = orders[order];
            assert!(times.abs_diff(expected) < 150, "{order}: {times}, not {expected}");
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn what_is_cooling_comes_last_and_the_least_cooled_first_of_it() {
        let terms = Terms { failures: std::num::NonZeroU32::MIN, millis: 1000, longest_millis: 60_000 };
        let mut cooling = Cooling::default();
        cooling.pause("a", &terms, 20, 0);
        cooling.pause("b", &terms, 10, 0);
        assert_eq!(drawn(1, &cooling, 5), "cdba");
        assert!(drawn(1, &cooling, 15_000).ends_with("da"));
        for cluster in ["c", "d"] {
            cooling.pause(cluster, &terms, 30, 0);
        }
        assert!(drawn(1, &cooling, 5).starts_with("ba"));
    }
}
