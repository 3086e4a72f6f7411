//! What was used, and what was done by hand, over HTTP.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query as Params, State},
    http::request::Parts,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::{Admin, error::ApiError, operation::Operation, request::By};
use crate::{
    access::Role,
    records::database::{Bucket, COLUMNS, Question, Records},
};

/// `GET /v1/usage`
pub(super) async fn usage(
    by: By,
    State(admin): State<Arc<Admin>>,
    parts: Parts,
) -> Result<Json<Value>, ApiError> {
    let role = by.may(Operation::Usage)?;
    let mut question = question(&parts, Timestamp::now().as_second())?;
    if let Role::Provider(own) = role {
        question.only.push(("provider", own.to_string()));
    }
    let most = question.most;
    // One more than is shown says whether there are more.
    let question = Question { most: most.saturating_add(1), ..question };
    let records = records(&admin)?;
    let mut rows = block_in_place(|| records.usage(&question)).map_err(failed)?;
    let truncated = rows.len() > most;
    rows.truncate(most);
    Ok(Json(json!({"usage": rows, "truncated": truncated})))
}

/// `GET /v1/audit`
pub(super) async fn audit(
    by: By,
    State(admin): State<Arc<Admin>>,
    parts: Parts,
) -> Result<Json<Value>, ApiError> {
    by.may(Operation::Audit)?;
    let mut most = ROWS;
    for (name, value) in params(&parts)? {
        match name.as_str() {
            "limit" => most = limit(&value)?,
            other => return Err(refuse(other, "no parameter of this list")),
        }
    }
    let records = records(&admin)?;
    let entries = block_in_place(|| records.audit(most)).map_err(failed)?;
    Ok(Json(json!({"entries": entries})))
}

pub(super) fn records(admin: &Admin) -> Result<&Records, ApiError> {
    admin.records.as_ref().ok_or_else(ApiError::no_ledger)
}

pub(super) fn failed(problem: impl std::fmt::Display) -> ApiError {
    ApiError::ledger_failed(problem.to_string())
}

fn question(parts: &Parts, now: i64) -> Result<Question, ApiError> {
    let mut question = Question {
        from: now.saturating_sub(DAY),
        to: now.saturating_add(60),
        bucket: Bucket::Hour,
        by: Vec::new(),
        only: Vec::new(),
        most: ROWS,
    };
    let time = |name: &str, value: &str| {
        let time: Result<Timestamp, _> = value.parse();
        time.map(Timestamp::as_second).map_err(|_| refuse(name, "a time such as 2026-11-01T00:00:00Z"))
    };
    for (name, value) in params(parts)? {
        match name.as_str() {
            "from" => question.from = time("from", &value)?,
            "to" => question.to = time("to", &value)?,
            "bucket" => {
                question.bucket = match value.as_str() {
                    "minute" => Bucket::Minute,
                    "hour" => Bucket::Hour,
                    "day" => Bucket::Day,
                    _ => return Err(refuse("bucket", "minute, hour or day")),
                }
            }
            "by" => {
                for name in value.split(',') {
                    let column =
                        column(name).ok_or_else(|| refuse("by", "some of the dimensions, with commas"))?;
                    if !question.by.contains(&column) {
                        question.by.push(column);
                    }
                }
            }
            "limit" => question.most = limit(&value)?,
            other => {
                let column = column(other).ok_or_else(|| refuse(other, "no parameter of this list"))?;
                question.only.push((column, value));
            }
        }
    }
    Ok(question)
}

fn column(name: &str) -> Option<&'static str> {
    COLUMNS.into_iter().find(|column| *column == name)
}

fn limit(value: &str) -> Result<usize, ApiError> {
    let limit = value.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit));
    limit.ok_or_else(|| refuse("limit", "a number from 1 to 10000"))
}

fn params(parts: &Parts) -> Result<Vec<(String, String)>, ApiError> {
    let params = Params::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    params.map(|Params(params)| params).map_err(|_| refuse("the query", "it is not name=value&..."))
}

fn refuse(name: &str, rule: &str) -> ApiError {
    ApiError::bad_request("invalid_query", format!("{name}: {rule}"))
}

const DAY: i64 = 86_400;
/// How many rows an answer has unless it is asked for another number.
pub(super) const ROWS: usize = 1000;
/// How many rows an answer can be asked for.
pub(super) const MOST_ROWS: usize = 10_000;
