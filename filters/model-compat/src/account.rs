//! What an answer has used, told as it grows.

use weir_core::{Cx, UnixTime};
use weir_schema::state::{self, Usage, UsageSource};
use weir_wire::Totals;
use weir_wire::answer::Pipeline;

/// Publishes what is known of an answer, so that it is known too when the client leaves in the middle: then the end is told to
/// the filters of the listener first.
#[derive(Debug)]
pub(crate) struct Account {
    begun: UnixTime,
    told: Option<Usage>,
    has_token: bool,
    has_reason: bool,
}

impl Account {
    /// The account of an attempt that begins now.
    pub(crate) fn begin(now: UnixTime) -> Self {
        Self { begun: now, told: None, has_token: false, has_reason: false }
    }

    /// Tells what a pipeline has counted; all of it where the answer is `over`.
    pub(crate) fn tell(&mut self, cx: &mut Cx<'_>, way: &Pipeline, over: bool) {
        let mut totals = way.tally().totals();
        if totals.input.is_some() {
            // A stream that is cut may have told its prompt, and of its answer nothing.
            totals.output = totals.output.or(Some(totals.delivered));
        }
        if !self.has_token && totals.delivered > 0 {
            self.has_token = true;
            cx.publish(state::FIRST_TOKEN, cx.now().since(self.begun).as_millis().to_string());
        }
        if let Some(reason) = way.finish_reason().filter(|_| !self.has_reason) {
            self.has_reason = true;
            cx.publish(state::FINISH_REASON, reason);
        }
        self.tell_totals(cx, totals, over || self.has_reason);
    }

    /// Tells these totals, if they are news; all of them where the answer is `over`.
    pub(crate) fn tell_totals(&mut self, cx: &mut Cx<'_>, totals: Totals, over: bool) {
        let usage = usage(totals, over);
        let news = self.told.is_none_or(|told| {
            if told.source != usage.source || told.input != usage.input || over {
                return told != usage;
            }
            // What an abort leaves untold is a sixteenth at most.
            usage.output.saturating_sub(told.output) > told.output / 16
        });
        if news {
            cx.publish(state::USAGE, usage.to_string());
            self.told = Some(usage);
        }
    }
}

/// The usage that totals are. While an answer goes on, the upstream has not said all of it.
fn usage(totals: Totals, over: bool) -> Usage {
    let Totals { input, output, cached_input, reasoning, delivered } = totals;
    let source = match (input, output) {
        (None, None) => UsageSource::Counted,
        (Some(_), _) | (_, Some(_)) => UsageSource::Upstream,
    };
    let said = match (output, input) {
        (Some(output), _) => Some(output),
        // Embeddings have no answer.
        (None, Some(_)) if over => Some(0),
        (None, _) => None,
    };
    let output = if over { said.unwrap_or(delivered) } else { said.unwrap_or(0).max(delivered) };
    Usage { input: input.unwrap_or(0), output, cached_input, reasoning, source }
}
