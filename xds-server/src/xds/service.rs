//! The gRPC service around the sessions: it finds the gateway of each node.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};
use weir_schema::Name;

use super::{
    generated::aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
    messages::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node},
    nodes::{Nodes, TypeStatus},
    session::Session,
};
use crate::gateways::{Gateways, UnknownGateway};

/// Serves to every node that asks the newest snapshot of its gateway.
#[derive(Debug)]
pub struct Discovery {
    served: watch::Receiver<Arc<Gateways>>,
    nodes: Arc<Nodes>,
    streams: AtomicU64,
}

impl Discovery {
    /// The service, ready to be added to a server.
    pub fn service(
        served: watch::Receiver<Arc<Gateways>>,
        nodes: Arc<Nodes>,
    ) -> AggregatedDiscoveryServiceServer<Self> {
        let discovery = Self { served, nodes, streams: AtomicU64::new(0) };
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
            served: self.served.clone(),
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
    served: watch::Receiver<Arc<Gateways>>,
    nodes: Arc<Nodes>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

impl Stream {
    async fn run(mut self, first: DeltaDiscoveryRequest, mut requests: Streaming<DeltaDiscoveryRequest>) {
        self.nodes.connect(self.number, &self.node);
        let mut event = Some(Event::Request(Box::new(first)));
        while let Some(next) = event {
            if !self.react(next).await {
                break;
            }
            event = tokio::select! {
                request = requests.message() => request.ok().flatten().map(|request| Event::Request(Box::new(request))),
                changed = self.served.changed() => changed.ok().map(|()| Event::Snapshot),
            };
        }
        if self.nodes.disconnect(self.number) {
            info!(node = self.node.id, "disconnected");
        }
    }

    /// Sends what the event brings about. False if the node is gone.
    async fn react(&mut self, event: Event) -> bool {
        let served = Arc::clone(&self.served.borrow_and_update());
        let (gateway, snapshot) = match served.of_cluster(&self.node.cluster) {
            Ok(found) => found,
            Err(unknown) => return self.refuse(unknown).await,
        };
        if self.nodes.serve(self.number, gateway) {
            let gateway = gateway.map(Name::as_str);
            info!(node = self.node.id, cluster = self.node.cluster, gateway, "connected");
        }
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

impl Stream {
    /// Ends the stream of a node that belongs to no gateway: it keeps what it has, and comes again.
    async fn refuse(&self, unknown: UnknownGateway) -> bool {
        let reason = unknown.to_string();
        if self.nodes.refuse(self.number, &reason) {
            warn!(node = self.node.id, reason, "the node gets nothing");
        }
        drop(self.responses.send(Err(Status::not_found(reason))).await);
        false
    }
}

enum Event {
    Request(Box<DeltaDiscoveryRequest>),
    Snapshot,
}

/// The largest request of a node; one that reconnects lists all that it has.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;
