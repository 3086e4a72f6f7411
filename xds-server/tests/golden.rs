//! What a file becomes, compared with what is written beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p weir-xds-server --test golden` writes the expected files anew; the
//! difference is then read in the commit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use weir::{
    bootstrap, cli,
    compile::{compile, service_endpoints},
    discovery::{Endpoint, Health},
    encode::{self, Encoded},
    file::File,
    load,
    model::{Model, Upstream},
    modules::Modules,
    secret::{REDACTED, Secret, SecretSource, read_all},
    snapshot::{Kind, Snapshot, Version},
};
use weir_schema::Name;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn entries(name: &str) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn compare(path: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == actual, "{} is not\n{actual}", path.display());
}

fn model(text: &str, secret: &str) -> Model {
    let file = File::parse(text).unwrap();
    let sources = file.secrets.keys().map(|name| (name.clone(), SecretSource::Env(String::new())));
    let sources: BTreeMap<_, _> = sources.collect();
    let secrets = read_all(&sources, Path::new(""), &|_| Some(secret.into())).unwrap();
    file.into_model(secrets).unwrap()
}

fn snapshot(text: &str, secret: &str) -> Snapshot {
    compile(&model(text, secret), &Modules::placeholders()).unwrap()
}

/// The resources of `after` that are not the same in `before`, and those that are gone.
fn difference(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let all = |of: &Snapshot| -> BTreeMap<String, String> {
        let names = |kind: Kind| {
            of.of(kind).map(move |(name, r)| (format!("{kind}/{name}"), r.version().to_string()))
        };
        Kind::ALL.into_iter().flat_map(|kind| names(kind).collect::<Vec<_>>()).collect()
    };
    let (before, after) = (all(before), all(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

#[test]
fn every_file_becomes_the_resources_beside_it() {
    for case in entries("golden") {
        let text = fs::read_to_string(case.join("weir.yaml")).unwrap();
        let model = model(&text, REDACTED);
        for gateway in model.of_gateways() {
            let name = &gateway.parts().gateway.name;
            let file =
                if model.has_gateways() { format!("snapshot.{name}.json") } else { "snapshot.json".into() };
            let snapshot = compile(&gateway, &Modules::placeholders()).unwrap();
            compare(&case.join(file), &format!("{:#}\n", snapshot.to_json()));
            Encoded::new(&snapshot).unwrap();
            encode::check("envoy.config.bootstrap.v3.Bootstrap", &bootstrap::complete(&snapshot)).unwrap();
        }
    }
}

#[test]
fn every_wrong_file_is_refused_with_the_error_beside_it() {
    for path in entries("bad").iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let error = load::model(path).unwrap_err().to_string();
        let name = path.file_name().unwrap().to_string_lossy();
        let error = error.replace(&*path.to_string_lossy(), &name);
        compare(&path.with_extension("txt"), &format!("{error}\n"));
    }
}

#[test]
fn a_snapshot_never_shows_a_secret() {
    let text = fs::read_to_string(folder("golden/full/weir.yaml")).unwrap();
    let snapshot = snapshot(&text, "sk-very-secret");
    assert!(!snapshot.to_json().to_string().contains("sk-very-secret"));
    assert!(!format!("{snapshot:?}").contains("sk-very-secret"));
    let encoded = Encoded::new(&snapshot).unwrap();
    assert!(!format!("{encoded:?}").contains("sk-very-secret"));
    let sent = &encoded.get(Kind::Secrets, "openai-1").unwrap().message;
    assert!(sent.windows(14).any(|bytes| bytes == b"sk-very-secret"));
}

#[test]
fn a_change_touches_only_the_resources_it_is_about() {
    let text = fs::read_to_string(folder("golden/full/weir.yaml")).unwrap();
    let before = snapshot(&text, "sk-1");
    let after = |from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        difference(&before, &snapshot(&text.replace(from, to), "sk-1"))
    };
    assert_eq!(difference(&before, &snapshot(&text, "sk-1")), [""; 0]);
    assert_eq!(difference(&before, &snapshot(&text, "sk-2")), ["secrets/idc", "secrets/openai-1"]);
    assert_eq!(after("id: comments-ops", "id: comments-oncall"), ["extensions/weir.auth"]);
    assert_eq!(after("idle: 60s", "idle: 61s"), ["routes/weir"]);
    assert_eq!(after("model: gpt-4o-mini", "model: gpt-4o"), ["extensions/weir.router"]);
    assert_eq!(
        after("10.1.2.3:8000", "10.1.2.4:8000"),
        ["endpoints/idc", "extensions/weir.model-compat/idc"]
    );
    assert_eq!(after("rpm: 300", "rpm: 301"), ["extensions/weir.quota"]);
    assert_eq!(after("output: 0.60", "output: 0.61"), ["extensions/weir.quota"]);
    assert_eq!(after("connect: 2s", "connect: 3s"), ["clusters/idc"]);
    assert_eq!(after("port: 10443", "port: 10444"), ["listeners/weir"]);
    assert_eq!(after("labels: {tier: gold}", "labels: {tier: silver}"), ["extensions/weir.quota"]);
}

#[test]
fn other_nodes_are_another_endpoint_resource_and_nothing_else() {
    let text = fs::read_to_string(folder("golden/discovery/weir.yaml")).unwrap();
    let base = Encoded::new(&snapshot(&text, "sk-1")).unwrap();
    let service = |text: &str| Upstream::try_from(text.to_owned()).unwrap().service().unwrap().clone();
    let idc = service("discovery://infra.llm.index?env=prod");
    let node = |address: &str, health| Endpoint {
        address: address.parse().unwrap(),
        weight: 20,
        zone: Some("sh001".into()),
        health,
        metadata: BTreeMap::from([("color".into(), "blue".into())]),
    };
    let nodes = [node("10.0.0.1:8000", Health::Healthy), node("[fd00::2]:8000", Health::Draining)];
    let body = service_endpoints(&idc, &nodes);
    compare(&folder("golden/discovery/endpoints.json"), &format!("{body:#}\n"));
    let whole = base.with_endpoints(&BTreeMap::from([(idc.to_string(), body)])).unwrap();
    assert_ne!(whole.version(), base.version());
    for kind in Kind::ALL {
        let versions = |of: &Encoded| -> BTreeMap<String, Version> {
            of.names(kind).map(|name| (name.into(), of.get(kind, name).unwrap().version.clone())).collect()
        };
        let mut expected = versions(&base);
        if kind == Kind::Endpoints {
            assert!(!expected.contains_key(&idc.to_string()), "nothing is known of it yet");
            let sealed = whole.get(kind, &idc.to_string()).unwrap();
            expected.insert(idc.to_string(), sealed.version.clone());
        }
        assert_eq!(versions(&whole), expected, "{kind}");
    }
}

#[test]
fn a_change_of_a_domain_touches_the_filters_alone() {
    let text = fs::read_to_string(folder("golden/domains/weir.yaml")).unwrap();
    let before = snapshot(&text, "");
    let after = |from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        difference(&before, &snapshot(&text.replace(from, to), ""))
    };
    assert_eq!(after("[ai.finance.example.com]", "[ai.money.example.com]"), ["extensions/weir.auth"]);
    assert_eq!(after("models: [\"gpt-*\"]", "models: [\"*\"]"), ["extensions/weir.router"]);
    assert_eq!(after("{name: everyone}", "{name: everyone, domain: finance}"), [""; 0]);
    assert_eq!(
        after("{name: ledger, domain: finance}", "{name: ledger, domain: video}"),
        ["extensions/weir.auth"]
    );
}

