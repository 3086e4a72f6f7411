//! Many nodes on one control plane: `weir serve` as it is shipped, and clients that speak delta xDS as Envoy does.
//!
//! `WEIR_NODES` is how many, 100 unless it says otherwise; with `--nocapture` the costs are printed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the costs are for people")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_prost::ProstCodec;
use weir::{
    snapshot::Kind,
    xds::messages::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node},
};

/// `weir serve` in a process of its own.
struct Weir {
    process: Child,
    /// Kept open, so that there is somewhere to write to.
    _log: BufReader<ChildStderr>,
    folder: PathBuf,
    xds: String,
}

impl Weir {
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        for module in ["auth.wasm", "model-compat.wasm", "quota.wasm", "router.wasm"] {
            fs::write(folder.join(module), "").unwrap();
        }
        fs::write(
            folder.join("modules.json"),
            r#"{"auth": "auth.wasm", "model-compat": "model-compat.wasm", "quota": "quota.wasm", "router": "router.wasm"}"#,
        )
        .unwrap();
        write_config(&folder, 0);
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.arg("serve").arg("--config").arg(folder.join("weir.yaml")).arg("--modules").arg(&folder);
        weir.args(["--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        weir.args(["--log", "warn,weir::serve=info", "--log-format", "json"]);
        let mut process = weir.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        let xds = listening.get("xds").and_then(Value::as_str).unwrap().to_owned();
        Self { process, _log: log, folder, xds }
    }

    /// Seconds of processor time so far.
    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        // Clock ticks are hundredths of a second on every Linux that Rust runs on.
        fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }

    fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Ten models, and a key whose name has the number in it.
fn write_config(folder: &Path, number: u32) {
    let models: String =
        (0..10).map(|model| format!("- {{name: model-{model}, targets: [{{provider: local}}]}}\n")).collect();
    let config = format!(
        "keys:\n- {{id: key-{number}, sha256: {}}}\nproviders:\n- {{name: local, upstream: http://127.0.0.1:8080/v1}}\nmodels:\n{models}",
        "a".repeat(64),
    );
    let draft = folder.join("draft");
    fs::write(&draft, config).unwrap();
    fs::rename(draft, folder.join("weir.yaml")).unwrap();
}

/// A simulated Envoy.
struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    /// Connects on a connection of its own, and asks for all that an Envoy of a gateway asks for.
    async fn connect(xds: String, number: usize) -> Self {
        let (requests, outgoing) = mpsc::channel(16);
        for (kind, names) in SUBSCRIPTIONS {
            let node = Some(Node { id: format!("node-{number}"), cluster: "fleet".into() });
            let resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
            let type_url = kind.type_url().into();
            let request =
                DeltaDiscoveryRequest { node, type_url, resource_names_subscribe, ..Default::default() };
            requests.send(request).await.unwrap();
        }
        let endpoint = Endpoint::from_shared(format!("http://{xds}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = Grpc::new(channel);
        client.ready().await.unwrap();
        let request = tonic::Request::new(ReceiverStream::new(outgoing));
        let path = PathAndQuery::from_static(METHOD);
        let responses = client.streaming(request, path, ProstCodec::default()).await.unwrap().into_inner();
        Self { requests, responses }
    }

    /// Takes and acknowledges a response; returns the kind and the names of what it brought.
    async fn next(&mut self) -> (Kind, Vec<String>) {
        let response = time::timeout(PATIENCE, self.responses.message()).await;
        let response = response.unwrap().unwrap().unwrap();
        let DeltaDiscoveryResponse { type_url, nonce: response_nonce, resources, .. } = response;
        let kind = Kind::from_type_url(&type_url).unwrap();
        let ack = DeltaDiscoveryRequest { type_url, response_nonce, ..Default::default() };
        self.requests.send(ack).await.unwrap();
        (kind, resources.into_iter().map(|resource| resource.name).collect())
    }

    /// Takes what every node gets first: one response of each kind.
    async fn settle(mut self) -> Self {
        for _ in SUBSCRIPTIONS {
            self.next().await;
        }
        self
    }
}

#[tokio::test]
async fn one_change_reaches_every_node_and_nothing_else_does() {
    let nodes: usize = env::var("WEIR_NODES").map_or(100, |text| text.parse().unwrap());
    let weir = Weir::start("fleet");
    let start = Instant::now();
    let mut joining = JoinSet::new();
    for number in 0..nodes {
        let xds = weir.xds.clone();
        joining.spawn(async move { Client::connect(xds, number).await.settle().await });
    }
    let clients = joining.join_all().await;
    report(&weir, &format!("{nodes} nodes joined"), start.elapsed(), 0.0);

    let mut clients = clients;
    for change in 1..=CHANGES {
        let (start, cpu) = (Instant::now(), weir.cpu_seconds());
        write_config(&weir.folder, change);
        let mut receiving = JoinSet::new();
        for mut client in clients {
            receiving.spawn(async move {
                let received = client.next().await;
                (client, received)
            });
        }
        let (changed, received): (Vec<_>, Vec<_>) = receiving.join_all().await.into_iter().unzip();
        report(&weir, &format!("change {change} reached {nodes} nodes"), start.elapsed(), cpu);
        assert_eq!(received, vec![(Kind::Extensions, vec!["weir.auth".to_owned()]); nodes]);
        clients = changed;
    }
    // Whatever else was on its way would have come by now.
    for client in &mut clients {
        let more = time::timeout(Duration::ZERO, client.responses.message()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

fn report(weir: &Weir, what: &str, took: Duration, cpu: f64) {
    let (millis, used, resident) = (took.as_millis(), weir.cpu_seconds() - cpu, weir.resident_mib());
    eprintln!("{what} after {millis} ms; weir used {used:.2} s of processor time and has {resident} MiB");
}

/// What an Envoy of a gateway asks for.
const SUBSCRIPTIONS: [(Kind, &[&str]); 5] = [
    (Kind::Clusters, &[]),
    (Kind::Endpoints, &["local"]),
    (Kind::Listeners, &[]),
    (Kind::Routes, &["weir"]),
    (Kind::Extensions, &["weir.auth", "weir.router"]),
];

const METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

const CHANGES: u32 = 5;

/// How long a node waits for anything before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
