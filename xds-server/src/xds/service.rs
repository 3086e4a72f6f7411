//! The gRPC service around the sessions.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use super::{
    generated::aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
    messages::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node},
    nodes::{Nodes, TypeStatus},
    session::Session,
};
use crate::encode::Encoded;

/// Serves the newest snapshot to every node that asks.
#[derive(Debug)]
pub struct Discovery {
    snapshots: watch::Receiver<Arc<Encoded>>,
    nodes: Arc<Nodes>,
    streams: AtomicU64,
}

impl Discovery {
    /// The service, ready to be added to a server.
    pub fn service(
        snapshots: watch::Receiver<Arc<Encoded>>,
        nodes: Arc<Nodes>,
    ) -> AggregatedDiscoveryServiceServer<Self> {
        let discovery = Self { snapshots, nodes, streams: AtomicU64::new(0) };
        AggregatedDiscoveryServiceServer::new(discovery).max_decoding_message_size(REQUEST_BYTES)
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let mut requests = request.into_inner();
        let (responses, outgoing) = mpsc::channel(1);
        let first = requests.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("the stream has no request"))?;
        let node = first.node.clone().filter(|node| !node.id.is_empty());
        let node = node.ok_or_else(|| Status::invalid_argument("the node has no id"))?;
        let stream = Stream {
            number: self.streams.fetch_add(1, Ordering::Relaxed),
            node,
            session: Session::default(),
            snapshots: self.snapshots.clone(),
            nodes: Arc::clone(&self.nodes),
            responses,
        };
        tokio::spawn(stream.run(first, requests));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// One node's stream.
struct Stream {
    number: u64,
    node: Node,
    session: Session,
    snapshots: watch::Receiver<Arc<Encoded>>,
    nodes: Arc<Nodes>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

impl Stream {
    async fn run(mut self, first: DeltaDiscoveryRequest, mut requests: Streaming<DeltaDiscoveryRequest>) {
        info!(node = self.node.id, "connected");
        self.nodes.connect(self.number, &self.node);
        let mut event = Some(Event::Request(Box::new(first)));
        while let Some(next) = event {
            if !self.react(next).await {
                break;
            }
            event = tokio::select! {
                request = requests.message() => request.ok().flatten().map(|request| Event::Request(Box::new(request))),
                changed = self.snapshots.changed() => changed.ok().map(|()| Event::Snapshot),
            };
        }
        self.nodes.disconnect(self.number);
        info!(node = self.node.id, "disconnected");
    }

    /// Sends what the event brings about. False if the node is gone.
    async fn react(&mut self, event: Event) -> bool {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let responses = match &event {
            Event::Request(request) => {
                let DeltaDiscoveryRequest { type_url, response_nonce: nonce, .. } = &**request;
                let (wanted, unwanted) =
                    (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
                debug!(node = self.node.id, type_url, nonce, ?wanted, ?unwanted, "request");
                self.session.on_request(request, &snapshot)
            }
            Event::Snapshot => self.session.on_snapshot(&snapshot),
        };
        for (kind, status) in self.nodes.update(self.number, &self.session, &snapshot) {
            if let TypeStatus::Nacked { resource, error } = status {
                warn!(node = self.node.id, %kind, resource, error, "the node refused a resource");
            }
        }
        for response in responses {
            let (sent, removed) = (response.resources.len(), response.removed_resources.len());
            debug!(node = self.node.id, type_url = response.type_url, sent, removed, "push");
            if self.responses.send(Ok(response)).await.is_err() {
                return false;
            }
        }
        true
    }
}

enum Event {
    Request(Box<DeltaDiscoveryRequest>),
    Snapshot,
}

/// The largest request of a node; one that reconnects lists all that it has.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;
