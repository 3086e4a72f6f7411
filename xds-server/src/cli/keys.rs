//! `weir keys`: keys of callers, in the file's form or over the API.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    remote::{Named, Output, Remote, duration, table, text},
};
use crate::{
    client::segment,
    keys::{self, About},
    model::Span,
    object::ObjectKind,
    secret::Secret,
};

/// What is done to keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key and print its secret once: over the API with --server, else with its entry for the configuration file
    Create(Create),
    /// List the keys of the API
    List(List),
    /// Give a key another secret, and print it once
    Rotate(Rotate),
    /// Refuse a key for now
    Disable(Named),
    /// Accept a key again that was disabled
    Enable(Named),
    /// Remove a key
    Delete(Named),
    /// Print the SHA-256 of a secret that is read from standard input
    Hash,
}

/// `weir keys create`
#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    about: About,
    /// What is known about it; as often as needed, over the API only
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "server")]
    labels: Vec<String>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: OverApi,
}

/// Which control plane makes the key, if one does.
#[derive(Debug, Args)]
struct OverApi {
    /// The control plane's API; without it the key's entry for the configuration file is printed
    #[arg(long, value_name = "URL", env = "WEIR_SERVER")]
    server: Option<http::Uri>,
    /// The file that has the API's token; WEIR_TOKEN may have the token itself
    #[arg(long, value_name = "FILE", env = "WEIR_TOKEN_FILE")]
    token_file: Option<std::path::PathBuf>,
    /// The certificate authorities of an https server. Default the system's
    #[arg(long, value_name = "FILE", env = "WEIR_CA")]
    ca: Option<std::path::PathBuf>,
}

/// `weir keys list`
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys with this label; as often as needed
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// `weir keys rotate`
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the secret before is accepted too, such as 1h. Default not at all
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    overlap: Option<Span>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

impl Keys {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(options) => options.run(out)?,
            Self::List(options) => options.run(out)?,
            Self::Rotate(options) => options.run(out)?,
            Self::Disable(named) => set_disabled(&named, true, out)?,
            Self::Enable(named) => set_disabled(&named, false, out)?,
            Self::Delete(named) => {
                named.remote.ask(async |api| api.delete(&path(&named.name)).await)?;
                writeln!(out, "keys/{} is gone", named.name)?;
            }
            Self::Hash => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                writeln!(out, "{}", keys::hash(Secret::parse(&text)?.expose()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let OverApi { server, token_file, ca } = self.remote;
        let Some(server) = server else {
            let key = keys::NewKey::generate()?;
            writeln!(out, "# The secret, shown only now:\n{}\n", key.secret())?;
            return Ok(writeln!(
                out,
                "# Add this to `keys` in the configuration:\n{}",
                key.entry(&self.about)
            )?);
        };
        let labels = self.labels.iter().map(|label| match label.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.into())),
            None => Err(format!("{label}: a label is NAME=VALUE")),
        });
        let labels: Map<String, Value> = labels.collect::<Result<_, _>>()?;
        let mut spec = self.about.spec();
        spec.extend((!labels.is_empty()).then(|| ("labels".to_owned(), labels.into())));
        let remote = Remote { server, token_file, ca };
        let made = remote.ask(async |api| api.send(Method::POST, "/v1/keys", &spec.into()).await)?;
        secret(&made, self.output, out)
    }
}

impl List {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let labels: String = self.labels.iter().map(|label| format!("&label={}", segment(label))).collect();
        let keys = self.remote.ask(async |api| api.list(ObjectKind::Keys, &labels).await)?;
        if self.output == Output::Json {
            return Ok(writeln!(out, "{:#}", Value::from(keys))?);
        }
        let rows = keys.iter().map(|key| {
            let spec = key.get("spec").cloned().unwrap_or_default();
            let models = spec.get("models").and_then(Value::as_array).into_iter().flatten();
            let models: Vec<_> = models.filter_map(Value::as_str).collect();
            let disabled = spec.get("disabled").and_then(Value::as_bool).unwrap_or_default();
            [
                text(key, "name"),
                text(&spec, "consumer"),
                text(&spec, "prefix"),
                if disabled { "disabled" } else { "enabled" },
                text(&spec, "expires_at"),
                text(key, "owner"),
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([models.join(",")])
            .collect()
        });
        Ok(table(out, &["ID", "CONSUMER", "PREFIX", "STATE", "EXPIRES", "OWNER", "MODELS"], rows.collect())?)
    }
}

impl Rotate {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let Named { name, remote } = &self.named;
        let overlap = self.overlap.map(Span::duration).unwrap_or_default();
        let body = json!({"overlap_secs": overlap.as_secs()});
        let path = format!("{}/rotate", path(name));
        let made = remote.ask(async |api| api.send(Method::POST, &path, &body).await)?;
        secret(&made, self.output, out)
    }
}

/// Reads the key and writes it back, unless somebody has changed it meanwhile.
fn set_disabled(Named { name, remote }: &Named, disabled: bool, out: &mut impl Write) -> Result<(), Failure> {
    remote.ask(async |api| {
        let key = api.get(&path(name)).await?;
        let mut spec = key.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.insert("disabled".into(), disabled.into());
        }
        api.replace(&path(name), text(&key, "etag"), &spec).await
    })?;
    Ok(writeln!(out, "keys/{name} is {}", if disabled { "disabled" } else { "enabled" })?)
}

/// A secret that was just made.
pub(super) fn secret(made: &Value, output: Output, out: &mut impl Write) -> Result<(), Failure> {
    if output == Output::Json {
        return Ok(writeln!(out, "{made:#}")?);
    }
    Ok(writeln!(out, "# {}, shown only now:\n{}", text(made, "name"), text(made, "secret"))?)
}

fn path(id: &str) -> String {
    format!("/v1/keys/{}", segment(id))
}
