//! The commands that ask a control plane which runs.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use http::Uri;
use serde_json::{Map, Value, json};

use super::Failure;
use crate::{
    client::{Api, ApiError},
    model::{InvalidSpan, Span},
    object::ObjectKind,
    secret::Secret,
};

/// Which control plane is asked, and how its answer is written.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The control plane's API
    #[arg(long, value_name = "URL", env = "WEIR_SERVER", default_value = "http://127.0.0.1:18001")]
    pub(super) server: Uri,
    /// The file that has the API's token; WEIR_TOKEN may have the token itself
    #[arg(long, value_name = "FILE", env = "WEIR_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The certificate authorities of an https server. Default the system's
    #[arg(long, value_name = "FILE", env = "WEIR_CA")]
    pub(super) ca: Option<PathBuf>,
}

/// Something of the API, by its name.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name
    pub(super) name: String,
    #[command(flatten)]
    pub(super) remote: Remote,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// As the API gives it.
    Json,
}

/// `weir apply` and `weir diff`
#[derive(Debug, Args)]
pub(super) struct Change {
    /// The document, in the shape of the configuration file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Remove what the API has and the document does not name
    #[arg(long)]
    prune: bool,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// `weir export`
#[derive(Debug, Args)]
pub(super) struct Export {
    /// What the configuration file has, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `weir status`
#[derive(Debug, Args)]
pub(super) struct Status {
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

impl Change {
    pub(super) fn apply(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let answer = self.send(false)?;
        self.write(&answer, out)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn diff(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let answer = self.send(true)?;
        self.write(&answer, out)?;
        let differs = changes(&answer).any(|change| text(change, "action") != "unchanged");
        Ok(if differs { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
    }

    fn send(&self, dry_run: bool) -> Result<Value, Failure> {
        let document = read(&self.file)?;
        self.remote.ask(async |api| api.apply(&document, self.prune, dry_run).await)
    }

    fn write(&self, answer: &Value, out: &mut impl Write) -> io::Result<()> {
        if self.output == Output::Json {
            return writeln!(out, "{answer:#}");
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for change in changes(answer) {
            let action = text(change, "action");
            let count = counts.entry(action).or_default();
            *count = count.saturating_add(1);
            if action != "unchanged" {
                let fields = change.get("fields").and_then(Value::as_array).into_iter().flatten();
                let fields: Vec<_> = fields.filter_map(Value::as_str).collect();
                let line = format!(
                    "{action:9} {}/{}  {}",
                    text(change, "kind"),
                    text(change, "name"),
                    fields.join(", ")
                );
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        let counts: Vec<_> = counts.iter().map(|(action, count)| format!("{count} {action}")).collect();
        writeln!(out, "{}", if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") })
    }
}

impl Export {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let document = self.remote.ask(async |api| {
            let mut document = Map::new();
            for kind in ObjectKind::ALL {
                let items = api.list(kind, "").await?;
                let items = items.into_iter().filter(|item| self.all || text(item, "owner") == "api");
                let specs: Vec<Value> = items.filter_map(|item| item.get("spec").cloned()).collect();
                if !specs.is_empty() {
                    document.insert(kind.as_str().to_owned(), specs.into());
                }
            }
            Ok(Value::Object(document))
        })?;
        write!(out, "{}", serde_saphyr::to_string(&document)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Status {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let report = self.remote.ask(async |api| api.status().await)?;
        let troubles = troubles(&report);
        if self.output == Output::Json {
            writeln!(out, "{report:#}")?;
        } else {
            let config = report.get("config").cloned().unwrap_or_default();
            writeln!(out, "configuration  {} since {}", text(&config, "state"), text(&config, "since"))?;
            writeln!(out, "version        {}\n", text(&report, "version"))?;
            writeln!(out, "{:24} {:16} {:18} STATE", "NODE", "CLUSTER", "VERSION")?;
            for node in nodes(&report) {
                let states = kinds(node).map(|(_, kind)| text(kind, "state"));
                let state = states.fold("acked", |worst, state| if state == "acked" { worst } else { state });
                let [id, cluster, version] = ["id", "cluster", "version"].map(|name| text(node, name));
                writeln!(out, "{id:24} {cluster:16} {version:18} {state}")?;
            }
            troubles.iter().try_for_each(|trouble| writeln!(out, "\n{trouble}"))?;
        }
        Ok(if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(TROUBLE) })
    }
}

impl Remote {
    /// Asks, and waits for the answer.
    pub(super) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Api) -> Result<T, ApiError>,
    ) -> Result<T, Failure> {
        let api = Api::new(self.server.clone(), self.token()?, self.ca.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(question(&api))?)
    }

    fn token(&self) -> Result<Option<Secret>, Failure> {
        let text = match &self.token_file {
            Some(file) => fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
            None => match std::env::var("WEIR_TOKEN") {
                Ok(token) => token,
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Secret::parse(text.trim())?))
    }
}

/// What is wrong, by the control plane's own word.
fn troubles(report: &Value) -> Vec<String> {
    let config = report.get("config").cloned().unwrap_or_default();
    let refused =
        (text(&config, "state") == "refused").then(|| format!("refused: {}", text(&config, "error")));
    let nacked = nodes(report).flat_map(|node| {
        let refused = kinds(node).filter(|(_, kind)| text(kind, "state") == "nacked");
        refused.map(|(name, kind)| {
            let (node, resource, reason) = (text(node, "id"), text(kind, "name"), text(kind, "reason"));
            format!("{node} refused {name}/{resource}: {reason}")
        })
    });
    refused.into_iter().chain(nacked).collect()
}

fn nodes(report: &Value) -> impl Iterator<Item = &Value> {
    report.get("nodes").and_then(Value::as_array).into_iter().flatten()
}

/// The kinds of resources of a node, and how far it is with each.
fn kinds(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.get("types").and_then(Value::as_object).into_iter().flatten()
}

fn changes(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("changes").and_then(Value::as_array).into_iter().flatten()
}

/// A table with these columns, each as wide as its widest cell.
pub(super) fn table(out: &mut impl Write, head: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = [vec![head], rows].concat();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or_default();
            format!("{cell:width$}")
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

pub(super) fn duration(text: &str) -> Result<Span, InvalidSpan> {
    text.to_owned().try_into()
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// A document of YAML, of which JSON is a part.
fn read(file: &Path) -> Result<Value, Failure> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().read_to_string(&mut text)?;
    } else {
        text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    Ok(serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?)
}

/// What `weir diff` ends with where there are differences.
const DIFFERENT: u8 = 3;

/// What `weir status` ends with where something is refused.
const TROUBLE: u8 = 3;
