//! One answer of what several servers have said.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_wire::jsonrpc::RpcError;

use super::name;
use crate::catalog::Served;
use crate::version::Version;

/// Something that servers list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// What a server has said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// The result, without the items of a list.
    pub(super) result: Map<String, Value>,
    /// The items of all pages.
    pub(super) items: Vec<Value>,
}

/// The offers of servers by their names, in the order of the configuration.
type Offers<'a> = Vec<(&'a str, Offer)>;

impl List {
    pub(super) fn of(method: &str) -> Option<Self> {
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates]
            .into_iter()
            .find(|list| list.method() == method)
    }

    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that has the items.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that a client names it by.
    fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    fn outer(self, server: &str, known_as: &str) -> String {
        match self {
            Self::Tools | Self::Prompts => name::outer(server, known_as),
            Self::Resources | Self::Templates => name::outer_uri(server, known_as),
        }
    }
}

/// The list of all, without the tools that a caller may not use.
pub(super) fn list(
    served: &Served,
    list: List,
    version: Version,
    offers: Offers<'_>,
    missing: &[&str],
    may_use: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, RpcError> {
    if offers.is_empty() {
        return Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "this method is not served"));
    }
    let kept = if missing.is_empty() { LONGEST_TTL_MS } else { MISSING_TTL_MS };
    let ttl = offers.iter().filter_map(|(_, offer)| offer.result.get("ttlMs")?.as_u64()).fold(kept, u64::min);
    let mut all = Vec::new();
    for (server, offer) in offers {
        for mut item in offer.items {
            let Some(known_as) = item.get(list.key()).and_then(Value::as_str) else { continue };
            let outer = list.outer(server, known_as);
            if list == List::Tools && !may_use(&outer) {
                continue;
            }
            if let Some(member) = item.get_mut(list.key()) {
                *member = outer.into();
            }
            all.push(item);
        }
    }
    let mut result = Map::from_iter([(list.member().to_owned(), Value::Array(all))]);
    if version.is_modern() {
        cached(&mut result, ttl);
    }
    told(&mut result, served, version, missing);
    Ok(result)
}

/// What is served, to clients that begin no session: revisions that all servers speak.
pub(super) fn discovered(served: &Served, offers: &Offers<'_>, missing: &[&str]) -> Map<String, Value> {
    let speaks = |offer: &Offer, version: Version| {
        let said = offer.result.get("supportedVersions").and_then(Value::as_array);
        said.into_iter().flatten().any(|said| said.as_str() == Some(version.as_str()))
    };
    let all =
        Version::ALL.into_iter().filter(|version| offers.iter().all(|(_, offer)| speaks(offer, *version)));
    let mut result = Map::new();
    result.insert("supportedVersions".into(), all.map(Version::as_str).collect::<Vec<_>>().into());
    describe(&mut result, offers);
    cached(&mut result, if missing.is_empty() { LONGEST_TTL_MS } else { MISSING_TTL_MS });
    told(&mut result, served, Version::V2026_07_28, missing);
    result
}

/// The beginning of a session: its revision is the oldest that a server has chosen.
pub(super) fn begun(
    served: &Served,
    version: Version,
    offers: &Offers<'_>,
    missing: &[&str],
) -> Map<String, Value> {
    let chosen = |offer: &Offer| Version::parse(offer.result.get("protocolVersion")?.as_str()?);
    let version = offers.iter().filter_map(|(_, offer)| chosen(offer)).fold(version, Version::min);
    let mut result = Map::new();
    result.insert("protocolVersion".into(), version.as_str().into());
    describe(&mut result, offers);
    result.insert("serverInfo".into(), info(served));
    told(&mut result, served, version, missing);
    result
}

/// Nothing can be said of any server.
pub(super) fn nobody() -> RpcError {
    RpcError::new(RpcError::INTERNAL, "none of the servers behind this one answers")
}

/// What is offered at all, and how a model should use it. Of changes nobody tells.
fn describe(result: &mut Map<String, Value>, offers: &Offers<'_>) {
    let has = |name: &str| {
        let of = |offer: &Offer| offer.result.get("capabilities").and_then(|all| all.get(name)).is_some();
        offers.iter().any(|(_, offer)| of(offer))
    };
    let quiet = [
        ("tools", json!({"listChanged": false})),
        ("resources", json!({"subscribe": false, "listChanged": false})),
        ("prompts", json!({"listChanged": false})),
        ("completions", json!({})),
    ];
    let offered: Map<_, _> =
        quiet.into_iter().filter(|(name, _)| has(name)).map(|(name, how)| (name.to_owned(), how)).collect();
    result.insert("capabilities".into(), offered.into());
    let instructions = |(server, offer): &(&str, Offer)| {
        let said = offer.result.get("instructions")?.as_str()?;
        Some(format!("{server}: {said}"))
    };
    let instructions: Vec<_> = offers.iter().filter_map(instructions).collect();
    if !instructions.is_empty() {
        result.insert("instructions".into(), instructions.join("\n\n").into());
    }
}

/// What every result has, and who is missing.
fn told(result: &mut Map<String, Value>, served: &Served, version: Version, missing: &[&str]) {
    let mut meta = Map::new();
    if version.is_modern() {
        result.insert("resultType".into(), "complete".into());
        meta.insert(crate::era::SERVER_INFO.into(), info(served));
    }
    if !missing.is_empty() {
        meta.insert(MISSING.into(), missing.into());
    }
    if !meta.is_empty() {
        result.insert("_meta".into(), meta.into());
    }
}

fn info(served: &Served) -> Value {
    json!({"name": served.name.as_str(), "version": "1.0.0"})
}

fn cached(result: &mut Map<String, Value>, ttl_ms: u64) {
    result.insert("ttlMs".into(), ttl_ms.into());
    result.insert("cacheScope".into(), "private".into());
}

/// The servers that have not answered.
const MISSING: &str = "weir/unavailable";
const LONGEST_TTL_MS: u64 = 60_000;
/// How long a list may be kept that is not whole.
const MISSING_TTL_MS: u64 = 5_000;
