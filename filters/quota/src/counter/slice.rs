//! What the ledger has granted of a counter's limits.
//!
//! A cap stands in the place of each limit. Of rates and concurrency it holds for seconds; of budgets until the period
//! ends that the ledger has told. What is used is told to the ledger as running totals, so a report that is lost is
//! made good by the next.

use std::collections::BTreeMap;

use weir_schema::ledger::{Counted, CounterName, Granted, Granting, Held};
use weir_schema::quota::{Limit, Limits, OnLedgerLoss};

use super::bytes::Reader;
use super::{Caps, Counter, Load, Refusal, Reservation, Spent, Terms, wanted};

/// What the ledger has granted, and what it is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    name: String,
    /// When this count began, in nanoseconds: an earlier one under the same name is complete.
    since: u64,
    /// The second from which on rates and concurrency are no longer granted; 0 if nothing was.
    stale_at: u64,
    /// Until this millisecond the ledger is not asked for more again.
    denied_until_ms: u64,
    /// The last second in which a request asked.
    touched: u64,
    /// Requests that have reserved and not settled.
    open: u32,
    /// Gateways that count there.
    nodes: u32,
    flags: u8,
    grants: [Grant; Limit::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Grant {
    cap: u64,
    others: i64,
    need: u64,
}

/// The ledger cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss(pub(crate) OnLedgerLoss);

/// Why a request does not go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A limit is used up.
    Refused(Refusal),
    /// What is granted does not cover it; the ledger is to be asked.
    Uncovered,
    /// What is granted does not cover it, and the ledger cannot be asked.
    Lost,
}

/// A request that asks under slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) terms: Terms<'a>,
    pub(crate) name: &'a CounterName,
    pub(crate) loss: Option<Loss>,
    pub(crate) load: Load,
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
}

impl Ask<'_> {
    fn second(&self) -> u64 {
        self.now / NANOS_PER_SECOND
    }

    fn millis(&self) -> u64 {
        self.now / NANOS_PER_MILLI
    }
}

impl Counter {
    /// Reserves under what is granted. Without it, notes what is needed. True with it if the ledger is to be told of
    /// this counter from now on.
    pub(crate) fn ask(
        &mut self,
        ask: Ask<'_>,
        shadow: bool,
    ) -> (Result<(Reservation, bool), Obstacle>, bool) {
        let news = self.touch(ask);
        self.forget(ask.second());
        let result = self.reserve_granted(ask, shadow);
        // A slice that nobody renews is told of again, should a report have been lost with its worker.
        (result, news || result == Err(Obstacle::Uncovered))
    }

    fn reserve_granted(&mut self, ask: Ask<'_>, shadow: bool) -> Result<(Reservation, bool), Obstacle> {
        let Ask { terms, load, .. } = ask;
        let now = ask.second();
        let granted = self.granted(terms.limits, now);
        let Some(refusal) = self.obstacle(granted, load, now) else {
            return Ok((self.charge(terms, load, now), false));
        };
        if shadow {
            self.open_periods(terms, now);
            return Ok((self.charge(terms, load, now), true));
        }
        let refusal = self.whole(refusal, terms.limits, now);
        if refusal.retry_secs.is_none() {
            return Err(Obstacle::Refused(refusal));
        }
        if let Some(loss) = ask.loss {
            return self.reserve_at_loss(ask, loss, granted).map(|reservation| (reservation, false));
        }
        let Some(slice) = &mut self.slice else { return Err(Obstacle::Lost) };
        if ask.millis() < slice.denied_until_ms {
            return Err(Obstacle::Refused(refusal));
        }
        slice.flags |= WAITING;
        Err(Obstacle::Uncovered)
    }

    /// What holds while the ledger cannot be reached.
    fn reserve_at_loss(&mut self, ask: Ask<'_>, loss: Loss, granted: Caps) -> Result<Reservation, Obstacle> {
        let (terms, now) = (ask.terms, ask.second());
        let nodes = self.slice.as_ref().map_or(1, |slice| slice.nodes.max(1));
        let mut caps = granted;
        for (limit, cap) in Limit::ALL.into_iter().zip(&mut caps.0) {
            let share = limit.of(terms.limits).and_then(|most| most.checked_div(nodes.into()));
            *cap = match loss.0 {
                OnLedgerLoss::Deny => return Err(Obstacle::Lost),
                OnLedgerLoss::Allow => limit.of(terms.limits),
                OnLedgerLoss::Share if limit.is_budget() => *cap,
                OnLedgerLoss::Share => share.max(*cap),
            };
        }
        if loss.0 == OnLedgerLoss::Allow {
            self.open_periods(terms, now);
        }
        match self.obstacle(caps, ask.load, now) {
            None => Ok(self.charge(terms, ask.load, now)),
            Some(refusal) if refusal.limit.is_budget() && loss.0 == OnLedgerLoss::Share => {
                Err(Obstacle::Lost)
            }
            Some(refusal) => Err(Obstacle::Refused(self.whole(refusal, terms.limits, now))),
        }
    }

