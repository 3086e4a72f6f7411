//! Lists, page by page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use weir_wire::jsonrpc::RpcError;

use super::Answer;
use crate::era::Asked;
use crate::version::Version;

/// Lists things in the order of the configuration.
pub(super) struct Lister {
    pub(super) edition: u64,
    pub(super) page_size: usize,
    pub(super) version: Version,
}

impl Lister {
    /// One page of `all`, of those that are `wanted`.
    pub(super) fn list<T>(
        &self,
        asked: &Asked<'_>,
        name: &str,
        all: &[T],
        wanted: impl Fn(&&T) -> bool,
        listed: impl Fn(&T) -> String,
    ) -> Result<Answer, RpcError> {
        let start = self.start(asked)?;
        let mut page = all.iter().enumerate().skip(start).filter(|(_, one)| wanted(one));
        let items: Vec<_> = page.by_ref().take(self.page_size).map(|(_, one)| listed(one)).collect();
        let next = page.next().map(|(at, _)| self.cursor(at));
        let mut json = format!(r#"{{"{name}":[{}]"#, items.join(","));
        if let Some(next) = next {
            // A cursor has letters, digits, `-` and `_` only.
            json.push_str(&format!(r#","nextCursor":"{next}""#));
        }
        json.push('}');
        if !self.version.is_modern() {
            return Ok(Answer::Json(json));
        }
        json.pop();
        json.push_str(&format!(r#","ttlMs":{TTL_MILLIS},"cacheScope":"private"}}"#));
        Ok(Answer::Json(json))
    }

    fn start(&self, asked: &Asked<'_>) -> Result<usize, RpcError> {
        if !asked.has("cursor") {
            return Ok(0);
        }
        let cursor = asked.text("cursor");
        let read = cursor.and_then(|cursor| self.read(&cursor));
        read.ok_or_else(|| RpcError::new(RpcError::INVALID_PARAMS, "the cursor is not one of this list"))
    }

    fn cursor(&self, at: usize) -> String {
        URL_SAFE_NO_PAD.encode(format!("{:016x}:{at}", self.edition))
    }

    fn read(&self, cursor: &str) -> Option<usize> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (edition, at) = text.split_once(':')?;
        (edition == format!("{:016x}", self.edition)).then(|| at.parse().ok())?
    }
}

/// Says how long a result may be kept, and for whom: what is listed depends on the caller.
pub(super) fn cached(result: &mut Map<String, Value>) {
    result.insert("ttlMs".into(), TTL_MILLIS.into());
    result.insert("cacheScope".into(), "private".into());
}

/// How long a list may be kept.
const TTL_MILLIS: u32 = 60_000;
