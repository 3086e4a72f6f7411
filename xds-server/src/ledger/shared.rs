//! The ledger of several processes: accounts in Redis or Valkey, changed by whoever is asked.
//!
//! ```text
//! load (account, tag, time) ──► change, here ──► save, if the tag is still the same ──► answer
//!          ▲                                         │ it is not: somebody else was first
//!          └─────────────────────────────────────────┘
//! ```
//!
//! The arithmetic of accounts is written once, in Rust; Redis compares and stores. One task takes all that waits, so many
//! reports cost two calls, and only processes compete for an account, not reports. Time is Redis's own: processes
//! whose clocks differ agree on when a slice has expired.

pub mod address;
mod link;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use weir_schema::{Name, ledger::CounterName};

use super::{
    account::Account,
    book::{BookError, Change},
};
use address::Address;
use link::Link;
use table::{Put, Tag};

/// A handle to the ledger in Redis.
#[derive(Clone, Debug)]
pub struct Shared {
    jobs: mpsc::Sender<Box<dyn Job>>,
    link: Arc<Link>,
}

impl Shared {
    /// A ledger at this address. It connects by itself, now and whenever the connection has been lost.
    pub fn open(address: Address) -> Self {
        let link = Arc::new(Link::new(address));
        let (jobs, waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(run(Arc::clone(&link), waiting));
        Self { jobs, link }
    }

    pub(super) async fn update<T: Send + 'static>(
        &self,
        names: Vec<CounterName>,
        change: Change<T>,
    ) -> Result<Vec<T>, BookError> {
        let (answer, answered) = oneshot::channel();
        let results = names.iter().map(|_| None).collect();
        let job: Box<dyn Job> = Box::new(Update { names, change, results, answer });
        self.jobs.try_send(job).map_err(|problem| match problem {
            mpsc::error::TrySendError::Full(_) => BookError::Busy,
            mpsc::error::TrySendError::Closed(_) => BookError::Ended,
        })?;
        answered.await.map_err(|_| BookError::Ended)?
    }

    pub(super) async fn list(
        &self,
        rule: &Name,
        after: Option<CounterName>,
        most: usize,
    ) -> Result<Vec<(CounterName, Account)>, BookError> {
        let listed = async {
            let mut connection = self.link.connection().await?;
            table::list(&mut connection, self.link.prefix(), rule, (after.as_ref(), most)).await
        };
        let listed = listed.await;
        if let Err(problem) = &listed {
            self.link.failed(problem).await;
        }
        listed
    }
}

/// One call of [`Shared::update`], whatever it results in.
trait Job: Send {
    fn names(&self) -> &[CounterName];
    /// Changes an account of those that are named. Of several times the last counts.
    fn change(&mut self, at: usize, account: &mut Account, now: u64);
    fn end(self: Box<Self>, outcome: Result<(), BookError>);
}

struct Update<T> {
    names: Vec<CounterName>,
    change: Change<T>,
    results: Vec<Option<T>>,
    answer: oneshot::Sender<Result<Vec<T>, BookError>>,
}

impl<T: Send> Job for Update<T> {
    fn names(&self) -> &[CounterName] {
        &self.names
    }

    fn change(&mut self, at: usize, account: &mut Account, now: u64) {
        let result = (self.change)(at, account, now);
        if let Some(place) = self.results.get_mut(at) {
            *place = Some(result);
        }
    }

    fn end(self: Box<Self>, outcome: Result<(), BookError>) {
        let Self { results, answer, .. } = *self;
        // Who asked may have gone.
        drop(answer.send(outcome.map(|()| results.into_iter().flatten().collect())));
    }
}

async fn run(link: Arc<Link>, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    // Says at once, and not at the first report, whether Redis is there and how it is set up.
    drop(link.connection().await);
    let mut tags = Tag::first();
    while let Some(first) = waiting.recv().await {
        let mut jobs = vec![first];
        while jobs.len() < MOST_JOBS
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        let mut round = Round::new(jobs);
        for _ in 0..MOST_ROUNDS {
            if round.pending.is_empty() {
                break;
            }
            if let Err(problem) = round.pass(&link, &mut tags).await {
                link.failed(&problem).await;
                round.fail_all(&problem);
            }
        }
        round.end();
    }
}

/// Jobs that are done together.
struct Round {
    jobs: Vec<Box<dyn Job>>,
    /// Accounts that are not saved yet.
    pending: BTreeMap<CounterName, Pending>,
    failed: BTreeMap<usize, BookError>,
}

