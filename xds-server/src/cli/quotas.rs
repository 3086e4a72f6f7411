//! `weir quotas`: what quotas have come to, and correcting that.

use std::{io::Write, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::{
    Failure,
    remote::{Named, Output, Remote, table, text},
};
use crate::client::segment;

/// What is done to quotas.
#[derive(Debug, Subcommand)]
pub(super) enum Quotas {
    /// Show each counter of a quota: what is used, and what is left
    State(State),
    /// Count so much more, or less, of a budget as used
    Adjust(Adjust),
    /// Let the budgets of a counter begin anew
    Reset(Reset),
}

/// `weir quotas state`
#[derive(Debug, Args)]
pub(super) struct State {
    #[command(flatten)]
    named: Named,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// `weir quotas adjust`
#[derive(Debug, Args)]
pub(super) struct Adjust {
    #[command(flatten)]
    counter: Counter,
    /// The budget, such as tokens_per_month
    #[arg(long, value_name = "NAME")]
    limit: String,
    /// By how much: tokens or money, below 0 for less
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    by: f64,
}

/// `weir quotas reset`
#[derive(Debug, Args)]
pub(super) struct Reset {
    #[command(flatten)]
    counter: Counter,
    /// One budget only, such as tokens_per_month
    #[arg(long, value_name = "NAME")]
    limit: Option<String>,
}

/// A counter of a quota.
#[derive(Debug, Args)]
struct Counter {
    /// The quota's name
    name: String,
    /// What the quota tells apart, such as consumer=team; as often as it needs
    #[arg(long = "per", value_name = "NAME=VALUE", value_parser = per)]
    per: Vec<(String, String)>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

impl Quotas {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self {
            Self::State(State { named: Named { name, remote }, output }) => {
                let path = format!("/v1/quotas/{}/state", segment(&name));
                let answer = remote.ask(async |api| api.get(&path).await)?;
                let counters = answer.get("counters").and_then(Value::as_array);
                show(&answer, counters.map(Vec::as_slice).unwrap_or_default(), output, out)?;
            }
            Self::Adjust(Adjust { counter, limit, by }) => {
                let by = serde_json::from_str::<Value>(&by.to_string())?;
                counter.correct("adjust", [("limit", limit.into()), ("by", by)], out)?;
            }
            Self::Reset(Reset { counter, limit }) => {
                counter.correct("reset", limit.map(|limit| ("limit", limit.into())), out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Counter {
    fn correct(
        self,
        action: &str,
        more: impl IntoIterator<Item = (&'static str, Value)>,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let per: Map<_, _> = self.per.into_iter().map(|(name, value)| (name, value.into())).collect();
        let body = [("per", Value::Object(per))].into_iter().chain(more);
        let body: Map<_, _> = body.map(|(name, value)| (name.to_owned(), value)).collect();
        let path = format!("/v1/quotas/{}/{action}", segment(&self.name));
        let answer = self.remote.ask(async |api| api.send(Method::POST, &path, &body.into()).await)?;
        Ok(show(&answer, std::slice::from_ref(&answer), self.output, out)?)
    }
}

/// The counters of an answer, a line for each of their limits.
fn show(answer: &Value, counters: &[Value], output: Output, out: &mut impl Write) -> std::io::Result<()> {
    if output == Output::Json {
        return writeln!(out, "{answer:#}");
    }
    let members = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let rows = counters.iter().flat_map(|counter| {
        let per = members(counter.get("per"));
        let per = per.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
        let per = Some(per.collect::<Vec<_>>().join(",")).filter(|per| !per.is_empty());
        members(counter.get("limits")).into_iter().map(move |(limit, of)| {
            let number = |name: &str| of.get(name).map(Value::to_string).unwrap_or_default();
            let numbers = ["used", "limit", "remaining", "granted"].map(number);
            let [used, most, remaining, granted] = numbers;
            let ends = text(&of, "ends_at").to_owned();
            vec![per.clone().unwrap_or_else(|| "-".into()), limit, used, most, remaining, granted, ends]
        })
    });
    table(out, &["PER", "LIMIT", "USED", "OF", "REMAINING", "GRANTED", "ENDS"], rows.collect())
}

fn per(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE, such as consumer=team")?;
    Ok((name.to_owned(), value.to_owned()))
}
