//! A client's session at several servers, and what has become of it since it began.
//!
//! A client keeps the token that it was given at the beginning. A session that a server has lost since, or that began
//! later, is noted in the store that all workers share: sealed, so that only who holds the token can use it, and in one of a
//! fixed number of places. A note that has lost its place costs one more beginning.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use weir_core::{Cx, UnixTime};
use weir_schema::mcp::McpUpstream;

use crate::proxy::seal::{Holder, Sealed, Sealer, Session};
use crate::version::Version;

/// A client's session at several servers.
#[derive(Debug)]
pub(super) struct Visit {
    token: Vec<u8>,
    sealed: Sealed,
    sealer: Rc<Sealer>,
}

impl Visit {
    /// The session that a client holds, if it is its own.
    pub(super) fn open(sealer: Rc<Sealer>, holder: Holder<'_>, token: &[u8], now: UnixTime) -> Option<Self> {
        let sealed = sealer.open(holder, token, now)?;
        Some(Self { token: token.to_vec(), sealed, sealer })
    }

    /// The revision that the client speaks.
    pub(super) fn version(&self) -> Version {
        self.sealed.version
    }

    /// The session at one server. `None`: it is to be begun.
    pub(super) fn session(&self, cx: &Cx<'_>, upstream: &McpUpstream) -> Option<Session> {
        let name = upstream.name.as_str();
        let note = cx.store().get(&self.place(name)).ok().flatten();
        let noted = note.and_then(|note| self.sealer.open_note(&self.token, name, &note.value));
        let begun = || self.sealed.parts.iter().find(|(known, _)| known == name);
        noted.or_else(|| begun().map(|(_, session)| session.clone()))
    }

    /// A session has begun anew at a server.
    pub(super) fn note(&self, cx: &Cx<'_>, upstream: &McpUpstream, session: &Session) {
        let name = upstream.name.as_str();
        if let Some(note) = self.sealer.seal_note(&self.token, name, session) {
            // Without the note it begins once more.
            let _noted = cx.store().set(&self.place(name), &note, None);
        }
    }

    fn place(&self, server: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.token, server).hash(&mut hasher);
        format!("mcp/renewed/{}", hasher.finish() % PLACES)
    }
}

const PLACES: u64 = 4096;
