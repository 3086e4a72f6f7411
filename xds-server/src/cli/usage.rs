//! `weir usage`: what was used, by whom.

use std::{io::Write, process::ExitCode};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Failure,
    remote::{Output, Remote, table, text},
};
use crate::{client::segment, model::Span, records::database::COLUMNS};

/// `weir usage`
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// From when on: a time such as 2026-11-01T00:00:00Z, or how long ago, such as 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    since: Timestamp,
    /// Up to when, without it. Default now
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// What a row is of
    #[arg(long, value_enum, default_value = "day")]
    bucket: Bucket,
    /// What rows are told apart by, with commas between
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = COLUMNS)]
    by: Vec<String>,
    /// What is counted only, such as consumer=team; as often as needed
    #[arg(long = "only", value_name = "NAME=VALUE", value_parser = only)]
    only: Vec<(String, String)>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bucket {
    /// A minute, of the last two days
    Minute,
    /// An hour
    Hour,
    /// A day in UTC
    Day,
}

impl Usage {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let path = self.path();
        let answer = self.remote.ask(async |api| api.get(&path).await)?;
        if self.output == Output::Json {
            writeln!(out, "{answer:#}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let heads = ["requests", "errors", "input", "output", "cached", "reasoning", "cost"];
        let heads = ["time"].into_iter().chain(self.by.iter().map(String::as_str)).chain(heads);
        let heads: Vec<_> = heads.map(str::to_uppercase).collect();
        let rows = answer.get("usage").and_then(Value::as_array).into_iter().flatten();
        let rows = rows.map(|row| {
            let named = ["time"].into_iter().chain(self.by.iter().map(String::as_str));
            let named =
                named.map(|name| Some(text(row, name)).filter(|value| !value.is_empty()).unwrap_or("-"));
            let numbers = NUMBERS.map(|name| row.get(name).map(Value::to_string).unwrap_or_default());
            named.map(str::to_owned).chain(numbers).collect()
        });
        table(out, &heads.iter().map(String::as_str).collect::<Vec<_>>(), rows.collect())?;
        if answer.get("truncated").and_then(Value::as_bool).unwrap_or_default() {
            writeln!(out, "… and more: ask for less time, or for fewer of them with --only")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn path(&self) -> String {
        let bucket = match self.bucket {
            Bucket::Minute => "minute",
            Bucket::Hour => "hour",
            Bucket::Day => "day",
        };
        let mut path = format!("/v1/usage?limit={MOST_ROWS}&bucket={bucket}&from={}", self.since);
        path.extend(self.until.map(|until| format!("&to={until}")));
        path.extend((!self.by.is_empty()).then(|| format!("&by={}", self.by.join(","))));
        path.extend(self.only.iter().map(|(name, value)| format!("&{name}={}", segment(value))));
        path
    }
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    let ago = |span: Span| Timestamp::now().checked_sub(span.duration()).ok();
    let time = text.parse().ok().or_else(|| Span::try_from(text.to_owned()).ok().and_then(ago));
    time.ok_or_else(|| "neither a time such as 2026-11-01T00:00:00Z nor a while such as 24h".into())
}

fn only(text: &str) -> Result<(String, String), String> {
    let known = text.split_once('=').filter(|(name, _)| COLUMNS.contains(name));
    let (name, value) =
        known.ok_or_else(|| format!("NAME=VALUE, where NAME is one of {}", COLUMNS.join(", ")))?;
    Ok((name.to_owned(), value.to_owned()))
}

const NUMBERS: [&str; 7] = [
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cost",
];
const MOST_ROWS: usize = 10_000;
