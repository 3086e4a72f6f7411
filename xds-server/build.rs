//! Writes the server side of Envoy's aggregated discovery service, in its delta form alone, and of its access logs.

use std::io;

use tonic_build::manual::{Builder, Method, Service};

fn main() -> io::Result<()> {
    let delta = Method::builder()
        .name("delta_aggregated_resources")
        .route_name("DeltaAggregatedResources")
        .input_type("crate::xds::messages::DeltaDiscoveryRequest")
        .output_type("crate::xds::messages::DeltaDiscoveryResponse")
        .codec_path("tonic_prost::ProstCodec")
        .client_streaming()
        .server_streaming()
        .build();
    let service = Service::builder()
        .name("AggregatedDiscoveryService")
        .package("envoy.service.discovery.v3")
        .method(delta)
        .build();
    let logs = Method::builder()
        .name("stream_access_logs")
        .route_name("StreamAccessLogs")
        .input_type("crate::records::service::StreamAccessLogsMessage")
        .output_type("crate::records::service::StreamAccessLogsResponse")
        .codec_path("tonic_prost::ProstCodec")
        .client_streaming()
        .build();
    let logs = Service::builder()
        .name("AccessLogService")
        .package("envoy.service.accesslog.v3")
        .method(logs)
        .build();
    println!("cargo::rerun-if-changed=build.rs");
    Builder::new().build_client(false).compile(&[service, logs]);
    Ok(())
}
