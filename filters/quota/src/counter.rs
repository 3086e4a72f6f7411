//! What has been used under one rule: pure arithmetic, with time as a parameter.
//!
//! A request reserves before it is sent, and settles when its stream has ended:
//!
//! - *Rates* count in slots of a second; a slot counts while it may lie in the last minute, so no minute has more than
//!   the limit. Settling gives back to the slot that the request reserved in. What was used beyond the reservation
//!   is charged in the second it is known, even above the limit. A request that never settles leaves with its slot.
//! - *Budgets* count in a calendar day or month, by the period the request began in. Settling corrects what was
//!   charged while that period lasts. A request that never settles stays charged.
//! - *Concurrency* counts leases. A lease that is never given back ends by itself.
//!
//! Limits are no part of a counter, so another limit meets what was used before it. With a ledger, what it has granted
//! stands in the place of the limits: see `slice`.

mod bytes;
mod limit;
mod slice;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests;

use weir_schema::Zone;
use weir_schema::quota::{Limit, Limits};

pub(crate) use self::limit::{Measure, Refusal, measure, wanted};
use self::slice::Slice;
pub(crate) use self::slice::{Ask, Loss, Obstacle};

/// What has been used by the requests that one counter is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    minute: Vec<Slot>,
    leases: Vec<Lease>,
    day: Spent,
    month: Spent,
    slice: Option<Box<Slice>>,
}

/// What one request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
    /// In thousand-millionths.
    pub(crate) cost: u64,
}

/// What a request has reserved, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reservation {
    load: Load,
    second: Option<u64>,
    lease: Option<u64>,
    day: Option<u64>,
    month: Option<u64>,
}

/// What a counter is asked under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) zone: &'a Zone,
    pub(crate) lease_secs: u64,
}

/// How far what is used of each limit may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caps([Option<u64>; Limit::ALL.len()]);

/// What was used in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    second: u64,
    requests: u32,
    tokens: u64,
}

/// Requests under way that end at the latest at this second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    until: u64,
    held: u32,
}

/// What was used in the period that ends at this second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    until: u64,
    tokens: u64,
    cost: u64,
}

impl Counter {
    /// Reserves `load`, or says which limit is in the way; then nothing has changed.
    pub(crate) fn reserve(&mut self, terms: Terms<'_>, load: Load, now: u64) -> Result<Reservation, Refusal> {
        // Where there is no ledger, nothing that one has granted holds.
        self.slice = None;
        self.roll(terms, now);
        match self.obstacle(Caps::of(terms.limits), load, now) {
            Some(refusal) => Err(refusal),
            None => Ok(self.charge(terms, load, now)),
        }
    }

    /// Reserves `load` whatever the limits are.
    pub(crate) fn charge(&mut self, terms: Terms<'_>, load: Load, now: u64) -> Reservation {
        self.roll(terms, now);
        if let Some(slice) = &mut self.slice {
            slice.open();
        }
        let mut reservation = Reservation { load, ..Reservation::default() };
        let limits = terms.limits;
        if limits.rpm.is_some() || limits.tpm.is_some() {
            self.add(now, load.requests, load.tokens);
            reservation.second = Some(now);
        }
        if limits.concurrency.is_some() {
            let until = lease_end(now, terms.lease_secs);
            match self.leases.iter_mut().find(|lease| lease.until == until) {
                Some(lease) => lease.held = lease.held.saturating_add(1),
                None => self.leases.push(Lease { until, held: 1 }),
            }
            reservation.lease = Some(until);
        }
        if limits.tokens_per_day.is_some() {
            reservation.day = Some(self.day.charge(load));
        }
        if limits.tokens_per_month.is_some() || limits.cost_per_month.is_some() {
            reservation.month = Some(self.month.charge(load));
        }
        reservation
    }

    /// Replaces what was reserved by what was used. To be called once for a reservation.
    pub(crate) fn settle(&mut self, reservation: &Reservation, used: Load, now: u64) {
        self.forget(now);
        let reserved = reservation.load;
        if let Some(until) = reservation.lease
            && let Some(lease) = self.leases.iter_mut().find(|lease| lease.until == until)
        {
            lease.held = lease.held.saturating_sub(1);
        }
        if let Some(second) = reservation.second {
            if let Some(slot) = self.minute.iter_mut().find(|slot| slot.second == second) {
                let unused = |reserved: u64, used: u64| reserved.saturating_sub(used);
                slot.tokens = slot.tokens.saturating_sub(unused(reserved.tokens, used.tokens));
                slot.requests = slot.requests.saturating_sub(reserved.requests.saturating_sub(used.requests));
            }
            self.add(now, 0, used.tokens.saturating_sub(reserved.tokens));
        }
        self.day.settle(reservation.day, reserved, used);
        self.month.settle(reservation.month, reserved, used);
        if let Some(slice) = &mut self.slice {
            slice.close();
        }
    }

