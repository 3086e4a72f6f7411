//! Callers of an MCP server who come with tokens of OAuth.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_schema::Name;
use weir_schema::oauth::{ResourceUri, Scope};
use weir_tool::LoadError;

use super::url::CallUrl;
use crate::model::{Span, Upstream};

/// `oauth`: whose tokens are accepted, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// The URL that clients know the server by. It ends with the path of the route.
    pub resource: ResourceUri,
    /// Who issues the tokens: their `iss`.
    pub issuer: String,
    /// Where the issuer has its keys.
    #[serde(alias = "jwksUri", skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The certificate authorities that it is verified with there, as a file that Envoy reads. Default the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How often they are fetched. Default 5m.
    #[serde(alias = "jwksRefresh", skip_serializing_if = "Option::is_none")]
    pub jwks_refresh: Option<Span>,
    /// In place of `jwks_uri`, a file that Envoy reads when it is given the configuration.
    #[serde(alias = "jwksFile", skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// In place of `jwks_uri`, the keys themselves: a JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Map<String, Value>>,
    /// The audiences of which a token must have one. Default `resource`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Where clients get tokens. Default the issuer.
    #[serde(default, alias = "authorizationServers", skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// The scopes that every request needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// Which consumer a token is for.
    #[serde(default)]
    pub consumer: TokenConsumer,
    /// Whether the gateway's keys work too.
    #[serde(default, alias = "allowKeys")]
    pub allow_keys: bool,
    /// How far clocks may differ. Default 60s.
    #[serde(alias = "clockSkew", skip_serializing_if = "Option::is_none")]
    pub clock_skew: Option<Span>,
}

/// `oauth.consumer`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConsumer {
    /// The claim that names it.
    pub claim: String,
    /// What stands before the claim in the consumer's name. Without it tokens can name consumers that keys are for.
    pub prefix: String,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// At a URL.
    Remote {
        /// The URL.
        uri: String,
        /// The name of its cluster.
        cluster: String,
        /// Where it is.
        upstream: Box<Upstream>,
    },
    /// In a file that Envoy reads.
    File(PathBuf),
    /// These.
    Inline(String),
}

impl Default for TokenConsumer {
    fn default() -> Self {
        Self { claim: "sub".into(), prefix: "oauth/".into() }
    }
}

impl OAuth {
    /// Where the keys are, if all is right. `base` is the path of the route, and `shared` whether it is for several
    /// tenants.
    pub(super) fn check(&self, base: &str, shared: bool) -> Result<Jwks, LoadError> {
        if shared {
            return Err(LoadError::new("", "the route needs a domain, as a token is for one of them"));
        }
        if self.resource.path() != base {
            return Err(LoadError::new("resource", format!("does not end with the route's path, {base}")));
        }
        let urls = [("issuer", &self.issuer)].into_iter();
        for (field, url) in urls.chain(self.authorization_servers.iter().map(|url| (SERVERS, url))) {
            if !is_url(url) {
                return Err(LoadError::new(field, "is no URL"));
            }
        }
        if self.audiences.iter().any(String::is_empty) {
            return Err(LoadError::new("audiences", "has an empty one"));
        }
        let TokenConsumer { claim, prefix } = &self.consumer;
        if claim.is_empty() || claim.chars().any(char::is_control) {
            return Err(LoadError::new("consumer.claim", "names no claim"));
        }
        if Name::try_from(format!("{prefix}{}", "a".repeat(ROOM_FOR_CLAIM))).is_err() {
            return Err(LoadError::new("consumer.prefix", "cannot begin a consumer's name"));
        }
        self.keys()
    }

    /// Where the issuer's keys are.
    pub(crate) fn keys(&self) -> Result<Jwks, LoadError> {
        let of_uri = [("ca", self.ca.is_some()), ("jwks_refresh", self.jwks_refresh.is_some())];
        if let Some((field, _)) = of_uri.into_iter().find(|(_, is)| *is && self.jwks_uri.is_none()) {
            return Err(LoadError::new(field, "needs a \"jwks_uri\""));
        }
        if let Some(ca) = self.ca.as_ref().filter(|path| !path.is_absolute()) {
            return Err(LoadError::new("ca", format!("{}: the path must be absolute", ca.display())));
        }
        match (&self.jwks_uri, &self.jwks_file, &self.jwks) {
            (Some(uri), None, None) => {
                let url = CallUrl::parse(uri, None).map_err(|error| error.within("jwks_uri"))?;
                if uri.contains("{{") || !is_url(uri) {
                    return Err(LoadError::new("jwks_uri", "is no URL"));
                }
                let ca = self.ca.as_ref().map_or(String::new(), |path| format!("#{}", path.display()));
                let cluster = format!("jwks:{}{ca}", url.origin);
                Ok(Jwks::Remote { uri: uri.clone(), cluster, upstream: Box::new(url.upstream) })
            }
            (None, Some(file), None) if file.is_absolute() => Ok(Jwks::File(file.clone())),
            (None, Some(_), None) => Err(LoadError::new("jwks_file", "the path must be absolute")),
            (None, None, Some(set)) => {
                check_set(set).map(|()| Jwks::Inline(Value::from(set.clone()).to_string()))
            }
            _ => Err(LoadError::new("", "must have one of \"jwks_uri\", \"jwks_file\" and \"jwks\"")),
        }
    }

