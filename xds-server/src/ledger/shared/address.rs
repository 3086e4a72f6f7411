//! Where Redis is, and how it is connected to.

use std::{fmt, fs, path::Path, time::Duration};

use redis::{
    Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, TlsCertificates,
    cluster::{ClusterClient, ClusterClientBuilder},
};

/// Where Redis is. Neither its `Debug` nor its `Display` shows a password.
#[derive(Clone)]
pub struct Address {
    nodes: Vec<ConnectionInfo>,
    is_cluster: bool,
    prefix: String,
    /// Whom it believes over TLS; none without TLS.
    certificates: Option<TlsCertificates>,
}

impl Address {
    /// Whether a text is the URL of a Redis, right or wrong.
    pub fn is_one(text: &str) -> bool {
        SCHEMES.iter().any(|scheme| text.split_once("://").is_some_and(|(of_text, _)| of_text == *scheme))
    }

    /// Reads `redis://USER:PASSWORD@HOST:PORT/DATABASE`, with `rediss` over TLS, whose certificate is always verified.
    /// Several hosts with commas between them are the first known nodes of a cluster, and so is one with
    /// `?cluster=true`.
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidAddress::Form)?;
        if rest.contains('#') {
            return Err(InvalidAddress::Form);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let nodes = hosts.split(',').map(|host| {
            let url = format!("{scheme}://{user}{host}/{database}");
            url.into_connection_info().map_err(InvalidAddress::Url)
        });
        let nodes: Vec<_> = nodes.collect::<Result<_, _>>()?;
        let mut address = Self {
            is_cluster: nodes.len() > 1,
            nodes,
            prefix: PREFIX.into(),
            certificates: TLS.contains(&scheme).then_some(SYSTEM),
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("cluster", "true") => address.is_cluster = true,
                ("cluster", "false") if address.nodes.len() == 1 => address.is_cluster = false,
                ("prefix", prefix) if !prefix.is_empty() && prefix.bytes().all(is_plain) => {
                    address.prefix = prefix.into();
                }
                ("sslrootcert", file) if address.certificates.is_some() => {
                    let file = file.replace("%2F", "/");
                    let refused = |error| InvalidAddress::Authorities(file.clone(), error);
                    let file = fs::read(Path::new(&file)).map_err(refused)?;
                    address.certificates = Some(TlsCertificates { root_cert: Some(file), ..SYSTEM });
                }
                _ => return Err(InvalidAddress::Parameter),
            }
        }
        if address.is_cluster && !database.is_empty() {
            return Err(InvalidAddress::Database);
        }
        Ok(address)
    }

    /// Whether it is a cluster.
    pub fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A client of one server.
    pub(super) fn client(&self) -> Result<Client, RedisError> {
        let none = || RedisError::from((ErrorKind::InvalidClientConfig, "no host"));
        let node = self.nodes.first().cloned().ok_or_else(none)?;
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(node, certificates.clone()),
            None => Client::open(node),
        }
    }

    /// A client of a cluster.
    pub(super) fn cluster(&self, connect: Duration, answer: Duration) -> Result<ClusterClient, RedisError> {
        let client = ClusterClientBuilder::new(self.nodes.iter().cloned());
        let client = match &self.certificates {
            Some(certificates) => client.certs(certificates.clone()),
            None => client,
        };
        client
            .connection_timeout(connect)
            .response_timeout(answer)
            .overall_response_timeout(Some(answer))
            .build()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        let what = if self.is_cluster { "Redis Cluster" } else { "Redis" };
        write!(f, "{what} at {}", nodes.join(", "))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string() && self.prefix == other.prefix
    }
}

impl Eq for Address {}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)
}

/// Why a URL does not say where Redis is. It does not repeat the URL, which may have a password in it.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAddress {
    /// It has another form.
    #[error("it is redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS")]
    Form,
    /// It is not what Redis's clients take.
    #[error("{0}")]
    Url(#[source] RedisError),
    /// It has a parameter that is not known.
    #[error("its parameters are cluster=true, prefix=NAME and, with TLS, sslrootcert=FILE")]
    Parameter,
    /// A cluster has no databases.
    #[error("a cluster has no databases")]
    Database,
    /// The certificate authorities cannot be had.
    #[error("{0}: {1}")]
    Authorities(String, #[source] std::io::Error),
}

const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
const TLS: [&str; 2] = ["rediss", "valkeys"];
/// The system's certificate authorities.
const SYSTEM: TlsCertificates = TlsCertificates { client_tls: None, root_cert: None };
const PREFIX: &str = "weir:ledger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        for (url, shown) in [
            ("redis://localhost", "Redis at localhost:6379"),
            ("rediss://weir:hunter2@cache.example:6380/3", "Redis at cache.example:6380"),
            ("valkey://:hunter2@a,b:7001,[::1]:7002", "Redis Cluster at a:6379, b:7001, ::1:7002"),
            ("redis://:hunter2@a:7000?cluster=true&prefix=east", "Redis Cluster at a:7000"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.to_string(), format!("{address:?}")), (shown.to_owned(), shown.to_owned()));
            assert!(Address::is_one(url));
        }
        for wrong in [
            "redis://",
            "redis://:hunter2@cache:hunter2",
            "redis://:hunter2@cache/hunter2",
            "redis://:hunter2@cache?clusters=hunter2",
            "redis://:hunter2@a,b/3",
            "rediss://:hunter2@cache?sslrootcert=/nowhere",
            "redis://:hunter2@cache?sslrootcert=Cargo.toml",
            "rediss://:hunter2@cache#insecure",
        ] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(!Address::is_one("weir.db") && !Address::is_one("postgres://redis"));
    }
}
