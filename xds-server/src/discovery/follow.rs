//! Drives a resolver for ever.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time;

use super::{Damper, Endpoint, ResolveError, Resolver};

/// What there is to tell of a service.
#[derive(Debug)]
pub enum Event {
    /// These are its nodes now.
    Nodes(Vec<Endpoint>),
    /// Its registry is away; its nodes stay.
    Lost(ResolveError),
}

/// Asks again and again, and tells what comes of it. After an error it waits: longer each time, and not as long
/// as others do.
pub async fn follow(mut resolver: Box<dyn Resolver>, mut damper: Damper, tell: impl Fn(Event)) {
    let mut failures = 0;
    loop {
        let outcome = {
            let mut next = pin!(resolver.next());
            loop {
                tokio::select! {
                    outcome = &mut next => break outcome,
                    () = pass(&mut damper) => tell(Event::Nodes(damper.endpoints())),
                }
            }
        };
        let pause = match outcome {
            Ok(nodes) => {
                failures = 0;
                damper.on_answer(Instant::now(), nodes);
                tell(Event::Nodes(damper.endpoints()));
                PACE
            }
            Err(error) => {
                damper.on_loss();
                tell(Event::Lost(error));
                resolver.reset();
                failures = u32::saturating_add(failures, 1);
                backoff(failures, getrandom::u32().unwrap_or_default())
            }
        };
        let mut pause = pin!(time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = pass(&mut damper) => tell(Event::Nodes(damper.endpoints())),
            }
        }
    }
}

/// Waits until time has changed what the damper holds.
async fn pass(damper: &mut Damper) {
    match damper.deadline() {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
    damper.on_time(Instant::now());
}

/// How long to wait after so many failures in a row, between half of the full time and the full time.
fn backoff(failures: u32, random: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST);
    let half = full.checked_div(2).unwrap_or_default();
    half.saturating_add(half.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

/// The least time between two questions, so that many changes at once are one.
const PACE: Duration = Duration::from_millis(50);

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits_that_differ() {
        let millis = |failures, random| backoff(failures, random).as_millis();
        assert_eq!([1, 2, 3].map(|failures| millis(failures, u32::MAX)), [250, 500, 1_000]);
        assert_eq!([1, 2, 3].map(|failures| millis(failures, 0)), [125, 250, 500]);
        assert_eq!(millis(u32::MAX, u32::MAX), 30_000);
    }
}
