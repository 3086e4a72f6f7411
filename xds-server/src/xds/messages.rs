//! The messages of delta xDS, from `envoy/service/discovery/v3/discovery.proto`.
//!
//! Fields that Weir does not read are left out; protobuf skips them.

use std::collections::HashMap;

use prost::{Message, bytes::Bytes};

/// What a node asks for, or its answer to a response.
#[derive(Clone, PartialEq, Message)]
pub struct DeltaDiscoveryRequest {
    /// Who asks. Only the first request of a stream has to say.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The kind of resource.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names it wants from now on; `*` for all.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names it no longer wants.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What it has from an earlier stream, with versions.
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    /// The response that is answered, if one is.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why that response was refused, if it was.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// What a node gets.
#[derive(Clone, PartialEq, Message)]
pub struct DeltaDiscoveryResponse {
    /// The version of the snapshot, for people.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// New and changed resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// The kind of resource.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// What the node's answer refers to.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that no longer exist.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// A resource and its version.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// The version of this resource alone.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The message.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// The name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// An Envoy.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Its own name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The name of the Envoys that serve the same.
    #[prost(string, tag = "2")]
    pub cluster: String,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// What the value is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, serialized.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What is wrong.
    #[prost(string, tag = "2")]
    pub message: String,
}
