//! Where Envoys send their access log.
//!
//! The messages are those of `envoy/service/accesslog/v3/als.proto`, without the fields that Weir does not read.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::Message;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;
use weir_schema::Name;

use super::{
    database::Records,
    generated::access_log_service_server::{AccessLogService, AccessLogServiceServer},
    record::Record,
};
use crate::{gateways::Gateways, xds::messages::Node};

/// Some entries of an access log.
#[derive(Clone, PartialEq, Message)]
pub struct StreamAccessLogsMessage {
    /// Who sends them. Only the first message of a stream has to say.
    #[prost(message, optional, tag = "1")]
    pub identifier: Option<Identifier>,
    /// The entries.
    #[prost(message, optional, tag = "2")]
    pub http_logs: Option<HttpAccessLogEntries>,
}

/// Who sends an access log.
#[derive(Clone, PartialEq, Message)]
pub struct Identifier {
    /// The Envoy.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
}

/// Entries of an access log.
#[derive(Clone, PartialEq, Message)]
pub struct HttpAccessLogEntries {
    /// One for each request.
    #[prost(message, repeated, tag = "1")]
    pub log_entry: Vec<HttpAccessLogEntry>,
}

/// What one request was.
#[derive(Clone, PartialEq, Message)]
pub struct HttpAccessLogEntry {
    /// What all kinds of requests have.
    #[prost(message, optional, tag = "1")]
    pub common_properties: Option<AccessLogCommon>,
}

/// What all kinds of requests have.
#[derive(Clone, PartialEq, Message)]
pub struct AccessLogCommon {
    /// What the configuration asks to be told.
    #[prost(map = "string, string", tag = "22")]
    pub custom_tags: HashMap<String, String>,
}

/// What is never said.
#[derive(Clone, PartialEq, Message)]
pub struct StreamAccessLogsResponse {}

/// Takes access logs.
#[derive(Debug)]
pub struct AccessLogs {
    records: Records,
    served: watch::Receiver<Arc<Gateways>>,
    lost: AtomicU64,
}

impl AccessLogs {
    /// The service, ready to be added to a server.
    pub fn service(records: Records, served: watch::Receiver<Arc<Gateways>>) -> AccessLogServiceServer<Self> {
        let logs = Self { records, served, lost: AtomicU64::new(0) };
        AccessLogServiceServer::new(logs).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn take(&self, gateway: &str, entries: HttpAccessLogEntries) {
        let quotas = Arc::clone(self.served.borrow().quotas());
        let tags = entries.log_entry.into_iter().filter_map(|entry| entry.common_properties);
        for tags in tags.map(|common| common.custom_tags) {
            let route =
                |name: &str| Name::try_from(name.to_owned()).ok().and_then(|name| quotas.routes.get(&name));
            let Some(record) = Record::read(gateway, &tags, route) else { continue };
            if !self.records.add(record) {
                let lost = self.lost.fetch_add(1, Ordering::Relaxed);
                if lost.is_power_of_two() || lost == 0 {
                    warn!(lost = lost.saturating_add(1), "usage records are lost: the database is too slow");
                }
            }
        }
    }
}

#[tonic::async_trait]
impl AccessLogService for AccessLogs {
    async fn stream_access_logs(
        &self,
        request: Request<Streaming<StreamAccessLogsMessage>>,
    ) -> Result<Response<StreamAccessLogsResponse>, Status> {
        let mut messages = request.into_inner();
        let mut gateway = String::new();
        while let Some(message) = messages.message().await? {
            if let Some(node) = message.identifier.and_then(|identifier| identifier.node) {
                gateway = node.cluster;
            }
            if let Some(entries) = message.http_logs {
                self.take(&gateway, entries);
            }
        }
        Ok(Response::new(StreamAccessLogsResponse {}))
    }
}

const LARGEST_MESSAGE: usize = 4 * 1024 * 1024;
