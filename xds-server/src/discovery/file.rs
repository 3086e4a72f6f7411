//! A file with a list of nodes, which is watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
};

use serde::Deserialize;

use super::{Endpoint, Health, ResolveError, Resolver};
use crate::watch::FileWatch;

/// Follows one file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    watch: FileWatch,
    answered: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    address: SocketAddr,
    #[serde(default = "one")]
    weight: NonZeroU32,
    zone: Option<String>,
    #[serde(default)]
    draining: bool,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Result<Self, ResolveError> {
        Ok(Self { path, watch: FileWatch::new()?, answered: false })
    }
}

#[tonic::async_trait]
impl Resolver for File {
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError> {
        if self.answered {
            self.watch.changed().await;
        }
        self.watch.cover(&BTreeSet::from([self.path.clone()]));
        let text = fs::read_to_string(&self.path)
            .map_err(|error| ResolveError::File(self.path.display().to_string(), error))?;
        let nodes = parse(&text)?;
        self.answered = true;
        Ok(nodes)
    }

    fn reset(&mut self) {
        self.answered = false;
    }
}

fn parse(text: &str) -> Result<Vec<Endpoint>, ResolveError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let nodes: Vec<Node> =
        serde_saphyr::from_str(text).map_err(|error| ResolveError::List(Box::new(error)))?;
    let endpoint = |node: Node| {
        let health = if node.draining { Health::Draining } else { Health::Healthy };
        let Node { address, weight, zone, metadata, .. } = node;
        Endpoint { address, weight: 1, zone, health, metadata }.weighing(weight.get())
    };
    Ok(nodes.into_iter().map(endpoint).collect())
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        let nodes = parse(
            "- address: 10.0.0.1:8000\n- {address: '[fd00::2]:80', weight: 3, zone: a, draining: true}\n",
        );
        let second = Endpoint {
            zone: Some("a".into()),
            health: Health::Draining,
            ..Endpoint::at("fd00::2", 80).unwrap().weighing(3)
        };
        assert_eq!(nodes.unwrap(), [Endpoint::at("10.0.0.1", 8000).unwrap(), second]);
        assert_eq!(parse("\n").unwrap(), []);
        for wrong in
            ["- 10.0.0.1:8000", "- {address: node:8000}", "- {address: 10.0.0.1:80, wait: 3}", "a: b"]
        {
            assert!(matches!(parse(wrong), Err(ResolveError::List(_))), "{wrong}");
        }
    }
}