    /// What is used of a limit.
    pub(crate) fn used(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Rpm => self.requests(),
            Limit::Tpm => self.tokens(),
            Limit::Concurrency => self.under_way(),
            Limit::TokensPerDay => self.day.tokens,
            Limit::TokensPerMonth => self.month.tokens,
            Limit::CostPerMonth => self.month.cost,
        }
    }

    /// In how many seconds all that counts in the last minute has left it.
    pub(crate) fn reset_secs(&self, now: u64) -> u64 {
        let last = self.minute.iter().map(|slot| slot.second).max();
        last.map_or(0, |second| second.saturating_add(MINUTE).saturating_sub(now))
    }

    /// Whether nothing in it counts any more, or only what the ledger counts too.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        let kept = self.slice.as_ref().is_some_and(|slice| slice.is_kept(now));
        let over = |spent: &Spent| spent.until <= now || self.slice.is_some();
        !kept
            && self.minute.iter().all(|slot| !slot.counts_at(now))
            && self.leases.iter().all(|lease| lease.held == 0 || lease.until <= now)
            && over(&self.day)
            && over(&self.month)
    }

    /// Forgets what no longer counts, and opens the periods that have begun. A clock that was set back opens no
    /// period again.
    fn roll(&mut self, terms: Terms<'_>, now: u64) {
        self.forget(now);
        if self.slice.is_none() {
            self.open_periods(terms, now);
        }
    }

    fn open_periods(&mut self, terms: Terms<'_>, now: u64) {
        let Limits { tokens_per_day, tokens_per_month, cost_per_month, .. } = terms.limits;
        if tokens_per_day.is_some() && self.day.until <= now {
            self.day = Spent { until: terms.zone.end_of_day(now), ..Spent::default() };
        }
        if (tokens_per_month.is_some() || cost_per_month.is_some()) && self.month.until <= now {
            self.month = Spent { until: terms.zone.end_of_month(now), ..Spent::default() };
        }
    }

    /// Forgets the slots and leases that no longer count. After a clock was set back, what lies ahead counts from now.
    fn forget(&mut self, now: u64) {
        let ahead: Vec<_> = self.minute.extract_if(.., |slot| slot.second > now).collect();
        for Slot { requests, tokens, .. } in ahead {
            self.add(now, requests, tokens);
        }
        self.minute.retain(|slot| slot.counts_at(now) && (slot.requests > 0 || slot.tokens > 0));
        self.leases.retain(|lease| lease.held > 0 && lease.until > now);
    }

    fn obstacle(&self, caps: Caps, load: Load, now: u64) -> Option<Refusal> {
        Limit::ALL.into_iter().zip(caps.0).find_map(|(limit, most)| {
            let most = most?;
            let (used, wanted) = (self.used(limit), wanted(limit, load));
            if used.saturating_add(wanted) <= most {
                return None;
            }
            let retry_secs = if wanted > most { None } else { self.opens(limit, most, wanted, now) };
            Some(Refusal { limit, most, wanted, retry_secs })
        })
    }

    /// In how many seconds there is room again, if nothing else is reserved.
    fn opens(&self, limit: Limit, most: u64, wanted: u64, now: u64) -> Option<u64> {
        let secs = match limit {
            Limit::Rpm => self.room_in_minute(most, wanted, |slot| slot.requests.into())?,
            Limit::Tpm => self.room_in_minute(most, wanted, |slot| slot.tokens)?,
            Limit::Concurrency => return Some(1),
            Limit::TokensPerDay => self.day.until,
            Limit::TokensPerMonth | Limit::CostPerMonth => self.month.until,
        };
        Some(secs.saturating_sub(now).max(1))
    }

    /// The second at which enough has left the last minute.
    fn room_in_minute(&self, most: u64, wanted: u64, of: impl Fn(&Slot) -> u64) -> Option<u64> {
        let mut slots = self.minute.clone();
        slots.sort_by_key(|slot| slot.second);
        let mut left = slots.iter().fold(0_u64, |sum, slot| sum.saturating_add(of(slot)));
        slots.iter().find_map(|slot| {
            left = left.saturating_sub(of(slot));
            (left.saturating_add(wanted) <= most).then_some(slot.second.saturating_add(MINUTE))
        })
    }

    fn add(&mut self, second: u64, requests: u32, tokens: u64) {
        if requests == 0 && tokens == 0 {
            return;
        }
        match self.minute.iter_mut().find(|slot| slot.second == second) {
            Some(slot) => {
                slot.requests = slot.requests.saturating_add(requests);
                slot.tokens = slot.tokens.saturating_add(tokens);
            }
            None => self.minute.push(Slot { second, requests, tokens }),
        }
    }

    fn requests(&self) -> u64 {
        self.minute.iter().fold(0, |sum, slot| sum.saturating_add(slot.requests.into()))
    }

    fn tokens(&self) -> u64 {
        self.minute.iter().fold(0, |sum, slot| sum.saturating_add(slot.tokens))
    }

    fn under_way(&self) -> u64 {
        self.leases.iter().fold(0, |sum, lease| sum.saturating_add(lease.held.into()))
    }
}

impl Caps {
    fn of(limits: &Limits) -> Self {
        Self(Limit::ALL.map(|limit| limit.of(limits)))
    }
}

impl Slot {
    /// Whether something in this second may lie less than a minute before the end of `now`.
    fn counts_at(&self, now: u64) -> bool {
        now < self.second.saturating_add(MINUTE)
    }
}

impl Spent {
    /// Charges it, and says to which period.
    fn charge(&mut self, load: Load) -> u64 {
        self.tokens = self.tokens.saturating_add(load.tokens);
        self.cost = self.cost.saturating_add(load.cost);
        self.until
    }

    /// Corrects what was charged, unless the period is over.
    fn settle(&mut self, period: Option<u64>, reserved: Load, used: Load) {
        if period == Some(self.until) {
            self.tokens = self.tokens.saturating_sub(reserved.tokens).saturating_add(used.tokens);
            self.cost = self.cost.saturating_sub(reserved.cost).saturating_add(used.cost);
        }
    }
}

/// When a lease ends that begins now. Ends are rounded, so that there are never more than a few of them.
fn lease_end(now: u64, lease_secs: u64) -> u64 {
    let step = lease_secs.div_ceil(LEASE_STEPS).max(1);
    now.saturating_add(lease_secs).div_ceil(step).saturating_mul(step)
}

/// How long a slot counts: a minute, and the second that it lasts itself.
const MINUTE: u64 = 61;
const LEASE_STEPS: u64 = 8;