    /// A refusal as the whole limit makes it.
    fn whole(&self, refusal: Refusal, limits: &Limits, now: u64) -> Refusal {
        let Refusal { limit, wanted, most: granted, .. } = refusal;
        let most = limit.of(limits).unwrap_or(granted);
        // What others use leaves their minute at a time that is not known here.
        let retry_secs = self.opens(limit, granted.max(wanted), wanted, now).unwrap_or(1);
        Refusal { limit, most, wanted, retry_secs: (wanted <= most).then_some(retry_secs) }
    }

    /// What the ledger has granted, of each limit at most what the rule says now.
    fn granted(&self, limits: &Limits, now: u64) -> Caps {
        let slice = self.slice.as_deref();
        Caps(Limit::ALL.map(|limit| {
            let most = limit.of(limits)?;
            let holds = match limit {
                Limit::Rpm | Limit::Tpm | Limit::Concurrency => false,
                Limit::TokensPerDay => self.day.until > now,
                Limit::TokensPerMonth | Limit::CostPerMonth => self.month.until > now,
            };
            let cap = slice.filter(|slice| holds || slice.stale_at > now).map(|slice| slice.grant(limit).cap);
            Some(cap.unwrap_or(0).min(most))
        }))
    }

    /// Notes that a request asks. True if the ledger is not yet told of this counter.
    fn touch(&mut self, ask: Ask<'_>) -> bool {
        let slice = self.slice.get_or_insert_with(|| {
            Box::new(Slice { name: ask.name.to_text(), since: ask.now, ..Slice::default() })
        });
        slice.touched = ask.second();
        let waiting = slice.flags & WAITING != 0;
        for (limit, grant) in Limit::ALL.into_iter().zip(&mut slice.grants) {
            let need = wanted(limit, ask.load);
            grant.need = if waiting { grant.need.max(need) } else { need };
        }
        slice.list()
    }

    /// Notes that the ledger is to be told of what has changed. True if it is not yet.
    pub(crate) fn list(&mut self) -> bool {
        self.slice.as_mut().is_some_and(|slice| slice.list())
    }

    /// What the ledger is told of this counter; `None` if it is told nothing. A counter that nobody asks is given back
    /// but for what is used; so is one whose requests should all have ended `lease_secs` after they began.
    pub(crate) fn report(
        &mut self,
        limits: &dyn Fn(&CounterName) -> Vec<Limit>,
        lease_secs: u64,
        now: u64,
    ) -> Option<Counted> {
        self.forget(now);
        if self.slice.as_ref()?.flags & LISTED == 0 {
            return None;
        }
        let counter = self.slice.as_ref().and_then(|slice| CounterName::parse(&slice.name));
        let known =
            counter.map(|counter| (limits(&counter), counter)).filter(|(limits, _)| !limits.is_empty());
        let Some((limits, counter)) = known else {
            // Its rule is gone.
            if let Some(slice) = &mut self.slice {
                slice.flags = RESTED;
            }
            return None;
        };
        let used = Limit::ALL.map(|limit| self.used(limit));
        let (day, month) = (self.day.until, self.month.until);
        let held = self.leases.iter().any(|lease| lease.held > 0);
        let slice = self.slice.as_mut()?;
        if slice.touched.saturating_add(lease_secs) <= now {
            slice.open = 0;
        }
        let rests = slice.open == 0 && !held && slice.touched.saturating_add(REST_SECS) <= now;
        let mut told = BTreeMap::new();
        for ((limit, used), grant) in Limit::ALL.into_iter().zip(used).zip(&mut slice.grants) {
            if !limits.contains(&limit) {
                continue;
            }
            if rests {
                (grant.cap, grant.need) = (grant.cap.min(used), 0);
            }
            let until = match limit {
                Limit::Rpm | Limit::Tpm | Limit::Concurrency => 0,
                Limit::TokensPerDay => day,
                Limit::TokensPerMonth | Limit::CostPerMonth => month,
            };
            told.insert(limit, Held { used, cap: grant.cap, until, need: grant.need });
        }
        slice.flags = if rests { slice.flags | RESTS } else { slice.flags & !RESTS };
        let waiting = slice.flags & WAITING != 0;
        if waiting {
            slice.flags |= ASKED;
        }
        Some(Counted { counter, since: slice.since, waiting, limits: told })
    }

