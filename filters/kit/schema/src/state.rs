//! Names of the filter state that filters publish for each other, for access logs and for CEL.
//!
//! Envoy puts `wasm.` before each name: an access log reads `%FILTER_STATE(wasm.weir.consumer:PLAIN)%`.

use crate::ModelPattern;
use crate::names::glob;

/// Who is calling: the key's consumer. Written by `auth`.
pub const CONSUMER: &str = "weir.consumer";
/// The public id of the key that was used. Written by `auth`.
pub const KEY_ID: &str = "weir.key_id";
/// The tenant of the caller. Written by `auth`.
pub const DOMAIN: &str = "weir.domain";
/// Patterns of the models the caller may use, one a line; `*` alone for all. Written by `auth`.
pub const GRANT: &str = "weir.grant";
/// The model the request asks for. Written by the first filter that reads the body.
pub const MODEL: &str = "weir.model";
/// The model's name at the upstream. Written by `router`.
pub const UPSTREAM_MODEL: &str = "weir.upstream_model";

/// What [`GRANT`] holds: the patterns of the models a caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(String);

impl Grant {
    /// The grant of these patterns.
    pub fn of(models: &[ModelPattern]) -> Self {
        if models.iter().any(ModelPattern::is_any) {
            return Self::any();
        }
        let lines: Vec<&str> = models.iter().map(ModelPattern::as_str).collect();
        Self(lines.join("\n"))
    }

    /// The grant that covers every model.
    pub fn any() -> Self {
        Self(ANY.into())
    }

    /// A grant as it was published; `None` if it is not text.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        String::from_utf8(bytes).ok().map(Self)
    }

    /// The grant as it is published.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every model is covered.
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }

    /// Whether `model` is covered.
    pub fn allows(&self, model: &str) -> bool {
        self.is_any() || self.0.lines().any(|pattern| glob(pattern, model))
    }
}

const ANY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_allows_what_one_of_its_patterns_matches() {
        let pattern = |text: &str| ModelPattern::try_from(text.to_owned()).unwrap();
        let grant = Grant::of(&[pattern("index"), pattern("gpt-*")]);
        assert_eq!(Grant::parse(grant.as_str().into()), Some(grant.clone()));
        assert!(grant.allows("index") && grant.allows("gpt-4o"));
        assert!(!grant.allows("index-2") && !grant.allows("index\ngpt-4o") && !grant.is_any());
        assert!(Grant::of(&[pattern("a"), pattern("*")]).is_any());
        assert!(!Grant::of(&[]).allows("index"));
    }
}
