//! One request, as its usage record tells it.

use std::collections::HashMap;

use weir_schema::{
    quota::{Prices, Route},
    state::{Usage, UsageSource},
};

/// What one request was, and what it used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The second in which it began.
    pub at: i64,
    /// What it is told apart by.
    pub of: Dimensions,
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// Its tokens.
    pub usage: Usage,
    /// What they cost, in thousand-millionths.
    pub cost: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// How long it took to the first token.
    pub first_token_ms: Option<u64>,
}

/// What requests are told apart by; empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dimensions {
    /// The name of the Envoys.
    pub gateway: String,
    /// The tenant.
    pub domain: String,
    /// Who called.
    pub consumer: String,
    /// With which key.
    pub key: String,
    /// Who answered.
    pub provider: String,
    /// What was asked for.
    pub model: String,
    /// What that is called by who answered.
    pub upstream_model: String,
    /// How the tokens are known.
    pub source: String,
}

impl Dimensions {
    /// Them all, in the order of [`super::database::COLUMNS`].
    pub fn values(&self) -> [&str; 8] {
        let Self { gateway, domain, consumer, key, provider, model, upstream_model, source } = self;
        [gateway, domain, consumer, key, provider, model, upstream_model, source]
    }
}

/// The tags of a record, each with the format in which Envoy writes it.
pub const TAGS: [(&str, &str); 16] = [
    ("at", "%START_TIME(%s)%"),
    ("status", "%RESPONSE_CODE%"),
    ("duration_ms", "%DURATION%"),
    ("provider", "%METADATA(CLUSTER:weir:provider)%"),
    ("domain", "%FILTER_STATE(wasm.weir.domain:PLAIN)%"),
    ("consumer", "%FILTER_STATE(wasm.weir.consumer:PLAIN)%"),
    ("key", "%FILTER_STATE(wasm.weir.key_id:PLAIN)%"),
    ("model", "%FILTER_STATE(wasm.weir.model:PLAIN)%"),
    ("route", "%FILTER_STATE(wasm.weir.route:PLAIN)%"),
    ("upstream_model", "%FILTER_STATE(wasm.weir.upstream_model:PLAIN)%"),
    ("input", "%FILTER_STATE(wasm.weir.input_tokens:PLAIN)%"),
    ("output", "%FILTER_STATE(wasm.weir.output_tokens:PLAIN)%"),
    ("cached_input", "%FILTER_STATE(wasm.weir.cached_input_tokens:PLAIN)%"),
    ("reasoning", "%FILTER_STATE(wasm.weir.reasoning_tokens:PLAIN)%"),
    ("source", "%FILTER_STATE(wasm.weir.usage_source:PLAIN)%"),
    ("first_token_ms", "%FILTER_STATE(wasm.weir.first_token_ms:PLAIN)%"),
];

impl Record {
    /// The record that has these tags, if it is of a request that has been identified or served.
    pub fn read<'a>(
        gateway: &str,
        tags: &HashMap<String, String>,
        route: impl FnOnce(&str) -> Option<&'a Route>,
    ) -> Option<Self> {
        let text = |name: &str| {
            let value = tags.get(name).map(String::as_str).filter(|value| *value != "-");
            value.unwrap_or_default().chars().take(LONGEST_NAME).collect::<String>()
        };
        let number = |name: &str| tags.get(name).and_then(|value| value.parse::<u64>().ok());
        let of = Dimensions {
            gateway: gateway.into(),
            domain: text("domain"),
            consumer: text("consumer"),
            key: text("key"),
            provider: text("provider"),
            model: text("model"),
            upstream_model: text("upstream_model"),
            source: text("source"),
        };
        if of.consumer.is_empty() && of.provider.is_empty() {
            return None;
        }
        let tokens = |name: &str| number(name).unwrap_or(0);
        let usage = Usage {
            input: tokens("input"),
            output: tokens("output"),
            cached_input: tokens("cached_input"),
            reasoning: tokens("reasoning"),
            source: UsageSource::default(),
        };
        let prices = route(&text("route")).and_then(|route| route.prices);
        Some(Self {
            at: number("at").and_then(|at| at.try_into().ok()).unwrap_or(0),
            of,
            status: number("status").and_then(|status| status.try_into().ok()).unwrap_or(0),
            usage,
            cost: prices.map_or(0, |prices: Prices| prices.cost(&usage)),
            duration_ms: tokens("duration_ms"),
            first_token_ms: number("first_token_ms"),
        })
    }
}

/// A client may ask for a model of any name.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_its_tags() {
        let tags = [
            ("at", "1700000000"),
            ("status", "200"),
            ("duration_ms", "1200"),
            ("provider", "near"),
            ("consumer", "team"),
            ("domain", "-"),
            ("model", "chat"),
            ("route", "chat"),
            ("input", "1000"),
            ("output", "10"),
            ("source", "upstream"),
            ("first_token_ms", "-"),
        ];
        let tags: HashMap<_, _> =
            tags.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let route: Route = serde_json::from_str(r#"{"prices":{"input":2,"output":8}}"#).unwrap();
        let record = Record::read("edge", &tags, |name| (name == "chat").then_some(&route)).unwrap();
        let of = Dimensions {
            gateway: "edge".into(),
            consumer: "team".into(),
            provider: "near".into(),
            model: "chat".into(),
            source: "upstream".into(),
            ..Dimensions::default()
        };
        let usage = Usage { input: 1000, output: 10, ..Usage::default() };
        let expected = Record {
            at: 1_700_000_000,
            of,
            status: 200,
            usage,
            cost: 2_080_000,
            duration_ms: 1200,
            first_token_ms: None,
        };
        assert_eq!(record, expected);
        assert_eq!(Record::read("edge", &HashMap::new(), |_| None), None);
    }
}
