//! Names of the filter state that filters publish for each other, for access logs and for CEL.
//!
//! Envoy puts `wasm.` before each name: an access log reads `%FILTER_STATE(wasm.weir.consumer:PLAIN)%`.

use core::fmt;
use core::ops::Range;

use crate::names::glob;
use crate::oauth::joined;
use crate::{ModelPattern, Name};

/// Who is calling: the key's consumer. Written by `auth`.
pub const CONSUMER: &str = "weir.consumer";
/// The public id of the key that was used. Written by `auth`.
pub const KEY_ID: &str = "weir.key_id";
/// The tenant of the caller. Written by `auth`.
pub const DOMAIN: &str = "weir.domain";
/// What the caller may use: its domain on the first line, then patterns of models, one a line; `*` alone for
/// all. Written by `auth`.
pub const GRANT: &str = "weir.grant";
/// What the caller's token of OAuth allows: a [`Token`]. Nothing is there of one who has come with a key. Written by `auth`.
pub const TOKEN: &str = "weir.token";
/// The model the request asks for. Written by the first filter that reads the body.
pub const MODEL: &str = "weir.model";
/// The interface the client speaks, where it is not OpenAI's: `messages`. Written by `router`; what Envoy itself answers is
/// written in the same words.
pub const PROTOCOL: &str = "weir.protocol";
/// The route that serves the request: what the route table matches in [`crate::ROUTE_HEADER`]. Written by `router`.
pub const ROUTE: &str = "weir.route";
/// The one provider that may serve the request, where a template pins one. Written by `chat-template`.
pub const PIN: &str = "weir.pin";
/// The template that made the request. Written by `chat-template`.
pub const TEMPLATE: &str = "weir.template";
/// Which version of the template that was. Written by `chat-template`.
pub const TEMPLATE_VERSION: &str = "weir.template_version";
/// How many bytes the template has made of the variables. Written by `chat-template`.
pub const PROMPT_BYTES: &str = "weir.prompt_bytes";
/// What each attempt at an upstream starts from: a [`Forward`]. Written by `router` where a model has targets.
pub const FORWARD: &str = "weir.forward";
/// The cluster of the next attempt, where there are several: what the route table matches to find it. Written by `router`
/// for the first, and by `model-compat` in each for the one after it.
pub const NEXT: &str = "weir.next";
/// `too_large` where a request could have gone to another target, but is too large to be sent again. Written by `router`.
pub const REPLAY: &str = "weir.replay";
/// The model's name at the upstream. Written by whoever replaces it in the body.
pub const UPSTREAM_MODEL: &str = "weir.upstream_model";
/// The MCP server that is called. Written by `router`.
pub const MCP_SERVER: &str = "weir.mcp_server";
/// The tools that are called at it, one a line; an empty line for a resource that is read. Written by `router`.
pub const MCP_TOOL: &str = "weir.mcp_tool";
/// The tool that is called, as metrics have it: by its name where the configuration has it, else `_unknown`; `_resource` for
/// a resource that is read. Written by `mcp`.
pub const MCP_KNOWN_TOOL: &str = "weir.mcp_known_tool";
/// How long the call of a tool, or the reading of a resource, took, in milliseconds. Written by `mcp` at the end.
pub const MCP_MILLIS: &str = "weir.mcp_millis";
/// What the API has answered that was called last. Written by `mcp`.
pub const MCP_UPSTREAM_CODE: &str = "weir.mcp_upstream_code";
/// How the calls have ended, with commas between several: `ok`, `invalid_args`, `upstream_5xx`, …; `unfinished` if their
/// caller has gone before. Written by `mcp`.
pub const MCP_OUTCOME: &str = "weir.mcp_outcome";
/// What the answer has used so far: a [`Usage`], written anew as it grows.
pub const USAGE: &str = "weir.usage";
/// The tokens of [`USAGE`] one by one, for access logs and metrics. Written by `quota` at the end.
pub const TOKENS: [&str; 4] =
    ["weir.input_tokens", "weir.output_tokens", "weir.cached_input_tokens", "weir.reasoning_tokens"];
