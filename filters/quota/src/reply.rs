//! What is answered to a request that goes no further, and what is told beside an answer.

use std::borrow::Cow;

use weir_core::Reply;
use weir_schema::quota::{Limit, Rule};
use weir_wire::openai::{ApiError, ErrorKind};

use crate::counter::{Counter, Measure, Refusal, measure};
use crate::rule;

/// A limit is in the way. Of a limit that others share, only its size is told.
pub(crate) fn refused(rule: &Rule, refusal: Refusal) -> Reply {
    let Refusal { limit, wanted, retry_secs, .. } = refusal;
    let (kind, code) = match measure(limit) {
        Measure::Requests => (ErrorKind::Requests, "rate_limit_exceeded"),
        Measure::Tokens => (ErrorKind::Tokens, "rate_limit_exceeded"),
        Measure::Budget => (ErrorKind::InsufficientQuota, "insufficient_quota"),
    };
    let most = amount(limit, refusal.most);
    let wanted = match limit {
        Limit::Rpm | Limit::Concurrency => String::new(),
        Limit::Tpm | Limit::TokensPerDay | Limit::TokensPerMonth | Limit::CostPerMonth => {
            format!(", requested about {}", amount(limit, wanted))
        }
    };
    let advice = match (measure(limit), retry_secs) {
        (_, None) => "The request alone is more than that.".into(),
        (Measure::Budget, Some(_)) => "The budget is spent until the period ends.".into(),
        (Measure::Requests | Measure::Tokens, Some(secs)) => format!("Try again in {secs}s."),
    };
    let message = format!("Limit {} of `{}` reached: {most}{wanted}. {advice}", limit.as_str(), rule.name);
    let error = ApiError { status: 429, kind, code: Some(code), message: Cow::Owned(message), param: None };
    let reply = Reply::json(429, format!("weir_quota_{}", limit.as_str()), error.to_body());
    match retry_secs {
        Some(secs) if measure(limit) != Measure::Budget => reply
            .with_header("retry-after", secs.to_string())
            .with_header("retry-after-ms", secs.saturating_mul(1000).to_string()),
        Some(secs) => {
            reply.with_header("retry-after", secs.to_string()).with_header("x-should-retry", "false")
        }
        None => reply.with_header("x-should-retry", "false"),
    }
}

/// The counters cannot be used, so nobody knows what is left.
pub(crate) fn unknown() -> Reply {
    const ERROR: ApiError = ApiError {
        status: 503,
        kind: ErrorKind::Server,
        code: Some("quota_unavailable"),
        message: Cow::Borrowed("The quota cannot be checked at the moment. Try again."),
        param: None,
    };
    Reply::json(503, "weir_quota_unavailable", ERROR.to_body()).with_header("retry-after", "1")
}

/// The header fields that tell what is left, as OpenAI has them: of several rules the one that leaves least.
pub(crate) fn left(standings: &[(&Rule, Counter)], now: u64) -> Vec<(&'static str, String)> {
    let told = standings.iter().filter(|(rule, _)| rule::is_own(rule) && !rule.shadow);
    let mut fields = Vec::new();
    for (limit, [most_name, left_name, reset_name]) in [(Limit::Rpm, REQUESTS), (Limit::Tpm, TOKENS)] {
        let each = told.clone().filter_map(|(rule, counter)| {
            let most = limit.of(&rule.limits)?;
            Some((most.saturating_sub(counter.used_by_all(limit)), most, counter.reset_secs(now)))
        });
        if let Some((left, most, reset)) = each.min() {
            fields.push((most_name, most.to_string()));
            fields.push((left_name, left.to_string()));
            fields.push((reset_name, format!("{reset}s")));
        }
    }
    fields
}

/// The limits of a rule that are used up to the share from which on it warns, each with that share in percent.
pub(crate) fn warnings(rule: &Rule, counter: &Counter) -> Vec<String> {
    let Some(at) = rule.warn_at_percent else { return Vec::new() };
    let share = |limit: Limit| {
        let used = u128::from(counter.used_by_all(limit)).saturating_mul(100);
        let share = used.checked_div(limit.of(&rule.limits)?.into())?;
        (share >= at.into()).then(|| format!("{} {} {share}%", rule.name, limit.as_str()))
    };
    Limit::ALL.into_iter().filter_map(share).collect()
}

fn amount(limit: Limit, number: u64) -> String {
    match limit {
        Limit::CostPerMonth => {
            let (whole, rest) = (number / NANOS, number % NANOS);
            let text = format!("{whole}.{rest:09}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Limit::Rpm | Limit::Tpm | Limit::Concurrency | Limit::TokensPerDay | Limit::TokensPerMonth => {
            number.to_string()
        }
    }
}

const NANOS: u64 = 1_000_000_000;
const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
