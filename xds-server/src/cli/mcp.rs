//! The commands for those who make MCP servers.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use http::Uri;
use serde_json::{Value, json};

use super::Failure;
use crate::{
    load,
    mcp_client::{Client, Tool},
    mcp_lint::{self, Finding, Severity},
    openapi_tools::{self, Selection},
    secret::Secret,
};

#[derive(Debug, Subcommand)]
pub(super) enum Mcp {
    /// Print the tools that the operations of an OpenAPI document become, for `apiOrchestrator.tools`
    Import(Import),
    /// Call a tool of an MCP server as a client does, or list its tools
    #[command(after_help = TRY_EXIT)]
    Try(Try),
    /// Say what is wrong, or could be better, with MCP servers: those of a file, or one that runs
    #[command(after_help = LINT_EXIT)]
    Lint(Lint),
}

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The endpoint of a server that runs; without it, the servers of the file
    url: Option<Uri>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "WEIR_CONFIG", default_value = "weir.yaml")]
    config: PathBuf,
    /// Only this server of the file
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    server: Option<String>,
    /// The file that has the API key; WEIR_API_KEY may have the key itself
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print a list in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The document, in JSON or YAML; `-` is standard input
    document: PathBuf,
    /// The base URL of the API, in place of the document's first server
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Only this operation, by its operationId; may be repeated
    #[arg(long, value_name = "ID")]
    include: Vec<String>,
    /// Not this operation; may be repeated
    #[arg(long, value_name = "ID")]
    exclude: Vec<String>,
    /// Only operations with this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What the name of each tool begins with
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Another name for the tool of an operation; may be repeated
    #[arg(long, value_name = "ID=NAME", value_parser = pair)]
    rename: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct Try {
    /// The server's endpoint, such as http://127.0.0.1:10000/logging-mcp
    url: Uri,
    /// The tool; without one the tools are listed
    tool: Option<String>,
    /// Its arguments, as a JSON object
    #[arg(default_value = "{}")]
    arguments: String,
    /// The file that has the API key; WEIR_API_KEY may have the key itself
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Mcp {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self {
            Self::Import(options) => options.run(out),
            Self::Try(options) => options.run(out),
            Self::Lint(options) => options.run(out),
        }
    }
}

impl Import {
    fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let text = read(&self.document)?;
        let document: Value = serde_saphyr::from_str(&text)?;
        let selection = Selection {
            server: self.server,
            include: self.include.into_iter().collect(),
            exclude: self.exclude.into_iter().collect(),
            tags: self.tag.into_iter().collect(),
            prefix: self.prefix,
            rename: self.rename.into_iter().collect(),
            ..Selection::default()
        };
        let import = openapi_tools::import(&document, &selection)?;
        for skipped in &import.skipped {
            writeln!(out, "# left out: {}: {}", skipped.operation, skipped.reason)?;
        }
        write!(out, "{}", serde_saphyr::to_string(&json!({"tools": import.tools}))?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Try {
    fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let arguments: Value = serde_json::from_str(&self.arguments)?;
        let key = key(self.key_file.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = Client::connect(self.url, key).await?;
            let Some(tool) = self.tool else {
                for Tool { name, description } in client.tools().await? {
                    writeln!(out, "{name}  {}", description.lines().next().unwrap_or_default())?;
                }
                return Ok(ExitCode::SUCCESS);
            };
            let answer = client.call(&tool, arguments).await?;
            for content in answer.get("content").and_then(Value::as_array).into_iter().flatten() {
                match content.get("text").and_then(Value::as_str) {
                    Some(text) => writeln!(out, "{text}")?,
                    None => writeln!(out, "{content}")?,
                }
            }
            let failed = answer.get("isError") == Some(&Value::Bool(true));
            Ok(if failed { ExitCode::from(TOOL_FAILED) } else { ExitCode::SUCCESS })
        })
    }
}

impl Lint {
    fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let found = match &self.url {
            Some(url) => self.of_running(url)?,
            None => self.of_file()?,
        };
        if self.json {
            writeln!(out, "{:#}", json!({"findings": found}))?;
        } else {
            found.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
            let of = |severity| found.iter().filter(|finding| finding.severity == severity).count();
            let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
            writeln!(out, "{errors} errors, {warnings} warnings, {} hints", of(Severity::Info))?;
        }
        let failed = found.iter().any(|finding| finding.severity == Severity::Error);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn of_file(&self) -> Result<Vec<Finding>, Failure> {
        let file = load::whole(&self.config)?;
        let found = mcp_lint::lint_file(file, self.server.as_deref());
        found.map_err(|error| format!("{}: {error}", self.config.display()).into())
    }

    fn of_running(&self, url: &Uri) -> Result<Vec<Finding>, Failure> {
        let key = key(self.key_file.as_deref())?;
        let is_readable = key.is_some() && url.scheme_str() != Some("https") && !is_here(url);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listed = runtime.block_on(async { Client::connect(url.clone(), key).await?.listed().await })?;
        let mut found = mcp_lint::lint_tools(&url.to_string(), &listed);
        if is_readable {
            let message = "the key is readable on the way; use https".to_owned();
            let server = url.to_string();
            found.push(Finding { severity: Severity::Warning, server, tool: None, rule: "http", message });
        }
        found.sort();
        Ok(found)
    }
}

fn is_here(url: &Uri) -> bool {
    url.host().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host))
}

fn key(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    Ok(match file {
        Some(file) => Some(Secret::parse(&fs::read_to_string(file)?)?),
        None => std::env::var("WEIR_API_KEY").ok().map(|key| Secret::parse(&key)).transpose()?,
    })
}

fn read(file: &Path) -> io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(file)
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (id, name) = text.split_once('=').ok_or("write it as ID=NAME")?;
    Ok((id.into(), name.into()))
}

const LINT_EXIT: &str = "Ends with 1 when there are errors or nothing can be said, and otherwise with 0.";

/// What `weir mcp try` ends with if the tool says that it has failed.
const TOOL_FAILED: u8 = 3;

const TRY_EXIT: &str = "Ends with 0 when the tool has answered, with 3 when its answer is an error, and with 1 when there is none.";