/// How the tokens are known. Written by `quota` at the end.
pub const USAGE_SOURCE: &str = "weir.usage_source";
/// How many milliseconds after an attempt began its answer had a first token. Written by `model-compat`.
pub const FIRST_TOKEN: &str = "weir.first_token_ms";
/// Why the answer has ended, in OpenAI's words. Written by `model-compat`.
pub const FINISH_REASON: &str = "weir.finish_reason";

/// What [`GRANT`] holds: the caller's domain and the patterns of the models it may use there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(String);

impl Grant {
    /// The grant of these patterns on a domain.
    pub fn of(domain: &Name, models: &[ModelPattern]) -> Self {
        let mut text = domain.to_string();
        let any = models.iter().find(|model| model.is_any());
        for model in any.map_or(models, core::slice::from_ref) {
            text.push('\n');
            text.push_str(model.as_str());
        }
        Self(text)
    }

    /// The grant that covers every model of the one domain there is.
    pub fn any() -> Self {
        Self::of(&Name::default_domain(), &[ModelPattern::any()])
    }

    /// A grant as it was published; `None` if it is none.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(Self)
    }

    /// The grant as it is published.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tenant whose models are meant.
    pub fn domain(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// Whether every model of the domain is covered.
    pub fn is_any(&self) -> bool {
        self.patterns().eq([ANY])
    }

    /// Whether `model` is covered.
    pub fn allows(&self, model: &str) -> bool {
        self.patterns().any(|pattern| glob(pattern, model))
    }

    /// The models that are covered by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns().filter(|pattern| !pattern.contains('*'))
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1)
    }
}

const ANY: &str = "*";

/// A token that was accepted, as [`TOKEN`] has it: where its resource is described, the scopes that every request needs
/// there, and those that the token has, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token for the resource that is described at `metadata`.
    pub fn of(metadata: &str, needed: &str, scopes: &str) -> Self {
        Self(format!("{metadata}\n{needed}\n{scopes}"))
    }

    /// A token as it was published; `None` if it is none.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        String::from_utf8(bytes).ok().filter(|text| text.split('\n').count() == 3).map(Self)
    }

    /// The token as it is published.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has a scope.
    pub fn has(&self, scope: &str) -> bool {
        self.line(2).split(' ').any(|own| own == scope)
    }

    /// What a client is told whose token lacks some of these scopes: all that the request needs (RFC 6750, section 3;
    /// RFC 9728, section 5.1).
    pub fn challenge<'a>(&'a self, more: impl IntoIterator<Item = &'a str>) -> String {
        let needed = self.line(1).split(' ').filter(|scope| !scope.is_empty());
        let scopes = joined(needed.chain(more));
        format!(
            r#"Bearer error="insufficient_scope", scope="{scopes}", resource_metadata="{}""#,
            self.line(0)
        )
    }

    fn line(&self, number: usize) -> &str {
        self.0.split('\n').nth(number).unwrap_or_default()
    }
}

/// A request as the client sent it, for those who write each attempt of it anew, as [`FORWARD`] has it.
///
/// Published as `path`, then `start end` or `start end content-length`, then the name as a JSON string, then
/// `cluster upstream-model` or `cluster upstream-model rules` for each target, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The path the client asked for, with its query.
    pub path: String,
    /// Where in the body the model's name stands, quotes included, in bytes.
    pub model: Range<u64>,
    /// The length of the body in bytes, if the client has said it.
    pub content_length: Option<u64>,
    /// The model's name as the client has it.
    pub name: String,
    /// The clusters that it may be sent to.
    pub targets: Vec<Lead>,
}

