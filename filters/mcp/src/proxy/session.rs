//! Whose session is whose.

use std::hash::{DefaultHasher, Hash, Hasher};

use weir_core::Cx;

/// The sessions that servers behind this one have begun, by whom: a bounded table that all workers share. A session that
/// has lost its place in it is as good as its id.
pub(super) struct Sessions;

impl Sessions {
    /// A session has begun.
    pub(super) fn note(cx: &Cx<'_>, session: &[u8], consumer: Option<&str>) {
        let (slot, entry) = entry(session, consumer);
        // Without a place it is bound to nobody, which no caller sees.
        let _noted = cx.store().set(&slot, &entry, None);
    }

    /// Whether a caller may use a session: its own, or one that nobody here knows.
    pub(super) fn may_use(cx: &Cx<'_>, session: &[u8], consumer: Option<&str>) -> bool {
        let (slot, own) = entry(session, consumer);
        match cx.store().get(&slot) {
            Ok(Some(known)) => known.value.get(..8) != own.get(..8) || known.value == own,
            Ok(None) | Err(_) => true,
        }
    }
}

/// A session's place, and what stands there: the session, then its owner.
fn entry(session: &[u8], consumer: Option<&str>) -> (String, Vec<u8>) {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    let id = hash(&|hasher| session.hash(hasher));
    let owner = hash(&|hasher| (session, consumer).hash(hasher));
    (format!("mcp/session/{}", id % SLOTS), [id.to_le_bytes(), owner.to_le_bytes()].concat())
}

pub(super) const HEADER: &str = "mcp-session-id";
const SLOTS: u64 = 16 * 1024;