    /// Takes what the ledger has granted to a report that was sent at this second. True if the ledger is told of this
    /// counter no longer.
    pub(crate) fn take(&mut self, granting: &Granting, sent: u64, now_ms: u64) -> bool {
        let first = self.slice.as_ref().is_none_or(|slice| slice.stale_at == 0);
        for (limit, granted) in &granting.limits {
            let spent = match limit {
                Limit::Rpm | Limit::Tpm | Limit::Concurrency => continue,
                Limit::TokensPerDay => &mut self.day,
                Limit::TokensPerMonth | Limit::CostPerMonth => &mut self.month,
            };
            if spent.until != granted.until {
                // What was counted before the ledger was first heard is of the period that it tells.
                let kept = if first { *spent } else { Spent::default() };
                *spent = Spent { until: granted.until, ..kept };
            }
        }
        let used = Limit::ALL.map(|limit| self.used(limit));
        let Some(slice) = &mut self.slice else { return false };
        slice.stale_at = sent.saturating_add(granting.valid_secs.into());
        slice.nodes = granting.nodes;
        let mut covered = true;
        for ((limit, used), grant) in Limit::ALL.into_iter().zip(used).zip(&mut slice.grants) {
            let Some(Granted { cap, others, .. }) = granting.limits.get(&limit).copied() else { continue };
            (grant.cap, grant.others) = (cap, others);
            covered &= cap.saturating_sub(used) >= grant.need;
        }
        if slice.flags & ASKED != 0 {
            slice.flags &= !(ASKED | WAITING);
            if !covered {
                slice.denied_until_ms = now_ms.saturating_add(DENIED_MS);
            }
        }
        let rests = slice.flags & RESTS != 0;
        if rests {
            slice.flags = RESTED;
        }
        rests
    }

    /// Whether the ledger is told of this counter.
    pub(crate) fn is_listed(&self) -> bool {
        self.slice.as_ref().is_some_and(|slice| slice.flags & LISTED != 0)
    }

    /// What all gateways have used of a limit.
    pub(crate) fn used_by_all(&self, limit: Limit) -> u64 {
        let others = self.slice.as_ref().map_or(0, |slice| slice.grant(limit).others);
        self.used(limit).saturating_add_signed(others)
    }
}

impl Slice {
    /// A request has reserved.
    pub(super) fn open(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    /// A request has settled.
    pub(super) fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether there is something in it that the ledger does not know.
    pub(super) fn is_kept(&self, now: u64) -> bool {
        let given_up = self.touched.saturating_add(GIVEN_UP_SECS) <= now;
        (self.flags & RESTED == 0 || self.open > 0) && !given_up
    }

    fn list(&mut self) -> bool {
        let news = self.flags & LISTED == 0;
        self.flags = (self.flags | LISTED) & !(RESTS | RESTED);
        news
    }

    fn grant(&self, limit: Limit) -> Grant {
        let at = Limit::ALL.iter().position(|other| *other == limit);
        at.and_then(|at| self.grants.get(at)).copied().unwrap_or_default()
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.flags);
        for number in [self.since, self.stale_at, self.denied_until_ms, self.touched] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.open, self.nodes, u32::try_from(self.name.len()).unwrap_or(0)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for Grant { cap, others, need } in &self.grants {
            for number in [*cap, others.cast_unsigned(), *need] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes.extend_from_slice(self.name.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut slice = Self { flags: reader.u8()?, ..Self::default() };
        for number in [&mut slice.since, &mut slice.stale_at, &mut slice.denied_until_ms, &mut slice.touched]
        {
            *number = reader.u64()?;
        }
        (slice.open, slice.nodes) = (reader.u32()?, reader.u32()?);
        let length = usize::try_from(reader.u32()?).ok()?;
        for grant in &mut slice.grants {
            *grant = Grant { cap: reader.u64()?, others: reader.u64()?.cast_signed(), need: reader.u64()? };
        }
        reader.text(length)?.clone_into(&mut slice.name);
        Some(slice)
    }
}

/// The ledger is told of this counter.
const LISTED: u8 = 1;
/// A request waits for what the ledger grants.
const WAITING: u8 = 2;
/// The report under way says so.
const ASKED: u8 = 16;
/// The report under way gives back all that is not used.
const RESTS: u8 = 4;
/// All that is not used has been given back, and the ledger knows what is.
const RESTED: u8 = 8;

/// A counter that nobody asks for so long is given back.
const REST_SECS: u64 = 5;
/// For how long the ledger is not asked again for what it did not have.
const DENIED_MS: u64 = 300;
/// After this long a request that has not settled never will.
const GIVEN_UP_SECS: u64 = 24 * 3600;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