/// Where a [`Forward`] may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The cluster.
    pub cluster: String,
    /// The model's name there.
    pub model: String,
    /// What the model needs there, where that is not what the cluster's configuration says: [`crate::compat::Rules`]. They
    /// travel with the request, since a model changes in one piece and the cluster's configuration comes apart from it.
    pub rules: Option<String>,
}

impl Forward {
    /// A forward as it was published; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = core::str::from_utf8(bytes).ok()?.split('\n');
        let path = lines.next()?.to_owned();
        let mut numbers = lines.next()?.split(' ').map(str::parse);
        let model = numbers.next()?.ok()?..numbers.next()?.ok()?;
        let content_length = numbers.next().transpose().ok()?;
        let name = serde_json::from_str(lines.next()?).ok()?;
        let targets = lines.map(Lead::parse).collect::<Option<_>>()?;
        Some(Self { path, model, content_length, name, targets })
    }
}

/// The provider that a cluster is a way to: what comes before a credential or the number of a target.
pub fn provider_of(cluster: &str) -> &str {
    cluster.split(['@', '#']).next().unwrap_or_default()
}

impl Lead {
    fn parse(line: &str) -> Option<Self> {
        let (cluster, rest) = line.split_once(' ')?;
        let (model, rules) =
            rest.split_once(' ').map_or((rest, None), |(model, rules)| (model, Some(rules.to_owned())));
        Some(Self { cluster: cluster.to_owned(), model: model.to_owned(), rules })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, model, content_length, name, targets } = self;
        write!(f, "{path}\n{} {}", model.start, model.end)?;
        content_length.map_or(Ok(()), |length| write!(f, " {length}"))?;
        // A line ending in a JSON string is written as an escape.
        write!(f, "\n{}", serde_json::Value::from(name.as_str()))?;
        targets.iter().try_for_each(|Lead { cluster, model, rules }| {
            write!(f, "\n{cluster} {model}")?;
            rules.as_ref().map_or(Ok(()), |rules| write!(f, " {rules}"))
        })
    }
}

/// The tokens that one request has used, as [`USAGE`] has them.
///
/// Published as `input output cached_input reasoning source`, in decimal. What is in `cached_input` is in `input`
/// too, and what is in `reasoning` is in `output` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the prompt that the upstream had cached.
    pub cached_input: u64,
    /// Tokens of the answer that are not shown as its content.
    pub reasoning: u64,
    /// How the numbers are known.
    pub source: UsageSource,
}

/// How a [`Usage`] is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageSource {
    /// Guessed from the request alone.
    #[default]
    Estimated,
    /// Counted from what was delivered.
    Counted,
    /// Said by the upstream.
    Upstream,
}

impl UsageSource {
    /// Its name in filter state, logs and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Counted => "counted",
            Self::Upstream => "upstream",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Estimated, Self::Counted, Self::Upstream].into_iter().find(|source| source.as_str() == name)
    }
}

impl Usage {
    /// Its tokens, as [`TOKENS`] has them.
    pub fn tokens(&self) -> [u64; 4] {
        [self.input, self.output, self.cached_input, self.reasoning]
    }

