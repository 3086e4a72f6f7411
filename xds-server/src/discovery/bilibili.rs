//! bilibili/discovery: a long poll that answers at once when anything is newer than the last answer.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Endpoint, ResolveError, Resolver, http::Client};
use crate::model::{Server, encode};

/// Follows one service.
#[derive(Debug)]
pub(super) struct Bilibili {
    client: Client,
    appid: String,
    color: Option<String>,
    /// What every question says.
    query: String,
    /// The registry tells its pollers apart by name.
    hostname: String,
    latest: i64,
}

#[derive(Debug, Deserialize)]
struct Answer<T> {
    code: i64,
    data: Option<T>,
}

#[derive(Debug, Deserialize)]
struct App {
    instances: Option<BTreeMap<String, Vec<Instance>>>,
    #[serde(default)]
    latest_timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct Instance {
    #[serde(default)]
    zone: String,
    #[serde(default)]
    color: String,
    status: u32,
    addrs: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Bilibili {
    pub(super) fn new(
        server: &Server,
        appid: &str,
        env: &str,
        zone: Option<&str>,
        color: Option<String>,
    ) -> Result<Self, ResolveError> {
        let mut query = format!("appid={}&env={}", encode(appid), encode(env));
        if let Some(zone) = zone {
            query.push_str(&format!("&zone={}", encode(zone)));
        }
        let hostname = format!("weir-{:016x}", getrandom::u64().unwrap_or_default());
        let client = Client::new(server)?;
        Ok(Self { client, appid: appid.into(), color, query, hostname, latest: 0 })
    }

    /// Asks without waiting. A poll says "unchanged" also of a service that has lost its last instance.
    async fn fetch(&self) -> Result<Option<App>, ResolveError> {
        let path = format!("/discovery/fetch?{}&status=1", self.query);
        let answer: Answer<App> = self.client.get(&path, PATIENCE).await?.json()?;
        match answer.code {
            OK => answer.data.map(Some).ok_or(ResolveError::Missing("data")),
            NOT_FOUND => Ok(None),
            code => Err(ResolveError::Code(code)),
        }
    }

    async fn poll(&self) -> Result<Option<App>, ResolveError> {
        let Self { query, hostname, latest, .. } = self;
        let path = format!("/discovery/polls?{query}&hostname={hostname}&latest_timestamp={latest}");
        let answer: Answer<BTreeMap<String, App>> = self.client.get(&path, POLL).await?.json()?;
        match answer.code {
            OK => answer
                .data
                .unwrap_or_default()
                .remove(&self.appid)
                .map(Some)
                .ok_or(ResolveError::Missing("data")),
            NOT_MODIFIED | NOT_FOUND => self.fetch().await,
            code => Err(ResolveError::Code(code)),
        }
    }
}

#[tonic::async_trait]
impl Resolver for Bilibili {
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError> {
        // A poll for a service that nobody has registered would wait.
        let app = if self.latest == 0 { self.fetch().await? } else { self.poll().await? };
        self.latest = app.as_ref().map_or(1, |app| app.latest_timestamp.max(1));
        Ok(app.map_or_else(Vec::new, |app| endpoints(app, self.color.as_deref())))
    }

    fn reset(&mut self) {
        self.latest = 0;
    }
}

fn endpoints(app: App, color: Option<&str>) -> Vec<Endpoint> {
    let instances = app.instances.unwrap_or_default().into_values().flatten();
    instances
        .filter(|instance| instance.status == UP)
        .filter_map(|instance| endpoint(instance, color))
        .collect()
}

fn endpoint(instance: Instance, color: Option<&str>) -> Option<Endpoint> {
    let mut metadata = instance.metadata.unwrap_or_default();
    if !instance.color.is_empty() {
        metadata.insert("color".into(), instance.color);
    }
    if color.is_some() && metadata.get("color").map(String::as_str) != color {
        return None;
    }
    let address = instance.addrs?.into_iter().find_map(|address| {
        let (host, port) = address.strip_prefix("http://")?.trim_end_matches('/').rsplit_once(':')?;
        Endpoint::at(host, port.parse().ok()?)
    })?;
    let weight = metadata.remove("weight").and_then(|weight| weight.parse().ok());
    let zone = (!instance.zone.is_empty()).then_some(instance.zone);
    Some(Endpoint {
        zone,
        metadata,
        ..address.weighing(weight.filter(|weight| *weight > 0).unwrap_or(WEIGHT))
    })
}

/// The weight of an instance that says none.
const WEIGHT: u32 = 10;

const UP: u32 = 1;

const OK: i64 = 0;
const NOT_MODIFIED: i64 = -304;
const NOT_FOUND: i64 = -404;

/// A poll answers after 30 seconds at the latest.
const POLL: Duration = Duration::from_secs(45);
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = r#"{"instances": {"sh001": [
        {"zone": "sh001", "env": "prod", "appid": "llm", "hostname": "a", "color": "blue", "version": "1",
         "metadata": {"weight": "20", "gpu": "h20"}, "addrs": ["grpc://10.0.0.1:9000", "http://10.0.0.1:8000"],
         "status": 1, "latest_timestamp": 7},
        {"zone": "sh001", "status": 2, "addrs": ["http://10.0.0.2:8000"], "metadata": null},
        {"zone": "sh001", "status": 1, "addrs": ["http://10.0.0.3:8000"], "metadata": null},
        {"zone": "sh001", "status": 1, "addrs": ["grpc://10.0.0.4:9000"], "metadata": {}},
        {"zone": "sh001", "status": 1, "addrs": null, "metadata": {}}
    ]}, "latest_timestamp": 7}"#;

    #[test]
    fn instances_that_take_requests_over_http_are_the_nodes() {
        let app = || serde_json::from_str::<App>(APP).unwrap();
        let first = Endpoint {
            zone: Some("sh001".into()),
            metadata: [("color", "blue"), ("gpu", "h20")].map(|(k, v)| (k.into(), v.into())).into(),
            ..Endpoint::at("10.0.0.1", 8000).unwrap().weighing(20)
        };
        let second = Endpoint {
            zone: Some("sh001".into()),
            ..Endpoint::at("10.0.0.3", 8000).unwrap().weighing(WEIGHT)
        };
        assert_eq!(endpoints(app(), None), [first.clone(), second]);
        assert_eq!(endpoints(app(), Some("blue")), [first]);
    }
}
