//! Errors in JSON-RPC's form.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::{Id, Malformed, Problem};

/// An error in JSON-RPC's form.
///
/// ```
/// # use weir_wire::jsonrpc::RpcError;
/// let error = RpcError::new(RpcError::METHOD_NOT_FOUND, "no such method");
/// assert_eq!(error.answer(None), r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no such method"}}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RpcError {
    /// What is wrong, for programs.
    pub code: i32,
    /// What is wrong, for people.
    pub message: Cow<'static, str>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// The body is not JSON.
    pub const PARSE: i32 = -32700;
    /// The message is none.
    pub const INVALID_REQUEST: i32 = -32600;
    /// Nobody knows the method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The parameters are wrong.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The server fails.
    pub const INTERNAL: i32 = -32603;
    /// There is no such resource: up to the revision 2025-11-25.
    pub const RESOURCE_NOT_FOUND: i32 = -32002;
    /// A header says something else than the body: since the revision 2026-07-28.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The client has not said that it can do what is needed: since the revision 2026-07-28.
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// The revision is unknown here: since the revision 2026-07-28.
    pub const UNSUPPORTED_VERSION: i32 = -32022;

    /// An error without data.
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same error with more about it.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    /// The answer to the request with this id, or to one whose id cannot be told.
    pub fn answer(&self, id: Option<Id<'_>>) -> String {
        // Keys are strings and values are JSON, so nothing here can fail.
        let error = serde_json::to_string(self).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.map_or("null", Id::as_json))
    }
}

impl From<Problem> for RpcError {
    fn from(problem: Problem) -> Self {
        let code = match problem {
            Problem::NotJson => Self::PARSE,
            Problem::NotMessage
            | Problem::EmptyBatch
            | Problem::LongBatch
            | Problem::Version
            | Problem::Id
            | Problem::Method
            | Problem::Params
            | Problem::Twice => Self::INVALID_REQUEST,
        };
        Self::new(code, problem.as_str())
    }
}

impl Malformed<'_> {
    /// The answer to it.
    pub fn answer(&self) -> String {
        RpcError::from(self.problem).answer(self.id)
    }
}