#[test]
fn a_gateway_has_its_tenants_models_and_credentials_and_no_others() {
    let text = fs::read_to_string(folder("golden/gateways/weir.yaml")).unwrap();
    let model = model(&text, REDACTED);
    let names = |kind| {
        let of = |gateway: &Model| {
            let snapshot = compile(gateway, &Modules::placeholders()).unwrap();
            snapshot.of(kind).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        model.of_gateways().iter().map(|gateway| of(gateway)).collect::<Vec<_>>()
    };
    assert_eq!(names(Kind::Secrets), [vec!["certificate+key", "idc", "openai"], vec!["idc"], vec!["idc"]]);
    let [edge, inner, batch] = &model.of_gateways()[..] else { panic!("three gateways") };
    let keys =
        |gateway: &Model| gateway.parts().keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>();
    assert_eq!((keys(edge), keys(inner)), (vec!["comments-1".into()], vec!["ledger-1".into()]));
    let models =
        |gateway: &Model| gateway.parts().models.iter().map(|model| model.label()).collect::<Vec<_>>();
    assert_eq!(models(edge), ["gpt-4o-mini@video", "bge-m3"]);
    assert_eq!(models(batch), ["bge-m3"]);
}

#[test]
fn what_gateways_have_in_common_is_there_once() {
    let text = fs::read_to_string(folder("golden/gateways/weir.yaml")).unwrap();
    let model = model(&text, REDACTED);
    let [edge, inner, _] = &model.of_gateways()[..] else { panic!("three gateways") };
    let snapshot = |gateway| compile(gateway, &Modules::placeholders()).unwrap();
    let edge = Arc::new(Encoded::new(&snapshot(edge)).unwrap());
    let inner = Encoded::reusing(&snapshot(inner), std::slice::from_ref(&edge)).unwrap();
    let at = |of: &Encoded, kind, name| of.get(kind, name).unwrap().message.as_ptr();
    assert_eq!(at(&edge, Kind::Clusters, "idc"), at(&inner, Kind::Clusters, "idc"));
    assert_ne!(at(&edge, Kind::Listeners, "weir"), at(&inner, Kind::Listeners, "weir"));
    assert_eq!(inner.version(), Encoded::new(&snapshot(&model.of_gateways()[1])).unwrap().version());
}

#[test]
fn a_new_certificate_leaves_the_listener_alone() {
    let text = fs::read_to_string(folder("golden/tls/weir.yaml")).unwrap();
    let pem = |body: &str| {
        let block = |kind: &str| format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
        block("CERTIFICATE") + &block("PRIVATE KEY")
    };
    let before = snapshot(&text, &pem("MIIA"));
    let certificates =
        ["secrets/finance-certificate+finance-key", "secrets/wildcard-certificate+wildcard-key"];
    assert_eq!(difference(&before, &snapshot(&text, &pem("MIIB"))), certificates);
    let shared =
        text.replace("finance-certificate, key: finance-key", "wildcard-certificate, key: wildcard-key");
    assert_eq!(difference(&before, &snapshot(&shared, &pem("MIIA"))), ["listeners/weir", certificates[0]]);
    let encoded = Encoded::new(&before).unwrap();
    assert!(!before.to_json().to_string().contains("MIIA") && !format!("{encoded:?}").contains("MIIA"));
    let sent = &encoded.get(Kind::Secrets, "finance-certificate+finance-key").unwrap().message;
    assert_eq!(sent.windows(4).filter(|bytes| bytes == b"MIIA").count(), 4);
}

#[test]
fn a_secret_of_another_kind_is_refused() {
    let refusal = |text: &str, value: &str| {
        let file = File::parse(text).unwrap();
        let value = |name: &Name| (name.clone(), Secret::parse(value).unwrap());
        let secrets = file.secrets.keys().map(value).collect();
        file.into_model(secrets).unwrap_err().to_string()
    };
    let tls = fs::read_to_string(folder("golden/tls/weir.yaml")).unwrap();
    let is_none = |field: &str, what: &str| format!("domains.video.tls.{field}: the secret is no {what}");
    assert_eq!(refusal(&tls, "sk-123"), is_none("certificate", "certificate in PEM"));
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIA\n-----END CERTIFICATE-----";
    let key = is_none("key", "private key in PEM without a pass phrase");
    assert_eq!(refusal(&tls, certificate), key);
    let full = fs::read_to_string(folder("golden/full/weir.yaml")).unwrap();
    let credential =
        "providers.idc.credentials[0]: the secret is a certificate or its key, and cannot be a credential";
    assert_eq!(refusal(&full, certificate), credential);
}

#[test]
fn a_resource_that_envoy_does_not_know_is_refused_by_name() {
    let mut snapshot = Snapshot::default();
    snapshot.insert(Kind::Clusters, "openai", serde_json::json!({"name": "openai", "conect_timeout": "1s"}));
    let error = Encoded::new(&snapshot).unwrap_err().to_string();
    assert!(error.starts_with("clusters.openai: ") && error.contains("conect_timeout"), "{error}");
}

#[test]
fn the_command_line_prints_what_it_should() {
    let config = folder("golden/smallest/weir.yaml");
    let config = config.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut out = Vec::new();
        let cli = <cli::Cli as clap::Parser>::try_parse_from([&["weir"], arguments].concat()).unwrap();
        cli.run(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let summary = run(&["validate", "--config", config]);
    assert_eq!(summary, format!("{config}: ok (1 models, 1 providers, 1 keys)\n"));
    let resources: Value = serde_json::from_str(&run(&["compile", "--config", config])).unwrap();
    assert_eq!(resources["routes"]["weir"]["name"], "weir");
    let created = run(&["keys", "create", "--id", "laptop", "--models", "index,gpt-*"]);
    assert!(
        created.contains("- {id: laptop, prefix: wk-") && created.contains("[\"index\", \"gpt-*\"]}"),
        "{created}"
    );
    assert!(Secret::parse(created.lines().nth(1).unwrap()).is_ok());
}

#[test]
fn a_quota_that_counts_exactly_has_the_module_with_the_tables() {
    let text = |count: &str| {
        format!(
            "providers: [{{name: p, upstream: 'http://p.test'}}]\n\
             models: [{{name: m, targets: [{{provider: p, model: gpt-4}}]}}]\n\
             quotas: [{{name: q, limits: {{tpm: 1}}, count: {count}}}]\n"
        )
    };
    let filter = |count: &str| {
        let snapshot = snapshot(&text(count), "");
        let quota = snapshot.to_json()["extensions"]["weir.quota"].to_string();
        (quota.contains("quota-exact.wasm"), quota.contains(r#"\"encoding\":\"cl100k\""#))
    };
    assert_eq!((filter("exact"), filter("estimate")), ((true, true), (false, false)));
    let older = Modules { quota_exact: None, ..Modules::placeholders() };
    let refused = compile(&model(&text("exact"), ""), &older).unwrap_err();
    assert_eq!(refused.to_string(), "quota-exact: the filter's module is missing");
}
