//! Delta xDS: one stream a node, over which it gets what it does not have yet.

pub mod messages;
pub mod nodes;
pub mod service;
pub mod session;

#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
mod generated {
    tonic::include_proto!("envoy.service.discovery.v3.AggregatedDiscoveryService");
}
