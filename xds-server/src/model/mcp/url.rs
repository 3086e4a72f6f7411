//! The URL of a call: where it goes, and what is asked there.

use std::net::IpAddr;

use weir_tool::LoadError;

use crate::model::{At, Host, Upstream};

/// A URL whose path and query are a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallUrl {
    pub(super) upstream: Upstream,
    /// What `:authority` says.
    pub(super) authority: String,
    /// What tells the upstream apart from the server's others.
    pub(super) origin: String,
    pub(super) path: String,
}

impl CallUrl {
    /// Reads a URL; one that begins with a slash is behind `base`.
    pub(super) fn parse(url: &str, base: Option<&str>) -> Result<Self, LoadError> {
        let wrong = |problem: &str| LoadError::new("", problem);
        if url.starts_with('/') {
            let base = base.ok_or_else(|| wrong("needs the \"upstream\" of the server, or a host"))?;
            let whole = Self::parse(base, None)?;
            let below = whole.path.trim_end_matches('/');
            return Ok(Self { path: format!("{below}{url}"), ..whole });
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("is no URL"))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if scheme.contains('{') || authority.contains('{') {
            return Err(wrong("the scheme, host and port must be written out, as they decide who is called"));
        }
        let origin = format!("{scheme}://{authority}");
        let upstream = Upstream::try_from(origin.clone()).map_err(|error| LoadError::new("", error))?;
        if let At::Host(Host::Ip(address), _) = upstream.at()
            && is_link_local(*address)
        {
            return Err(wrong("link-local addresses are not called: they tell a machine's secrets"));
        }
        let path = match path {
            "" => "/".to_owned(),
            path if path.starts_with('?') => format!("/{path}"),
            path => path.to_owned(),
        };
        let authority = upstream.authority().unwrap_or_else(|| authority.to_owned());
        Ok(Self { upstream, authority, origin, path })
    }
}

/// Metadata services of clouds are at such addresses.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_behind_its_host() {
        let url = CallUrl::parse("http://API.example.com/logging/query?env={{ .env }}", None).unwrap();
        assert_eq!(
            (url.authority.as_str(), url.path.as_str()),
            ("api.example.com", "/logging/query?env={{ .env }}")
        );
        let url = CallUrl::parse("https://10.0.0.1:8443?a={{ .a }}", None).unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("10.0.0.1:8443", "/?a={{ .a }}"));
        let url = CallUrl::parse("discovery://infra.logging/query?a={{ .a }}", None).unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("infra.logging", "/query?a={{ .a }}"));
        let url = CallUrl::parse("/query", Some("http://api.example.com/v2/")).unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("api.example.com", "/v2/query"));
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for url in [
            "http://{{ .host }}/x",
            "http://api.{{ .tenant }}.com/x",
            "http://api:{{ .port }}/x",
            "{{ .scheme }}://api/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://user@host/",
            "ftp://host/",
            "host/x",
            "/x",
        ] {
            assert!(CallUrl::parse(url, None).is_err(), "{url}");
        }
    }
}
