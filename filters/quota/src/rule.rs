//! The rules of a configuration: which ones a request falls under, and what it takes from each.

use weir_core::Cx;
use weir_schema::ledger::CounterName;
use weir_schema::quota::{Config, Dimension, Prices, Route, Rule};
use weir_schema::state::{self, Forward, Usage};

use crate::counter::Load;
use crate::estimate::Estimate;

/// Who asks, for what: as much of it as the rules want to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    domain: Option<String>,
    consumer: Option<String>,
    key: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) route: Option<String>,
    provider: Option<String>,
    /// The clusters that it may be sent to, in order, where a rule wants to know.
    pub(crate) targets: Vec<String>,
    pub(crate) mcp_server: Option<String>,
    tool: Option<String>,
}

/// A rule wants to know who is calling, and no filter has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unidentified;

impl Caller {
    pub(crate) fn read(cx: &Cx<'_>, config: &Config) -> Self {
        let state = |key| cx.state(key).and_then(|value| String::from_utf8(value).ok());
        let wanted = |dimension, listed: fn(&Rule) -> bool| {
            config.rules.iter().any(|rule| rule.per.contains(&dimension) || listed(rule))
        };
        let route = state(state::ROUTE);
        let known = route.as_deref().and_then(|route| find(config, route));
        Self {
            domain: wanted(Dimension::Domain, |rule| !rule.selector.domains.is_empty())
                .then(|| state(state::DOMAIN))
                .flatten(),
            consumer: wanted(Dimension::Consumer, |rule| rule.selector.consumers.is_some())
                .then(|| state(state::CONSUMER))
                .flatten(),
            key: wanted(Dimension::Key, |rule| !rule.selector.keys.is_empty())
                .then(|| state(state::KEY_ID))
                .flatten(),
            provider: known.and_then(|route| route.provider.as_ref()).map(ToString::to_string),
            model: state(state::MODEL),
            route,
            targets: targets(cx, config),
            mcp_server: None,
            tool: None,
        }
    }

    /// The same at one of its targets.
    pub(crate) fn at(&self, cluster: &str) -> Self {
        let provider = state::provider_of(cluster).to_owned();
        Self { provider: Some(provider), targets: Vec::new(), ..self.clone() }
    }

    /// What a request asks of an MCP server, if it is to one. False: nothing that counts.
    pub(crate) fn read_mcp(&mut self, cx: &Cx<'_>) -> bool {
        let state = |key| cx.state(key).and_then(|value| String::from_utf8(value).ok());
        self.mcp_server = state(state::MCP_SERVER);
        if self.mcp_server.is_none() {
            return true;
        }
        // Of several calls in one request the server makes none but the first.
        let first = state(state::MCP_TOOL).map(|tools| tools.lines().next().unwrap_or_default().to_owned());
        self.tool = first;
        self.tool.is_some()
    }
}

fn targets(cx: &Cx<'_>, config: &Config) -> Vec<String> {
    if !config.rules.iter().any(is_of_providers) {
        return Vec::new();
    }
    let forward = cx.state(state::FORWARD).and_then(|forward| Forward::parse(&forward));
    let targets = forward.map(|forward| forward.targets).unwrap_or_default();
    targets.into_iter().map(|lead| lead.cluster).collect()
}

/// Whether a rule counts, or is for, providers one by one.
pub(crate) fn is_of_providers(rule: &Rule) -> bool {
    rule.per.contains(&Dimension::Provider) || !rule.selector.providers.is_empty()
}

/// Whether a rule is for this caller at any of its targets.
pub(crate) fn applies_anywhere(rule: &Rule, caller: &Caller) -> Result<bool, Unidentified> {
    if caller.targets.is_empty() || !is_of_providers(rule) {
        return applies(rule, caller);
    }
    caller.targets.iter().try_fold(false, |any, cluster| Ok(any || applies(rule, &caller.at(cluster))?))
}

