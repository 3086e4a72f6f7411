//! Which tenant a request's host belongs to.

use std::collections::{HashMap, HashSet};

use weir_core::ConfigError;
use weir_schema::auth::Domain;
use weir_schema::{Host, HostPattern, Name};

/// The tenants by their hosts.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    exact: HashMap<String, Name>,
    below: HashMap<String, Name>,
    any: Option<Name>,
}

impl Hosts {
    /// The hosts of these domains; `None` if there are no domains, so that every key works on every host.
    pub(crate) fn of(domains: Vec<Domain>) -> Result<Option<Self>, ConfigError> {
        if domains.is_empty() {
            return Ok(None);
        }
        let mut hosts = Self::default();
        let mut names = HashSet::with_capacity(domains.len());
        for (at, domain) in domains.into_iter().enumerate() {
            let wrong =
                |field: &str, problem| ConfigError { field: format!("domains[{at}].{field}"), problem };
            if !names.insert(domain.name.clone()) {
                return Err(wrong("name", "another domain has this name"));
            }
            for (number, host) in domain.hosts.into_iter().enumerate() {
                let name = domain.name.clone();
                let other = match host {
                    HostPattern::Any => hosts.any.replace(name),
                    HostPattern::Below(above) => hosts.below.insert(above, name),
                    HostPattern::One(host) => hosts.exact.insert(host, name),
                };
                if other.is_some() {
                    return Err(wrong(&format!("hosts[{number}]"), "this host is written twice"));
                }
            }
        }
        Ok(Some(hosts))
    }

    /// The tenant that an authority belongs to: by the host itself, else by the nearest name above it, else by
    /// the pattern for all.
    pub(crate) fn find(&self, authority: &[u8]) -> Option<&Name> {
        let host = Host::of(authority);
        let named = host.as_ref().and_then(|host| {
            self.exact.get(host.as_str()).or_else(|| host.parents().find_map(|above| self.below.get(above)))
        });
        named.or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(json: &str) -> Result<Option<Hosts>, ConfigError> {
        Hosts::of(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_most_exact_pattern_decides() {
        let mut json = r#"[
            {"name": "one", "hosts": ["ai.example.com", "127.0.0.1"]},
            {"name": "far", "hosts": ["*.example.com"]},
            {"name": "near", "hosts": ["*.eu.example.com"]}
        ]"#
        .to_owned();
        let strict = hosts(&json).unwrap().unwrap();
        json.insert_str(json.len() - 1, r#", {"name": "rest", "hosts": ["*"]}"#);
        let open = hosts(&json).unwrap().unwrap();
        for (authority, expected) in [
            ("ai.example.com", Some("one")),
            ("AI.EXAMPLE.COM.:443", Some("one")),
            ("127.0.0.1:10000", Some("one")),
            ("x.ai.example.com", Some("far")),
            ("a.b.example.com", Some("far")),
            ("a.eu.example.com", Some("near")),
            ("a.b.eu.example.com", Some("near")),
            ("eu.example.com", Some("far")),
            ("example.com", None),
            ("ai.example.com.evil.example", None),
            ("evilexample.com", None),
            ("evil.example,ai.example.com", None),
            ("", None),
        ] {
            let found = |hosts: &Hosts| hosts.find(authority.as_bytes()).map(ToString::to_string);
            assert_eq!(found(&strict).as_deref(), expected, "{authority}");
            assert_eq!(found(&open).as_deref(), expected.or(Some("rest")), "{authority}");
        }
    }

    #[test]
    fn domains_that_cannot_be_told_apart_are_refused() {
        assert!(hosts("[]").unwrap().is_none());
        for (json, field) in [
            (r#"[{"name": "a", "hosts": []}, {"name": "a", "hosts": []}]"#, "domains[1].name"),
            (r#"[{"name": "a", "hosts": ["x", "X."]}]"#, "domains[0].hosts[1]"),
            (r#"[{"name": "a", "hosts": ["*"]}, {"name": "b", "hosts": ["y", "*"]}]"#, "domains[1].hosts[1]"),
            (r#"[{"name": "a", "hosts": ["*.x"]}, {"name": "b", "hosts": ["*.x"]}]"#, "domains[1].hosts[0]"),
        ] {
            assert_eq!(hosts(json).unwrap_err().field, field);
        }
    }
}
