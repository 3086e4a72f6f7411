//! What the tools, prompts and resources of several servers are called.
//!
//! The names of servers have letters, digits and `-` only, and begin with a letter: so the first `__` ends one in the name
//! of a tool, and a URI that begins with one and `+` is still a URI (RFC 3986, section 3.1).

use weir_schema::mcp::McpUpstream;

/// A tool or prompt of a server, as clients know it.
pub(super) fn outer(server: &str, name: &str) -> String {
    format!("{server}{OF_NAMES}{name}")
}

/// A resource of a server, as clients know it.
pub(super) fn outer_uri(server: &str, uri: &str) -> String {
    format!("{server}{OF_URIS}{uri}")
}

/// The server that has a tool or prompt, and what the server calls it.
pub(super) fn inner<'n>(servers: &[McpUpstream], name: &'n str) -> Option<(usize, &'n str)> {
    split(servers, name, OF_NAMES)
}

/// The server that has a resource, and the URI the server knows it by.
pub(super) fn inner_uri<'n>(servers: &[McpUpstream], uri: &'n str) -> Option<(usize, &'n str)> {
    split(servers, uri, OF_URIS)
}

fn split<'n>(servers: &[McpUpstream], text: &'n str, separator: &str) -> Option<(usize, &'n str)> {
    let (server, rest) = text.split_once(separator)?;
    let at = servers.iter().position(|known| known.name.as_str() == server)?;
    Some((at, rest))
}

const OF_NAMES: &str = "__";
const OF_URIS: &str = "+";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_leads_back_to_its_server() {
        let upstream = |name: &str| json!({"name": name, "cluster": "c", "route": "r", "path": "/mcp"});
        let servers: Vec<McpUpstream> =
            serde_json::from_value(json!([upstream("logs"), upstream("logs-eu")])).unwrap();
        for name in ["query", "_query", "a__b", ""] {
            assert_eq!(inner(&servers, &outer("logs", name)), Some((0, name)));
            assert_eq!(inner(&servers, &outer("logs-eu", name)), Some((1, name)));
            assert_eq!(inner_uri(&servers, &outer_uri("logs-eu", name)), Some((1, name)));
        }
        for name in ["logs", "logs_query", "other__query", "__query", "Logs__query"] {
            assert_eq!(inner(&servers, name), None, "{name}");
        }
        assert_eq!(inner_uri(&servers, "logs+git+ssh://a"), Some((0, "git+ssh://a")));
        assert_eq!(inner_uri(&servers, "git+ssh://a"), None);
    }
}
