//! Which revision of the protocol a message follows, and what that revision wants of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use weir_wire::jsonrpc::{Call, Members, RpcError};

use crate::mirror::{Field, Mirror};
use crate::version::Version;

/// A message that is read and follows its revision.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) version: Version,
    params: Members<'a>,
    written: Option<&'a RawValue>,
}

/// A message that is refused, and with which status where it is alone.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) error: RpcError,
}

impl<'a> Asked<'a> {
    /// Reads what a request asks. The procedure is that of MCP 2026-07-28, "Versioning", for servers of both eras.
    pub(crate) fn of(call: &'a Call<'a>, mirror: &Mirror) -> Result<Self, Refused> {
        let method = call.method.as_str();
        let params = match call.params {
            Some(params) => Members::parse(params, &PARAMS)
                .map_err(|_| invalid("a member of \"params\" stands there twice"))?,
            None => Members::default(),
        };
        let meta = params.get("_meta").and_then(object);
        let said = meta.as_ref().and_then(|meta| meta.get(VERSION));
        let named_modern = matches!(&mirror.version, Field::Once(name) if Version::parse(name).is_some_and(Version::is_modern));
        if said.is_some() || named_modern {
            let version = modern(method, &params, meta.as_ref(), mirror)?;
            return Ok(Self { method, version, params, written: call.params });
        }
        let version = match &mirror.version {
            Field::Absent => Version::V2025_03_26,
            // What `initialize` wants is in its body.
            _ if method == "initialize" => Version::NEWEST_LEGACY,
            Field::Once(name) => Version::parse(name).ok_or_else(|| unsupported(name))?,
            Field::Unclear => return Err(mismatch("MCP-Protocol-Version")),
        };
        Ok(Self { method, version, params, written: call.params })
    }

    /// A parameter that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.params.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// A parameter that is an object, or an empty one if it is absent. `None`: it is something else.
    pub(crate) fn object(&self, name: &str) -> Option<Map<String, Value>> {
        match self.params.get(name) {
            Some(raw) => object(raw),
            None => Some(Map::new()),
        }
    }

    /// A parameter as it is written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.params.get(name)
    }

    /// All parameters.
    pub(crate) fn all(&self) -> Map<String, Value> {
        self.written.and_then(object).unwrap_or_default()
    }

    /// Whether there is such a parameter.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.get(name).is_some()
    }
}

impl Refused {
    pub(crate) fn new(status: u16, error: RpcError) -> Self {
        Self { status, error }
    }

    /// An error that the server has found behind the envelope: the status is that of the revision.
    pub(crate) fn of(error: RpcError, version: Version) -> Self {
        let status = match error.code {
            RpcError::METHOD_NOT_FOUND if version.is_modern() => 404,
            RpcError::INVALID_PARAMS | RpcError::INVALID_REQUEST if version.is_modern() => 400,
            RpcError::HEADER_MISMATCH | RpcError::MISSING_CAPABILITY => 400,
            _ => 200,
        };
        Self { status, error }
    }
}

/// A header field that does not repeat the body.
pub(crate) fn mismatch(field: &str) -> Refused {
    let message = format!("the header {field} is missing, stands there twice or does not repeat the body");
    Refused::new(400, RpcError::new(RpcError::HEADER_MISMATCH, message))
}

fn modern(
    method: &str,
    params: &Members<'_>,
    meta: Option<&Map<String, Value>>,
    mirror: &Mirror,
) -> Result<Version, Refused> {
    let said = meta.and_then(|meta| meta.get(VERSION));
    let Some(Value::String(said)) = said else {
        return Err(invalid(format!("\"_meta\" needs \"{VERSION}\"")));
    };
    if !mirror.version.is(said) {
        return Err(mismatch("MCP-Protocol-Version"));
    }
    let Some(version) = Version::parse(said).filter(|version| version.is_modern()) else {
        return Err(unsupported(said));
    };
    if !meta.and_then(|meta| meta.get(CAPABILITIES)).is_some_and(Value::is_object) {
        return Err(invalid(format!("\"_meta\" needs \"{CAPABILITIES}\"")));
    }
    if !mirror.method.is(method) {
        return Err(mismatch("Mcp-Method"));
    }
    let named = match method {
        "tools/call" | "prompts/get" => params.get("name"),
        "resources/read" => params.get("uri"),
        _ => None,
    };
    let named: Option<String> = named.and_then(|raw| serde_json::from_str(raw.get()).ok());
    if named.is_some_and(|named| !mirror.name.means(&named)) {
        return Err(mismatch("Mcp-Name"));
    }
    Ok(version)
}

/// What the server does not serve without sessions.
pub(crate) fn only_modern(requested: Version) -> Refused {
    unsupported_of(requested.as_str(), &[Version::V2026_07_28.as_str()])
}

/// How a header says what the body says (MCP 2026-07-28, "Standard MCP Request Headers").
pub(crate) fn written(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain && text.trim() == text && !text.starts_with("=?base64?") {
        return text.into();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

fn unsupported(requested: &str) -> Refused {
    unsupported_of(requested, &Version::ALL.map(Version::as_str))
}

fn unsupported_of(requested: &str, supported: &[&str]) -> Refused {
    let error = RpcError::new(RpcError::UNSUPPORTED_VERSION, "this revision of the protocol is not served")
        .with_data(json!({"supported": supported, "requested": requested}));
    Refused::new(400, error)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    Refused::new(400, RpcError::new(RpcError::INVALID_PARAMS, message))
}

fn object(raw: &RawValue) -> Option<Map<String, Value>> {
    serde_json::from_str(raw.get()).ok()
}

/// Header fields of the protocol.
pub(crate) const VERSION_HEADER: &str = "mcp-protocol-version";
pub(crate) const METHOD_HEADER: &str = "mcp-method";
pub(crate) const NAME_HEADER: &str = "mcp-name";

/// Where results of 2026-07-28 say whose they are.
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// What every request of 2026-07-28 says in its `_meta`.
pub(crate) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The parameters that matter to any method.
const PARAMS: [&str; 9] =
    ["_meta", "name", "uri", "arguments", "cursor", "ref", "argument", "protocolVersion", "notifications"];
