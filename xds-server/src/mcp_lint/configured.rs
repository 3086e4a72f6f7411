//! Servers as a file configures them.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_schema::mcp::{Backend, Request, Tool};
use weir_tool::ToolPlan;

use super::{Finding, Findings, Severity, listed::lint_tools};
use crate::{
    file::{File, Middleware},
    model::{At, Host, McpPlan, Model, ModelError, PlannedUpstream},
    secret,
};

/// What is found of a file's MCP servers: of one, or of all. The error is of a file that cannot be served.
pub fn lint_file(file: File, server: Option<&str>) -> Result<Vec<Finding>, ModelError> {
    let left_out = left_out(&file);
    let secrets = secret::placeholders(&file.secrets);
    let model: Model = file.into_model(secrets)?;
    let mut found = Vec::new();
    for (_, _, plan) in model.parts().mcp_servers() {
        if server.is_some_and(|server| server != plan.name.as_str()) {
            continue;
        }
        let mut findings = Findings::of(plan.name.as_str());
        lint_upstreams(&mut findings, &plan);
        if let Backend::Orchestrator(served) = &plan.backend {
            let listed = served.tools.iter().filter_map(|tool| ToolPlan::of(tool).ok());
            let listed: Vec<Value> =
                listed.filter_map(|plan| serde_json::from_str(&plan.listing.modern).ok()).collect();
            findings.found.extend(lint_tools(plan.name.as_str(), &listed));
            served.tools.iter().for_each(|tool| lint_tool(&mut findings, tool));
        }
        for (operation, reason) in left_out.get(plan.name.as_str()).into_iter().flatten() {
            let message = format!("{operation} of the OpenAPI document is no tool: {reason}");
            findings.add(Severity::Info, None, "left-out", message);
        }
        found.append(&mut findings.found);
    }
    found.sort();
    Ok(found)
}

type LeftOut = BTreeMap<String, Vec<(String, &'static str)>>;

/// The operations of documents that cannot be tools, by server.
fn left_out(file: &File) -> LeftOut {
    let mut all = LeftOut::new();
    for answer in file.routes.iter().flat_map(|route| &route.middlewares) {
        let Middleware::McpServer(options) = answer else { continue };
        let Some(of) = &options.orchestrator else { continue };
        let base = of.upstream.as_ref().map(|upstream| upstream.url.as_str());
        let skipped = of.openapi.as_ref().and_then(|openapi| openapi.tools(base).ok());
        let skipped = skipped.into_iter().flat_map(|(_, skipped)| skipped);
        let skipped = skipped.map(|skipped| (skipped.operation, skipped.reason));
        all.entry(of.server.name.clone()).or_default().extend(skipped);
    }
    all
}

/// What goes over a network should be unreadable there.
fn lint_upstreams(findings: &mut Findings, plan: &McpPlan) {
    for PlannedUpstream { upstream, auth, field, .. } in &plan.upstreams {
        let public = match upstream.at() {
            At::Host(Host::Dns(name), _) => is_public(name),
            At::Host(Host::Ip(address), _) => !is_private(address),
            At::Nodes(_) | At::Service(_) => false,
        };
        if upstream.is_tls() || !public {
            continue;
        }
        let severity = if auth.is_some() { Severity::Error } else { Severity::Warning };
        let what = if auth.is_some() { "the credential and every argument are" } else { "every argument is" };
        findings.add(severity, None, "http", format!("{field}: {what} readable on the way; use https"));
    }
}

fn lint_tool(findings: &mut Findings, tool: &Tool) {
    let name = tool.name.as_str();
    let requests: Vec<&Request> =
        tool.request.iter().chain(tool.steps.iter().map(|step| &step.request)).collect();
    for request in &requests {
        for header in &request.headers {
            let value = header.value.0.trim();
            if !value.contains("{{") && (is_secret_name(&header.name) || is_secret(value)) {
                let message = format!("the header {:?} has a secret as it is; use auth.secret", header.name);
                findings.add(Severity::Error, Some(name), "secret", message);
            }
        }
        let query = request.path.0.split_once('?').map_or("", |(_, query)| query);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if !value.contains('{') && !value.is_empty() && (is_secret_name(key) || is_secret(value)) {
                let message = format!("{key:?} in the query has a secret as it is; use auth.secret");
                findings.add(Severity::Error, Some(name), "secret", message);
            }
        }
    }
    let annotations = tool.annotations.unwrap_or_default();
    for method in requests.iter().filter_map(|request| request.method.as_deref()) {
        let writes = ["PUT", "PATCH", "DELETE"].iter().any(|known| known.eq_ignore_ascii_case(method));
        if writes && annotations.read_only_hint == Some(true) {
            let message = format!("says that it only reads, and sends {method}");
            findings.add(Severity::Error, Some(name), "annotations", message);
        } else if method.eq_ignore_ascii_case("DELETE") && annotations.destructive_hint.is_none() {
            let message = "sends DELETE and does not say whether something is lost (destructive_hint)";
            findings.add(Severity::Warning, Some(name), "annotations", message);
        }
    }
    lint_use(findings, tool);
}

/// An argument of a tool with one request goes somewhere always; others must be named.
fn lint_use(findings: &mut Findings, tool: &Tool) {
    if tool.request.is_some() {
        return;
    }
    let mut text = tool.response.as_ref().map_or_else(String::new, |response| response.0.clone());
    for step in &tool.steps {
        let Request { path, headers, body, .. } = &step.request;
        let templates = [&step.when, &step.each].into_iter().flatten().chain([path]);
        templates.chain(headers.iter().map(|header| &header.value)).for_each(|template| {
            text.push('\n');
            text.push_str(&template.0);
        });
        text.extend(body.iter().map(|body| format!("\n{body}")));
    }
    for arg in &tool.args {
        let name = arg.name.as_str();
        if !is_named(&text, name) {
            let message = format!("no template names {name:?}, so it is asked for in vain");
            findings.add(Severity::Warning, Some(tool.name.as_str()), "unused-argument", message);
        }
    }
}

/// Whether `.name` or `{name}` stands in the text.
fn is_named(text: &str, name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.contains(&format!("{{{name}}}"))
        || text.split(&format!(".{name}")).skip(1).any(|rest| !rest.starts_with(is_of_name))
        || text.contains(&format!("\"{name}\""))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET_NAMES.iter().any(|known| name == *known || name.ends_with(&format!("-{known}")))
}

fn is_secret(value: &str) -> bool {
    SECRET_VALUES
        .iter()
        .any(|begins| value.starts_with(begins) && value.len() > begins.len().saturating_add(7))
}

/// Whether a name is one of the internet's.
fn is_public(name: &str) -> bool {
    let inner = [".internal", ".local", ".localhost", ".svc", ".lan", ".test", ".example", ".invalid"];
    name.contains('.') && !inner.iter().any(|end| name.ends_with(end)) && !name.contains(".svc.")
}

fn is_private(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        std::net::IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

const SECRET_NAMES: [&str; 8] =
    ["authorization", "api-key", "apikey", "token", "access-token", "secret", "password", "cookie"];
const SECRET_VALUES: [&str; 8] = ["Bearer ", "Basic ", "sk-", "ghp_", "github_pat_", "xoxb-", "AKIA", "eyJ"];
