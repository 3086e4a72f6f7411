//! Changes of what servers offer, and who wants to know of them (MCP 2026-07-28, "Subscriptions").

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::watch, time};

use super::Fleet;
use crate::snapshot::Version;

/// What servers offer, as hashes of their lists.
pub type Lists = BTreeMap<String, BTreeMap<List, Version>>;

/// A list of a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Its tools.
    Tools,
    /// Its resources.
    Resources,
    /// Its prompts.
    Prompts,
}

/// Which changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    tools: bool,
    resources: bool,
    prompts: bool,
}

/// The changes of one server's lists.
#[derive(Debug)]
pub struct Changes {
    fleet: watch::Receiver<Arc<Fleet>>,
    of: Served,
    known: BTreeMap<List, Version>,
    /// Whether something has changed that was not looked at yet.
    stirred: bool,
}

/// A server, as a tenant of a gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The gateway's name.
    pub gateway: String,
    /// The tenant's.
    pub domain: String,
    /// The server's endpoint.
    pub endpoint: String,
}

impl Filter {
    pub(super) const ALL: Self = Self { tools: true, resources: true, prompts: true };

    pub(super) fn has(self, list: List) -> bool {
        match list {
            List::Tools => self.tools,
            List::Resources => self.resources,
            List::Prompts => self.prompts,
        }
    }
}

impl List {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Resources, Self::Prompts];

    fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Prompts => "prompts",
        }
    }

    fn filter(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Resources => "resourcesListChanged",
            Self::Prompts => "promptsListChanged",
        }
    }
}

impl Changes {
    /// What changes from now on.
    pub fn since_now(fleet: &watch::Receiver<Arc<Fleet>>, of: Served) -> Self {
        let mut fleet = fleet.clone();
        let known = of.lists(&fleet.borrow_and_update());
        Self { fleet, of, known, stirred: false }
    }

    /// Waits for changes, and a moment longer for those that come with them. Never done once nothing can change. It may
    /// be given up and asked again at any time.
    pub async fn next(&mut self) -> Vec<List> {
        loop {
            if !self.stirred && self.fleet.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.stirred = true;
            time::sleep(SETTLED).await;
            self.stirred = false;
            let now = self.of.lists(&self.fleet.borrow_and_update());
            let changed = |list: &List| self.known.get(list) != now.get(list);
            let told: Vec<_> = List::ALL.into_iter().filter(changed).collect();
            self.known = now;
            if !told.is_empty() {
                return told;
            }
        }
    }
}

impl Served {
    fn lists(&self, fleet: &Fleet) -> BTreeMap<List, Version> {
        fleet
            .get(&self.gateway)
            .map(|servers| servers.lists(&self.domain, &self.endpoint))
            .unwrap_or_default()
    }
}

/// The id of a request to listen, and what it wants to be told.
pub(super) fn asked(message: &[u8]) -> Option<(Value, Filter)> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let id = message.get("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64())?.clone();
    if message.get("method")?.as_str()? != "subscriptions/listen" {
        return None;
    }
    let wants = |list: List| {
        let wanted = message.pointer("/params/notifications").and_then(|filter| filter.get(list.filter()));
        wanted == Some(&Value::Bool(true))
    };
    let filter = Filter {
        tools: wants(List::Tools),
        resources: wants(List::Resources),
        prompts: wants(List::Prompts),
    };
    Some((id, filter))
}

/// The first message of a subscription: what will be told.
pub(super) fn acknowledged(id: &Value, filter: Filter) -> Value {
    let honoured = List::ALL.into_iter().filter(|list| filter.has(*list));
    let notifications: serde_json::Map<_, _> =
        honoured.map(|list| (list.filter().to_owned(), true.into())).collect();
    json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": {SUBSCRIPTION: id}, "notifications": notifications},
    })
}

/// Tells that a list has changed.
pub(super) fn changed(list: List, subscription: Option<&Value>) -> Value {
    let method = format!("notifications/{}/list_changed", list.as_str());
    match subscription {
        Some(id) => json!({"jsonrpc": "2.0", "method": method, "params": {"_meta": {SUBSCRIPTION: id}}}),
        None => json!({"jsonrpc": "2.0", "method": method}),
    }
}

/// The last message of a subscription that ends as it should.
pub(super) fn ended(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: id}}})
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// How long a change waits for others that belong to it.
const SETTLED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::Servers;
    use super::*;

    fn fleet(tools: &str) -> Arc<Fleet> {
        let lists = |tools| {
            BTreeMap::from([
                (List::Tools, Version::reported(tools)),
                (List::Prompts, Version::reported("same")),
            ])
        };
        let servers = Servers {
            lists: BTreeMap::from([
                ("/logs".to_owned(), lists(tools)),
                ("video/logs".to_owned(), lists("video")),
            ]),
            ..Servers::default()
        };
        Arc::new(BTreeMap::from([("edge".to_owned(), Arc::new(servers))]))
    }

    fn served(gateway: &str, domain: &str) -> Served {
        Served { gateway: gateway.into(), domain: domain.into(), endpoint: "/logs".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_lists_of_the_own_server_that_differ_are_told() {
        let (sender, receiver) = watch::channel(fleet("1"));
        let mut own = Changes::since_now(&receiver, served("edge", "finance"));
        let mut others = [("edge", "video"), ("inner", "finance")]
            .map(|(gateway, domain)| Changes::since_now(&receiver, served(gateway, domain)));
        sender.send_replace(fleet("1"));
        sender.send_replace(fleet("2"));
        // Given up while it waits for more, it still knows that something has changed.
        assert!(time::timeout(SETTLED / 2, own.next()).await.is_err());
        assert_eq!(own.next().await, [List::Tools]);
        sender.send_replace(fleet("3"));
        for other in &mut others {
            assert!(time::timeout(Duration::from_secs(60), other.next()).await.is_err());
        }
        sender.send_replace(Arc::default());
        assert_eq!(own.next().await, [List::Tools, List::Prompts]);
    }

    #[test]
    fn a_subscription_is_told_what_it_asked_for() {
        let message = br#"{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a"]}}}"#;
        let (id, filter) = asked(message).unwrap();
        assert_eq!(List::ALL.map(|list| filter.has(list)), [true, false, false]);
        let meta = json!({"io.modelcontextprotocol/subscriptionId": 7});
        assert_eq!(
            acknowledged(&id, filter)["params"],
            json!({"_meta": meta, "notifications": {"toolsListChanged": true}})
        );
        assert_eq!(changed(List::Tools, Some(&id))["params"]["_meta"], meta);
        assert_eq!(
            changed(List::Prompts, None),
            json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"})
        );
        for other in
            [&br#"{"id":1,"method":"ping"}"#[..], br#"{"method":"subscriptions/listen"}"#, b"[]", b"{"]
        {
            assert_eq!(asked(other), None);
        }
    }
}
