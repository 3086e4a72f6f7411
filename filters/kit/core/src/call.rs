//! Calls a filter makes to an upstream cluster.

use std::borrow::Cow;

use crate::Head;

/// A call to an upstream cluster, made beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How the outcome is told apart from that of other calls.
    pub id: CallId,
    /// Who learns the outcome.
    pub owner: Owner,
    /// The cluster to call.
    pub cluster: String,
    /// Header fields; `:method`, `:path` and `:authority` are needed.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// After this long the call is answered 504 by the proxy.
    pub timeout_ms: u32,
    /// The largest answer that is read, in bytes; a larger one is [`CallError::TooLarge`].
    pub max_answer_bytes: u32,
}

/// A number its maker chose for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// Who learns the outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The stream that makes it. The call ends with the stream.
    Stream,
    /// The filter. The call outlives the stream.
    Filter,
}

/// What an upstream answered to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The HTTP status; 504 when the call took too long.
    pub status: u16,
    /// Header fields.
    pub head: &'a Head<'a>,
    /// The body.
    pub body: &'a [u8],
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The proxy did not make it: the cluster is unknown or a header field is missing.
    Refused,
    /// The upstream could not be reached or broke off.
    Failed,
    /// The answer was larger than the call allows.
    TooLarge,
}
