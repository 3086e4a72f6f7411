//! One contract, kept with every registry: each fake speaks its registry's own protocol over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "registries/fake.rs"]
mod registries;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use registries::{Fake, bilibili, consul, file, kubernetes, nacos, node};
use tokio::time;
use weir::{
    discovery::{Directory, Health, Wanted},
    file::File,
    model::Service,
    secret,
};

use Health::{Draining, Healthy};

/// A directory that follows one service of a fake.
struct Followed {
    directory: Directory,
    service: Service,
}

impl Followed {
    fn new(fake: &impl Fake) -> Self {
        let mut directory = Directory::new(PathBuf::new());
        let wanted = wanted(fake);
        directory.cover(&wanted);
        let (service, _) = Service::parse(&fake.upstream()).unwrap().unwrap();
        Self { directory, service }
    }

    fn nodes(&self) -> Option<Vec<(u8, Health)>> {
        let number = |address: SocketAddr| match address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(address) => panic!("{address} is of no fake"),
        };
        let nodes: BTreeMap<_, _> = self.directory.nodes().into_iter().collect();
        let nodes = nodes.get(&self.service)?;
        Some(nodes.iter().map(|node| (number(node.address), node.health)).collect())
    }

    fn error(&self) -> Option<String> {
        self.directory.sources().into_values().next().unwrap().error
    }

    /// Waits until this is so, which must be long before a long poll ends by itself.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let left = Duration::from_secs(5).saturating_sub(began.elapsed());
            let changed = time::timeout(left, self.directory.changed()).await;
            assert!(changed.is_ok(), "not in time: {what}: {:?} {:?}", self.nodes(), self.error());
        }
    }

    async fn until_nodes(&mut self, nodes: &[(u8, Health)]) {
        self.until(&format!("{nodes:?}"), |followed| followed.nodes().as_deref() == Some(nodes)).await;
    }
}

fn wanted(fake: &impl Fake) -> Wanted {
    let text = format!(
        "secrets: {{token: {{env: T}}}}\n\
         discovery: {{drain: 300ms, believe_empty_after: 400ms, {}}}\n\
         providers: [{{name: a, upstream: \"{}\"}}, {{name: b, upstream: \"{}\"}}]\n",
        fake.section(),
        fake.upstream(),
        fake.upstream(),
    );
    let file = File::parse(&text).unwrap();
    let secrets = secret::placeholders(&file.secrets);
    Wanted::of(&file.into_model(secrets).unwrap())
}

async fn keeps_the_contract(fake: impl Fake) {
    fake.set(&[node(1), node(2), node(3).unwell()]);
    let mut followed = Followed::new(&fake);
    followed.until_nodes(&[(1, Healthy), (2, Healthy)]).await;
    assert_eq!(followed.error(), None);

    fake.set(&[node(1), node(2), node(4)]);
    followed.until_nodes(&[(1, Healthy), (2, Healthy), (4, Healthy)]).await;

    fake.lose();
    followed.until("the loss is told", |followed| followed.error().is_some()).await;
    fake.set(&[node(1), node(4)]);
    assert_eq!(followed.nodes().unwrap(), [(1, Healthy), (2, Healthy), (4, Healthy)]);

    fake.restore();
    followed.until_nodes(&[(1, Healthy), (2, Draining), (4, Healthy)]).await;
    assert_eq!(followed.error(), None);
    followed.until_nodes(&[(1, Healthy), (4, Healthy)]).await;

    let began = Instant::now();
    fake.set(&[]);
    followed.until_nodes(&[(1, Draining), (4, Draining)]).await;
    assert!(began.elapsed() >= Duration::from_millis(400), "an empty answer is not believed at once");
    followed.until_nodes(&[]).await;

    fake.set(&[node(5)]);
    followed.until_nodes(&[(5, Healthy)]).await;
}

#[tokio::test]
async fn bilibili_discovery_keeps_the_contract() {
    keeps_the_contract(bilibili::Discovery::start().await).await;
}

#[tokio::test]
async fn consul_keeps_the_contract() {
    keeps_the_contract(consul::Consul::start().await).await;
}

#[tokio::test]
async fn nacos_keeps_the_contract() {
    keeps_the_contract(nacos::Nacos::start().await).await;
}

#[tokio::test]
async fn kubernetes_keeps_the_contract() {
    keeps_the_contract(kubernetes::ApiServer::start().await).await;
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    keeps_the_contract(file::Nodes::new("contract")).await;
}

#[tokio::test]
async fn a_pod_that_ends_drains_and_a_watch_that_expired_begins_anew() {
    let server = kubernetes::ApiServer::start().await;
    server.set(&[node(1), node(2)]);
    let mut followed = Followed::new(&server);
    followed.until_nodes(&[(1, Healthy), (2, Healthy)]).await;
    server.set(&[node(1), node(2).terminating()]);
    followed.until_nodes(&[(1, Healthy), (2, Draining)]).await;
    server.set(&[node(1), node(3)]);
    server.forget();
    followed.until_nodes(&[(1, Healthy), (3, Healthy)]).await;
    assert_eq!(server.lists(), 2);
}

#[tokio::test]
async fn a_service_that_two_providers_name_is_asked_for_once() {
    let server = kubernetes::ApiServer::start().await;
    server.set(&[node(1)]);
    let mut followed = Followed::new(&server);
    followed.until_nodes(&[(1, Healthy)]).await;
    assert_eq!(followed.directory.sources().len(), 2);
    assert_eq!(server.lists(), 1);
}

#[tokio::test]
async fn another_registry_takes_over_without_a_gap() {
    let (old, new) = (consul::Consul::start().await, consul::Consul::start().await);
    old.set(&[node(1)]);
    new.lose();
    let mut followed = Followed::new(&old);
    followed.until_nodes(&[(1, Healthy)]).await;
    followed.directory.cover(&wanted(&new));
    assert_eq!(followed.nodes().unwrap(), [(1, Healthy)]);
    followed.until("the loss is told", |followed| followed.error().is_some()).await;
    assert_eq!(followed.nodes().unwrap(), [(1, Healthy)]);
    new.set(&[node(2)]);
    new.restore();
    followed.until_nodes(&[(1, Draining), (2, Healthy)]).await;
}

#[tokio::test]
async fn a_registry_that_never_answered_leaves_no_trace_but_its_error() {
    let fake = nacos::Nacos::start().await;
    fake.lose();
    let mut followed = Followed::new(&fake);
    followed.until("the loss is told", |followed| followed.error().is_some()).await;
    assert_eq!(followed.error().unwrap(), "the registry answers 503 Service Unavailable");
    assert_eq!(followed.nodes(), None);
}
