//! Finds the nodes of services in registries, and keeps what was found when a registry is away.
//!
//! A [`Resolver`] asks one registry for one service. [`follow`](follow::follow) drives it for ever, and
//! [`Damper`] decides, without a clock of its own, how quickly an answer is believed.

mod bilibili;
mod consul;
pub mod damper;
pub mod directory;
mod error;
mod file;
pub mod follow;
mod http;
mod kubernetes;
mod nacos;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use serde::Serialize;

use crate::{
    model::{Registries, Service},
    secret::Secret,
};

pub use damper::Damper;
pub use directory::{Directory, Wanted};
pub use error::ResolveError;

/// A node of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the requests, beside the other nodes'.
    pub weight: u32,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether it gets new requests.
    pub health: Health,
    /// What else the registry says about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Whether a node gets new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It does.
    Healthy,
    /// It ends those it has.
    Draining,
}

/// Someone who knows the nodes of a service.
#[tonic::async_trait]
pub trait Resolver: Send {
    /// The nodes that get requests: now if this is not known yet, else as soon as they may have changed.
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError>;

    /// Forgets how far it was, as after an error: the next answer is then a whole one, and comes at once.
    fn reset(&mut self);
}

/// The resolver for a service. Relative paths start at `folder`.
pub fn resolver(
    service: &Service,
    registries: &Registries,
    token: Option<&Secret>,
    folder: &Path,
) -> Result<Box<dyn Resolver>, ResolveError> {
    Ok(match service {
        Service::Bilibili { appid, env, zone, color } => {
            let server = registries.bilibili.as_ref().ok_or(ResolveError::NoRegistry)?;
            Box::new(bilibili::Bilibili::new(server, appid, env, zone.as_deref(), color.clone())?)
        }
        Service::Consul { service, tag, dc } => {
            let consul = registries.consul.as_ref().ok_or(ResolveError::NoRegistry)?;
            Box::new(consul::Consul::new(&consul.server, token, service, tag.as_deref(), dc.as_deref())?)
        }
        Service::Nacos { service, namespace, group } => {
            let nacos = registries.nacos.as_ref().ok_or(ResolveError::NoRegistry)?;
            Box::new(nacos::Nacos::new(nacos, service, namespace.as_deref(), group.as_deref())?)
        }
        Service::Kubernetes { namespace, service, port } => {
            let cluster = registries.kubernetes.clone().map_or_else(kubernetes::in_cluster, Ok)?;
            Box::new(kubernetes::Kubernetes::new(cluster, namespace, service, port.clone())?)
        }
        Service::File { path } => Box::new(file::File::new(folder.join(path))?),
    })
}

impl Endpoint {
    /// A healthy node, if its address is one that Envoy can connect to without a look-up.
    fn at(host: &str, port: u16) -> Option<Self> {
        let host: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        (port != 0).then(|| Self {
            address: SocketAddr::new(host, port),
            weight: 1,
            zone: None,
            health: Health::Healthy,
            metadata: BTreeMap::new(),
        })
    }

    /// The same node with this weight, within what Envoy can add up.
    fn weighing(self, weight: u32) -> Self {
        Self { weight: weight.clamp(1, HEAVIEST), ..self }
    }
}

/// Envoy refuses endpoints whose weights together do not fit into 32 bits.
const HEAVIEST: u32 = 1 << 16;
