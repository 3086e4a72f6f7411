//! What an attempt tells of its cluster's health, for the order in which later requests ask.

use weir_core::{Cx, Head, update};
use weir_schema::cooling::{self, Cooling, Terms};
use weir_schema::state::{self, Lead};

use crate::filter::COOLED;

/// The health of this attempt's cluster.
#[derive(Debug)]
pub(crate) struct Health {
    terms: Terms,
    cluster: String,
    has_answered: bool,
}

impl Health {
    /// Begins the attempt at `cluster`, one of these: that it is made means that the one before it has failed.
    pub(crate) fn begin(
        cx: &mut Cx<'_>,
        leads: &[Lead],
        cluster: &str,
        terms: Option<Terms>,
    ) -> Option<Self> {
        let at = leads.iter().position(|lead| lead.cluster == cluster)?;
        if let Some(next) = leads.get(at.saturating_add(1)) {
            cx.publish(state::NEXT, next.cluster.as_str());
        }
        let terms = terms?;
        if let Some(failed) = at.checked_sub(1).and_then(|before| leads.get(before)) {
            change(cx, |cooling, now| cooling.fail(&failed.cluster, &terms, now));
        }
        let several = leads.len() > 1;
        several.then(|| Self { terms, cluster: cluster.to_owned(), has_answered: false })
    }

    /// The head of an answer has come.
    pub(crate) fn on_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) {
        let status = head.text(":status").and_then(|status| status.parse::<u16>().ok()).unwrap_or(0);
        self.has_answered = status < 500 && !OUR_FAULT_OR_BUSY.contains(&status);
        if self.has_answered {
            return;
        }
        if let Some(seconds) = retry_after(head) {
            cx.count(COOLED);
            change(cx, |cooling, now| cooling.pause(&self.cluster, &self.terms, seconds, now));
        }
    }

    /// The attempt is over; it has failed nevertheless if its answer was an error, or has broken off.
    pub(crate) fn on_end(&self, cx: &mut Cx<'_>, has_failed: bool) {
        if !self.has_answered || has_failed {
            return;
        }
        let entry = cx.store().get(cooling::KEY).ok().flatten();
        let now = cx.now().millis();
        if entry.is_some_and(|entry| Cooling::read(Some(&entry.value), now).knows(&self.cluster)) {
            change(cx, |cooling, _| cooling.recover(&self.cluster));
        }
    }
}

fn change(cx: &Cx<'_>, change: impl Fn(&mut Cooling, u64)) {
    let now = cx.now().millis();
    // What is not told now is told by the next that fails.
    let _told = update(cx.store(), cooling::KEY, |bytes| {
        let mut cooling = Cooling::read(bytes, now);
        change(&mut cooling, now);
        cooling.to_string().into_bytes()
    });
}

/// In how many seconds an upstream wants to be asked again. A date is no number of seconds, and is left alone.
fn retry_after(head: &Head<'_>) -> Option<u64> {
    let number = |name| head.text(name).and_then(|text| text.trim().parse::<u64>().ok());
    number("retry-after-ms").map(|millis| millis.div_ceil(1000)).or_else(|| number("retry-after"))
}

/// Answers below 500 that say nothing against the request, as the route has them.
const OUR_FAULT_OR_BUSY: [u16; 2] = [401, 429];