/// Whether a rule is for this caller.
pub(crate) fn applies(rule: &Rule, caller: &Caller) -> Result<bool, Unidentified> {
    let selector = &rule.selector;
    let identity = |wanted: bool, value: &Option<String>, fits: &dyn Fn(&str) -> bool| match value {
        _ if !wanted => Ok(true),
        Some(value) => Ok(fits(value)),
        None => Err(Unidentified),
    };
    let among = |names: &std::collections::BTreeSet<weir_schema::Name>, value: &str| {
        names.iter().any(|name| name.as_str() == value)
    };
    let model = |wanted: bool, value: &Option<String>, fits: &dyn Fn(&str) -> bool| {
        !wanted || value.as_deref().is_some_and(fits)
    };
    let consumers = selector.consumers.as_ref();
    Ok(model(!selector.models.is_empty(), &caller.model, &|model| {
        selector.models.iter().any(|pattern| pattern.matches(model))
    }) && model(!selector.routes.is_empty(), &caller.route, &|route| among(&selector.routes, route))
        && model(!selector.mcp_servers.is_empty(), &caller.mcp_server, &|name| {
            among(&selector.mcp_servers, name)
        })
        && model(!selector.tools.is_empty(), &caller.tool, &|tool| {
            selector.tools.iter().any(|pattern| pattern.matches(tool))
        })
        && model(!selector.providers.is_empty(), &caller.provider, &|name| among(&selector.providers, name))
        && identity(!selector.domains.is_empty(), &caller.domain, &|name| among(&selector.domains, name))?
        && identity(consumers.is_some(), &caller.consumer, &|name| {
            consumers.is_some_and(|names| among(names, name))
        })?
        && identity(!selector.keys.is_empty(), &caller.key, &|name| among(&selector.keys, name))?)
}

/// The counter that a rule has for this caller.
pub(crate) fn counter(rule: &Rule, caller: &Caller) -> Result<CounterName, Unidentified> {
    let value = |dimension: &Dimension| {
        let value = match dimension {
            Dimension::Domain => Some(caller.domain.as_deref().ok_or(Unidentified)?),
            Dimension::Consumer => Some(caller.consumer.as_deref().ok_or(Unidentified)?),
            Dimension::Key => Some(caller.key.as_deref().ok_or(Unidentified)?),
            Dimension::Model => caller.route.as_deref().or(caller.model.as_deref()),
            Dimension::Provider => caller.provider.as_deref(),
            Dimension::McpServer => caller.mcp_server.as_deref(),
            Dimension::Tool => caller.tool.as_deref(),
        };
        Ok((*dimension, value.unwrap_or_default().to_owned()))
    };
    let per = rule.per.iter().map(value).collect::<Result<_, _>>()?;
    Ok(CounterName { rule: rule.name.clone(), per })
}

/// Whether what a rule counts is the caller's own, or its tenant's, and may be told.
pub(crate) fn is_own(rule: &Rule) -> bool {
    [Dimension::Domain, Dimension::Consumer, Dimension::Key].iter().any(|own| rule.per.contains(own))
}

/// What a request reserves under a rule: what is expected, but of the answer no more than the rule can hold.
pub(crate) fn expected(rule: &Rule, prices: Option<&Prices>, estimate: Estimate) -> Load {
    let limits = &rule.limits;
    let tokens = [limits.tpm, limits.tokens_per_day, limits.tokens_per_month].into_iter().flatten().min();
    let Estimate { input, output, .. } = estimate;
    let room = tokens.unwrap_or(u64::MAX).saturating_sub(input);
    let prompt = cost(prices, &Usage { input, ..Usage::default() });
    let whole = cost(prices, &Usage { input, output, ..Usage::default() });
    let money = limits.cost_per_month.map_or(u64::MAX, weir_schema::Amount::nanos);
    Load { requests: 1, tokens: input.saturating_add(output.min(room)), cost: whole.min(money.max(prompt)) }
}

/// What a request has used.
pub(crate) fn used(prices: Option<&Prices>, usage: &Usage) -> Load {
    Load { requests: 1, tokens: usage.input.saturating_add(usage.output), cost: cost(prices, usage) }
}

/// The prices of a route.
pub(crate) fn prices<'a>(config: &'a Config, caller: &Caller) -> Option<&'a Prices> {
    caller.route.as_deref().and_then(|route| find(config, route)).and_then(|route| route.prices.as_ref())
}

/// What the caller's model writes prompts as.
#[cfg(feature = "exact")]
pub(crate) fn encoding(config: &Config, caller: &Caller) -> weir_schema::quota::Encoding {
    let known =
        caller.route.as_deref().and_then(|route| find(config, route)).and_then(|route| route.encoding);
    let model = caller.model.as_deref().unwrap_or_default();
    known.unwrap_or_else(|| weir_schema::quota::Encoding::of(model))
}

