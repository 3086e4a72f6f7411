//! What is wrong, or could be better, with an MCP server: as its clients see it, and as it is configured.

mod configured;
mod listed;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use configured::lint_file;
pub use listed::lint_tools;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The server.
    pub server: String,
    /// Its tool; absent for the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The rule.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
}

/// How bad something is; what is worse is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not work, or is dangerous.
    Error,
    /// Models will use it badly, or it is probably not what was meant.
    Warning,
    /// It could be better.
    Info,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, server, tool, rule, message } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(f, "{severity:<7} {server}")?;
        if let Some(tool) = tool {
            write!(f, " {tool}")?;
        }
        write!(f, ": {message} ({rule})")
    }
}

/// Collects what is found of one server.
#[derive(Debug)]
struct Findings {
    server: String,
    found: Vec<Finding>,
}

impl Findings {
    fn of(server: &str) -> Self {
        Self { server: server.into(), found: Vec::new() }
    }

    fn add(
        &mut self,
        severity: Severity,
        tool: Option<&str>,
        rule: &'static str,
        message: impl Into<String>,
    ) {
        let tool = tool.map(str::to_owned);
        self.found.push(Finding {
            severity,
            server: self.server.clone(),
            tool,
            rule,
            message: message.into(),
        });
    }
}