#[derive(Default)]
struct Pending {
    /// Who changes it, in order: jobs, and where they have named it.
    by: Vec<(usize, usize)>,
    /// How it was tagged when it was last tried to be saved.
    tried: Option<Tag>,
}

impl Round {
    fn new(jobs: Vec<Box<dyn Job>>) -> Self {
        let mut pending = BTreeMap::<CounterName, Pending>::new();
        for (number, job) in jobs.iter().enumerate() {
            for (at, name) in job.names().iter().enumerate() {
                pending.entry(name.clone()).or_default().by.push((number, at));
            }
        }
        Self { jobs, pending, failed: BTreeMap::new() }
    }

    /// Loads, changes and saves what is pending. What somebody else has changed meanwhile is pending still.
    async fn pass(&mut self, link: &Link, tags: &mut Tag) -> Result<(), BookError> {
        let connection = link.connection().await?;
        let batches = batches(self.pending.keys());
        let loads = batches.iter().map(|(rule, names)| {
            let mut connection = connection.clone();
            async move { table::load(&mut connection, link.prefix(), rule, names).await }
        });
        let mut saves = Vec::new();
        for ((rule, names), loaded) in batches.iter().zip(join_all(loads).await) {
            let loaded = loaded?;
            let puts: Vec<Put> = names
                .iter()
                .zip(loaded.accounts)
                .filter_map(|(name, found)| self.change(name, (found, loaded.now), tags))
                .collect();
            saves.push((rule, loaded.now, puts));
        }
        let saves = saves.iter().filter(|(.., puts)| !puts.is_empty()).map(|(rule, now, puts)| {
            let mut connection = connection.clone();
            async move {
                let saved = table::save(&mut connection, link.prefix(), rule, (puts, *now)).await?;
                Ok::<_, BookError>(
                    puts.iter().zip(saved).filter(|(_, saved)| *saved).map(|(put, _)| &put.name),
                )
            }
        });
        for saved in join_all(saves).await {
            for name in saved? {
                self.pending.remove(name);
            }
        }
        Ok(())
    }

    /// What is to be saved of an account; `None` where that has happened or cannot.
    fn change(
        &mut self,
        name: &CounterName,
        (found, now): (Result<Option<(Tag, Account)>, BookError>, u64),
        tags: &mut Tag,
    ) -> Option<Put> {
        let pending = self.pending.get_mut(name)?;
        let found = match found {
            // It had been saved; the answer got lost, and the client library has asked again.
            Ok(Some((tag, _))) if pending.tried == Some(tag) => {
                self.pending.remove(name);
                return None;
            }
            Ok(found) => found,
            Err(problem) => {
                self.failed.extend(pending.by.iter().map(|(job, _)| (*job, problem.clone())));
                self.pending.remove(name);
                return None;
            }
        };
        let (expected, mut account) = found.map_or_else(Default::default, |(tag, of)| (Some(tag), of));
        for (job, at) in &pending.by {
            if let Some(job) = self.jobs.get_mut(*job) {
                job.change(*at, &mut account, now);
            }
        }
        let tag = tags.next();
        pending.tried = Some(tag);
        Some(Put { name: name.clone(), expected, tag, account })
    }

    fn fail_all(&mut self, problem: &BookError) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            self.failed.extend(pending.by.into_iter().map(|(job, _)| (job, problem.clone())));
        }
    }

    fn end(mut self) {
        self.fail_all(&BookError::Contended);
        for (number, job) in self.jobs.into_iter().enumerate() {
            job.end(self.failed.remove(&number).map_or(Ok(()), Err));
        }
    }
}

/// Names by their rules, some at a time. All of a rule are in one slot of a cluster.
fn batches<'a>(names: impl Iterator<Item = &'a CounterName>) -> Vec<(Name, Vec<CounterName>)> {
    let mut rules = BTreeMap::<&Name, BTreeSet<&CounterName>>::new();
    for name in names {
        rules.entry(&name.rule).or_default().insert(name);
    }
    let mut batches = Vec::new();
    for (rule, names) in rules {
        let names: Vec<_> = names.into_iter().cloned().collect();
        batches.extend(names.chunks(MOST_AT_ONCE).map(|names| (rule.clone(), names.to_vec())));
    }
    batches
}

/// How many jobs may wait.
const MOST_WAITING: usize = 4096;
/// How many jobs are done together.
const MOST_JOBS: usize = 1000;
/// How many accounts one script is about.
const MOST_AT_ONCE: usize = 500;
/// How often others may be first. One of all who compete is first each time.
const MOST_ROUNDS: usize = 50;