fn find<'a>(config: &'a Config, route: &str) -> Option<&'a Route> {
    let name = weir_schema::Name::try_from(route.to_owned()).ok()?;
    config.routes.get(&name)
}

fn cost(prices: Option<&Prices>, usage: &Usage) -> u64 {
    prices.map_or(0, |prices| prices.cost(usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        serde_json::from_str(text).unwrap()
    }

    fn caller() -> Caller {
        let some = |text: &str| Some(text.to_owned());
        Caller {
            domain: some("video"),
            consumer: some("team"),
            key: some("team-1"),
            model: some("gpt-4o"),
            route: some("video//gpt-4o"),
            provider: some("openai"),
            targets: Vec::new(),
            mcp_server: some("logs"),
            tool: some("query-logs"),
        }
    }

    #[test]
    fn a_rule_is_for_those_who_fit_all_of_its_lists() {
        for (selector, expected) in [
            (r"{}", true),
            (r#"{"domains":["video"],"models":["x","gpt-*"]}"#, true),
            (r#"{"domains":["video"],"models":["x"]}"#, false),
            (r#"{"consumers":["team","other"]}"#, true),
            (r#"{"consumers":[]}"#, false),
            (r#"{"keys":["team-2"]}"#, false),
            (r#"{"routes":["video//gpt-4o"],"providers":["openai"]}"#, true),
            (r#"{"providers":["idc"]}"#, false),
            (r#"{"mcp_servers":["logs"],"tools":["query-*"]}"#, true),
            (r#"{"mcp_servers":["other"]}"#, false),
            (r#"{"tools":["delete-*"]}"#, false),
        ] {
            let rule = rule(&format!(r#"{{"name":"r","match":{selector},"limits":{{}}}}"#));
            assert_eq!(applies(&rule, &caller()), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn a_rule_about_callers_meets_nobody_unidentified() {
        let nobody = Caller::default();
        for selector in [r#"{"domains":["video"]}"#, r#"{"consumers":["team"]}"#, r#"{"keys":["team-1"]}"#] {
            let rule = rule(&format!(r#"{{"name":"r","match":{selector},"limits":{{}}}}"#));
            assert_eq!(applies(&rule, &nobody), Err(Unidentified), "{selector}");
        }
        for per in ["domain", "consumer", "key"] {
            let rule = rule(&format!(r#"{{"name":"r","per":["{per}"],"limits":{{}}}}"#));
            assert_eq!(counter(&rule, &nobody), Err(Unidentified), "{per}");
        }
        let anyone = rule(r#"{"name":"r","per":["model"],"match":{"models":["gpt-*"]},"limits":{}}"#);
        assert_eq!(applies(&anyone, &nobody), Ok(false));
    }

    #[test]
    fn requests_are_told_apart_by_what_the_rule_says() {
        let other = Caller { key: Some("team-2".into()), ..caller() };
        let same = |per: &str| {
            let rule = rule(&format!(r#"{{"name":"r","per":{per},"limits":{{}}}}"#));
            counter(&rule, &caller()) == counter(&rule, &other)
        };
        assert!(same("[]") && same(r#"["consumer","model"]"#) && !same(r#"["consumer","key"]"#));
    }

    #[test]
    fn an_answer_reserves_no_more_than_its_rule_can_hold() {
        let rule =
            rule(r#"{"name":"r","limits":{"tpm":100,"tokens_per_day":500,"cost_per_month":0.000001}}"#);
        let prices: Prices = serde_json::from_str(r#"{"input":0.15,"output":0.6}"#).unwrap();
        let load = |input, output| {
            let Load { tokens, cost, .. } =
                expected(&rule, Some(&prices), Estimate { weight: 0, input, output });
            (tokens, cost)
        };
        assert_eq!(load(2, 1), (3, 900));
        assert_eq!(load(5, 400), (100, 1000));
        assert_eq!(load(150, 400), (150, 22_500));
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let prices: Prices =
            serde_json::from_str(r#"{"per":1000,"input":2,"cached_input":0.5,"output":8}"#).unwrap();
        let usage = Usage { input: 100, output: 10, cached_input: 60, ..Usage::default() };
        let million = 1_000_000;
        assert_eq!(cost(Some(&prices), &usage), 80 * million + 30 * million + 80 * million);
        assert_eq!(cost(None, &usage), 0);
    }
}