    /// Where clients get tokens.
    pub(crate) fn servers(&self) -> Vec<String> {
        let own = std::slice::from_ref(&self.issuer);
        if self.authorization_servers.is_empty() { own } else { &self.authorization_servers }.to_vec()
    }

    /// The audiences that are accepted.
    pub(crate) fn audiences(&self) -> Vec<String> {
        if self.audiences.is_empty() {
            vec![self.resource.as_str().to_owned()]
        } else {
            self.audiences.clone()
        }
    }
}

/// Public keys only: what is in a configuration is seen by many.
fn check_set(set: &Map<String, Value>) -> Result<(), LoadError> {
    let keys = set.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| LoadError::new("jwks", "has no \"keys\""))?;
    for (at, key) in keys.iter().enumerate() {
        // RFC 7518, sections 6.2.2, 6.3.2 and 6.4.
        if ["d", "k", "p", "q", "oth"].iter().any(|member| key.get(member).is_some()) {
            return Err(LoadError::new(format!("jwks.keys[{at}]"), "is private, or a secret"));
        }
    }
    Ok(())
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>{}".contains(&byte))
}

const SERVERS: &str = "authorization_servers";
/// How much of a consumer's name a prefix leaves to a claim, at least.
const ROOM_FOR_CLAIM: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oauth(change: Value) -> OAuth {
        let mut oauth = json!({
            "resource": "https://mcp.example.com/logs",
            "issuer": "https://id.example.com",
            "jwks_uri": "https://id.example.com/jwks",
        });
        for (name, value) in change.as_object().unwrap() {
            oauth[name] = value.clone();
        }
        oauth.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        serde_json::from_value(oauth).unwrap()
    }

    #[test]
    fn tokens_are_for_the_resource_and_from_the_issuer_unless_more_is_said() {
        let oauth = oauth(json!({}));
        let Ok(Jwks::Remote { cluster, .. }) = oauth.check("/logs", false) else { panic!("{oauth:?}") };
        assert_eq!(cluster, "jwks:https://id.example.com");
        assert_eq!(oauth.audiences(), ["https://mcp.example.com/logs"]);
        assert_eq!(oauth.servers(), ["https://id.example.com"]);
    }

    #[test]
    fn what_could_not_work_or_would_tell_a_secret_is_refused() {
        for (change, field) in [
            (json!({"resource": "https://mcp.example.com/other"}), "resource"),
            (json!({"issuer": "id"}), "issuer"),
            (json!({"authorization_servers": ["https://a\"b"]}), "authorization_servers"),
            (json!({"audiences": [""]}), "audiences"),
            (json!({"consumer": {"claim": ""}}), "consumer.claim"),
            (json!({"consumer": {"prefix": "A"}}), "consumer.prefix"),
            (json!({"jwks_uri": null}), ""),
            (json!({"jwks": {"keys": [{}]}}), ""),
            (json!({"jwks_uri": "https://{{ .host }}/"}), "jwks_uri"),
            (json!({"jwks_uri": "http://169.254.169.254/jwks"}), "jwks_uri"),
            (json!({"jwks_uri": null, "jwks_file": "jwks.json"}), "jwks_file"),
            (json!({"jwks_uri": null, "jwks": {"keys": []}}), "jwks"),
            (
                json!({"jwks_uri": null, "jwks": {"keys": [{"kty": "RSA"}, {"kty": "oct", "k": "x"}]}}),
                "jwks.keys[1]",
            ),
            (json!({"jwks_uri": null, "jwks": {"keys": [{}]}, "ca": "/ca.pem"}), "ca"),
            (json!({"ca": "ca.pem"}), "ca"),
        ] {
            let refused = oauth(change.clone()).check("/logs", false);
            assert_eq!(refused.unwrap_err().field, field, "{change}");
        }
        assert!(oauth(json!({})).check("/logs", true).is_err());
    }
}