    /// A usage as it was published; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = core::str::from_utf8(bytes).ok()?.split(' ');
        let mut number = || fields.next()?.parse().ok();
        let (input, output, cached_input, reasoning) = (number()?, number()?, number()?, number()?);
        let source = UsageSource::named(fields.next()?)?;
        fields.next().is_none().then_some(Self { input, output, cached_input, reasoning, source })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, output, cached_input, reasoning, source } = self;
        write!(f, "{input} {output} {cached_input} {reasoning} {}", source.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(models: &[&str]) -> Grant {
        let patterns: Vec<_> =
            models.iter().map(|text| ModelPattern::try_from((*text).to_owned()).unwrap()).collect();
        Grant::of(&Name::try_from("video".to_owned()).unwrap(), &patterns)
    }

    #[test]
    fn a_grant_allows_what_one_of_its_patterns_matches() {
        let some = grant(&["index", "gpt-*"]);
        assert_eq!(some.as_str(), "video\nindex\ngpt-*");
        assert_eq!(Grant::parse(some.as_str().into()), Some(some.clone()));
        assert!(some.allows("index") && some.allows("gpt-4o"));
        assert!(!some.allows("index-2") && !some.allows("index\ngpt-4o") && !some.is_any());
        assert!(grant(&["a", "*"]).is_any() && grant(&["*"]).allows("anything"));
    }

    #[test]
    fn a_token_says_what_it_lacks() {
        let token = Token::of("https://a/.well-known/x", "use", "use read");
        assert_eq!(Token::parse(token.as_str().into()), Some(token.clone()));
        assert!(token.has("read") && token.has("use") && !token.has("write") && !token.has(""));
        assert_eq!(
            token.challenge(["write", "use"]),
            r#"Bearer error="insufficient_scope", scope="use write", resource_metadata="https://a/.well-known/x""#
        );
        let bare = Token::of("https://a", "", "");
        assert_eq!(
            bare.challenge(["write"]),
            r#"Bearer error="insufficient_scope", scope="write", resource_metadata="https://a""#
        );
        assert!(Token::parse(Vec::new()).is_none() && Token::parse("a\nb".into()).is_none());
    }

    #[test]
    fn a_forward_is_read_as_it_was_published() {
        let lead = |cluster: &str, model: &str, rules: Option<&str>| Lead {
            cluster: cluster.into(),
            model: model.into(),
            rules: rules.map(str::to_owned),
        };
        let forward = Forward {
            path: "/v1/chat/completions?a=b c".into(),
            model: 10..17,
            content_length: Some(120),
            name: "an \"index\"\nof".into(),
            targets: vec![
                lead("idc", "index-chat", None),
                lead("cloud#2", "gpt", Some(r#"{"think": "strip"}"#)),
            ],
        };
        let text = concat!(
            "/v1/chat/completions?a=b c\n10 17 120\n\"an \\\"index\\\"\\nof\"\n",
            "idc index-chat\ncloud#2 gpt {\"think\": \"strip\"}"
        );
        assert_eq!(forward.to_string(), text);
        assert_eq!(Forward::parse(forward.to_string().as_bytes()), Some(forward.clone()));
        let chunked = Forward { content_length: None, ..forward };
        assert_eq!(Forward::parse(chunked.to_string().as_bytes()), Some(chunked));
        for none in [
            "",
            "/v1/x",
            "/v1/x\n1\n\"a\"",
            "/v1/x\n1 2 x\n\"a\"",
            "/v1/x\n1 2\na",
            "/v1/x\n1 2\n\"a\"\ncluster",
        ] {
            assert_eq!(Forward::parse(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_cluster_says_whose_it_is() {
        let providers = ["idc", "idc/a.b", "openai@second", "idc#2", "idc@b#3"].map(provider_of);
        assert_eq!(providers, ["idc", "idc/a.b", "openai", "idc", "idc"]);
    }

    #[test]
    fn a_usage_is_read_as_it_was_published() {
        let usage =
            Usage { input: 7, output: 5, cached_input: 4, reasoning: 1, source: UsageSource::Upstream };
        assert_eq!(usage.to_string(), "7 5 4 1 upstream");
        assert_eq!(Usage::parse(b"7 5 4 1 upstream"), Some(usage));
        for none in ["", "7 5 4 1", "7 5 4 1 guessed", "7 5 4 1 upstream 2", "-7 5 4 1 upstream"] {
            assert_eq!(Usage::parse(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_domain_is_no_pattern() {
        assert_eq!((grant(&["index"]).domain(), Grant::any().domain()), ("video", "default"));
        assert!(!grant(&["index"]).allows("video") && !grant(&[]).allows("video"));
        assert_eq!(grant(&[]).domain(), "video");
        assert_eq!(Grant::parse(Vec::new()), None);
    }
}
