//! What quotas have come to, and correcting that, over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use weir_schema::{
    Name,
    ledger::CounterName,
    quota::{Config, Dimension, Limit, Rule},
};

use super::{
    Admin,
    error::ApiError,
    operation::Operation,
    request::{Body, By},
    usage::{failed, records},
};
use crate::{
    ledger::{
        account::{Account, Standing},
        book::Book,
        rule,
        service::seconds,
        terms,
    },
    records::database::Entry,
};

/// A counter as it is answered.
#[derive(Serialize)]
struct Shown {
    per: BTreeMap<Dimension, String>,
    limits: BTreeMap<Limit, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    #[serde(default)]
    per: BTreeMap<Dimension, String>,
    limit: Limit,
    by: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    #[serde(default)]
    per: BTreeMap<Dimension, String>,
    limit: Option<Limit>,
}

/// `GET /v1/quotas/{name}/state`
pub(super) async fn state(
    by: By,
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    by.may(Operation::QuotaState)?;
    let (book, quotas, name) = (book(&admin)?, quotas(&admin), named(&admin, &name)?);
    let accounts = book.list(&name, None, MOST_COUNTERS).await.map_err(failed)?;
    let now = seconds();
    let show = |(name, account): (CounterName, Account)| {
        let of = terms(rule(&quotas.rules, &name)?);
        let limits = account.standing(of, now).into_iter().map(|standing| (standing.limit, limit(standing)));
        Some(Shown { limits: limits.collect(), per: name.per })
    };
    let counters: Vec<Shown> = accounts.into_iter().filter_map(show).collect();
    Ok(Json(json!({"name": name, "counters": counters})))
}

/// `POST /v1/quotas/{name}/adjust`
pub(super) async fn adjust(
    by: By,
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let actor = by.actor();
    by.may(Operation::AdjustQuota)?;
    let detail = body.0.clone();
    let Adjustment { per, limit, by } = body.read()?;
    let counter = counter(&admin, named(&admin, &name)?, per)?;
    let by = amount(&counter.1, limit, by)?;
    let change = move |account: &mut Account, rule: &Rule, now: u64| {
        account.adjust(limit, by, &rule.timezone, now);
    };
    correct(&admin, (actor, "adjust"), counter, detail, change).await
}

/// `POST /v1/quotas/{name}/reset`
pub(super) async fn reset(
    by: By,
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let actor = by.actor();
    by.may(Operation::ResetQuota)?;
    let detail = body.0.clone();
    let Reset { per, limit } = body.read()?;
    let counter = counter(&admin, named(&admin, &name)?, per)?;
    if let Some(limit) = limit {
        amount(&counter.1, limit, 0.0)?;
    }
    let change = move |account: &mut Account, rule: &Rule, now: u64| {
        for standing in account.standing(terms(rule), now) {
            if standing.limit.is_budget() && limit.is_none_or(|limit| limit == standing.limit) {
                account.adjust(standing.limit, standing.used.saturating_neg(), &rule.timezone, now);
            }
        }
    };
    correct(&admin, (actor, "reset"), counter, detail, change).await
}

async fn correct(
    admin: &Admin,
    (actor, action): (String, &str),
    (name, rule): (CounterName, Rule),
    detail: Value,
    change: impl Fn(&mut Account, &Rule, u64) + Send + Sync + 'static,
) -> Result<Json<Value>, ApiError> {
    let (book, records) = (book(admin)?, records(admin)?);
    let update = Arc::new(move |_: usize, account: &mut Account, now: u64| {
        change(account, &rule, now);
        account.standing(terms(&rule), now)
    });
    let object = format!("quotas/{}", name.rule);
    let entry = Entry { at: Timestamp::now(), actor, action: action.into(), object, detail };
    // Written down first: nothing is corrected that nobody can find later.
    block_in_place(|| records.write_down(&entry)).map_err(failed)?;
    let standings = book.update(vec![name.clone()], update).await.map_err(failed)?.into_iter().flatten();
    let limits = standings.map(|standing| (standing.limit, limit(standing))).collect();
    Ok(Json(json!(Shown { per: name.per, limits })))
}

fn book(admin: &Admin) -> Result<&Book, ApiError> {
    admin.book.as_ref().ok_or_else(ApiError::no_ledger)
}

fn quotas(admin: &Admin) -> Arc<Config> {
    Arc::clone(admin.status.subscribe().borrow().quotas())
}

/// The name of a quota that is served, or of the limits on a kind of objects.
fn named(admin: &Admin, name: &str) -> Result<Name, ApiError> {
    let known = quotas(admin).rules.iter().map(|rule| rule.name.clone()).find(|rule| rule.as_str() == name);
    known.ok_or_else(|| ApiError::not_found(format!("no quota {name:?} is served")))
}

fn counter(
    admin: &Admin,
    rule_name: Name,
    per: BTreeMap<Dimension, String>,
) -> Result<(CounterName, Rule), ApiError> {
    let name = CounterName { rule: rule_name, per };
    let quotas = quotas(admin);
    let rule = rule(&quotas.rules, &name).filter(|rule| name.per.keys().eq(rule.per.iter()));
    let rule = rule.ok_or_else(|| {
        ApiError::bad_request("invalid_body", "per: what the quota tells apart, each with its value")
    })?;
    if name.per.values().any(|value| value.is_empty() || value.len() > LONGEST || value.contains('\0')) {
        return Err(ApiError::bad_request("invalid_body", "per: a value is a name"));
    }
    let rule = rule.clone();
    Ok((name, rule))
}

/// An amount of a budget that the quota has: tokens, or money.
fn amount(rule: &Rule, limit: Limit, by: f64) -> Result<i64, ApiError> {
    if !limit.is_budget() || limit.of(&rule.limits).is_none() {
        return Err(ApiError::bad_request("invalid_body", "limit: a budget that the quota has"));
    }
    let units = if limit == Limit::CostPerMonth { by * 1e9 } else { by };
    if units.abs() > LARGEST || units.fract() != 0.0 && limit != Limit::CostPerMonth {
        return Err(ApiError::bad_request("invalid_body", "by: tokens, or an amount of money"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is in range, and rounded")]
    let units = units.round() as i64;
    Ok(units)
}

#[expect(clippy::cast_precision_loss, reason = "amounts of money are shown as numbers")]
fn limit(standing: Standing) -> Value {
    let Standing { limit, most, used, granted, until } = standing;
    let ends = i64::try_from(until).ok().filter(|until| *until > 0);
    let ends = ends.and_then(|until| Timestamp::from_second(until).ok());
    let left = i128::from(most).saturating_sub(used.into()).max(0);
    let show = |number: i128| match limit {
        Limit::CostPerMonth => json!(number as f64 / 1e9),
        Limit::Rpm | Limit::Tpm | Limit::Concurrency | Limit::TokensPerDay | Limit::TokensPerMonth => {
            json!(i64::try_from(number).unwrap_or(i64::MAX))
        }
    };
    json!({"limit": show(most.into()), "used": show(used.into()), "remaining": show(left),
        "granted": show(granted.into()), "ends_at": ends})
}

/// How many counters are shown.
const MOST_COUNTERS: usize = 1000;
const LONGEST: usize = 256;
const LARGEST: f64 = 1e18;
