//! Where a database is, and how it is connected to.

use std::{fmt, net::IpAddr, path::Path, time::Duration};

use tokio::time;
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::{Host, SslMode},
};

use super::{PATIENCE, StoreError, silence, tls::Tls};
use crate::authorities::{self, AuthoritiesError};

/// Where a database is.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Tls,
}

type Opened = (Client, Connection<Socket, <Tls as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>);

impl Address {
    /// Reads a URL as `psql` takes it. Without `sslmode` a database on this machine is reached in plain text, and
    /// one elsewhere with TLS; its certificate is verified whatever `sslmode` says.
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let (url, roots) = take_parameter(url, "sslrootcert");
        let mut config: Config = url.parse().map_err(InvalidAddress::Url)?;
        if config.get_hosts().is_empty() {
            return Err(InvalidAddress::NoHost);
        }
        if config.get_ssl_mode() == SslMode::Prefer {
            let local = config.get_hosts().iter().all(is_local);
            config.ssl_mode(if local && roots.is_none() { SslMode::Disable } else { SslMode::Require });
        }
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT));
        config.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(PATIENCE));
        config.keepalives_idle(KEEPALIVE);
        if config.get_application_name().is_none() {
            config.application_name("weir");
        }
        let is_plain = config.get_ssl_mode() == SslMode::Disable;
        let roots = roots.as_deref().map(Path::new);
        let tls = if is_plain { authorities::nobody() } else { authorities::client(roots)? };
        Ok(Self { config, tls: Tls::new(tls) })
    }

    /// A connection that has to be driven.
    pub(super) async fn open(&self) -> Result<Opened, StoreError> {
        let opened = time::timeout(PATIENCE, self.config.connect(self.tls.clone())).await;
        Ok(opened.map_err(|_| silence())??)
    }

    /// A connection that the runtime drives.
    pub(crate) async fn connect(&self) -> Result<Client, StoreError> {
        let (client, connection) = self.open().await?;
        // How it ends is seen by whoever uses the client next.
        tokio::spawn(async { drop(connection.await) });
        Ok(client)
    }
}

/// Hosts and ports, without the user and the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<_> = self.config.get_hosts().iter().map(name).collect();
        write!(f, "PostgreSQL at {}", hosts.join(", "))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    }
}

/// A URL without a parameter that only we know, and that parameter's value.
fn take_parameter(url: &str, name: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (mut value, mut rest) = (None, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((known, given)) if known == name => value = Some(given.replace("%2F", "/")),
            _ => rest.push(pair),
        }
    }
    let query = rest.join("&");
    (if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }, value)
}

/// Why a URL does not say where a database is.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAddress {
    /// It is not what PostgreSQL's clients take.
    #[error("{0}")]
    Url(#[source] tokio_postgres::Error),
    /// It names no host.
    #[error("it names no host")]
    NoHost,
    /// The certificate authorities cannot be had.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
}

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);
