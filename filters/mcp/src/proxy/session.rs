//! Whose the session at a server behind this one is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use weir_core::{Cx, Level};

use super::seal::{Holder, Sealed, Sealer, Session};
use crate::version::Version;

/// How the session of a request is bound to the caller.
#[derive(Debug)]
pub(super) enum Binding {
    /// The revision has no sessions.
    Free,
    /// It is sealed, and so bound at every Envoy.
    Sealed(Rc<Sealer>),
    /// This Envoy remembers it, as far as it does.
    Noted,
}

/// The session is not the caller's.
#[derive(Debug)]
pub(super) struct Foreign;

impl Binding {
    pub(super) fn of(sealer: Option<Rc<Sealer>>, is_modern: bool) -> Self {
        match sealer {
            _ if is_modern => Self::Free,
            Some(sealer) => Self::Sealed(sealer),
            None => Self::Noted,
        }
    }

    /// Sends the session that a request says it has on to the server, if it is the caller's.
    pub(super) fn send(
        &self,
        cx: &mut Cx<'_>,
        holder: Holder<'_>,
        session: Option<&[u8]>,
    ) -> Result<(), Foreign> {
        let Some(session) = session else { return Ok(()) };
        match self {
            Self::Free => cx.remove_request_header(HEADER),
            Self::Sealed(sealer) => {
                let opened = sealer.open(holder, session, cx.now()).ok_or(Foreign)?;
                let id = opened.parts.into_iter().next().and_then(|(_, session)| session.id);
                cx.set_request_header(HEADER, id.ok_or(Foreign)?);
            }
            Self::Noted if Sessions::may_use(cx, session, holder.consumer) => {}
            Self::Noted => return Err(Foreign),
        }
        Ok(())
    }

    /// The server has answered, and named a session: one that has begun if the request was to begin one.
    pub(super) fn answer(&self, cx: &mut Cx<'_>, holder: Holder<'_>, session: &[u8], begins: bool) {
        match (self, str::from_utf8(session)) {
            (Self::Free | Self::Noted, _) if !begins => {}
            (Self::Free, _) => {}
            (Self::Noted, _) => Sessions::note(cx, session, holder.consumer),
            (Self::Sealed(sealer), Ok(id)) if begins => {
                let version = Version::NEWEST_LEGACY;
                let part = (holder.server.to_owned(), Session { id: Some(id.to_owned()), version });
                match sealer.seal(holder, &Sealed::new(cx.now(), version, vec![part])) {
                    Some(token) => cx.set_response_header(HEADER, token),
                    None => {
                        cx.log(
                            Level::Warn,
                            "weir.mcp: the id of a server's session is too long to be sealed",
                        );
                        cx.remove_response_header(HEADER);
                    }
                }
            }
            (Self::Sealed(_), _) => cx.remove_response_header(HEADER),
        }
    }

    /// Whether every answer's head is to be read, as it may name the session.
    pub(super) fn hides(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }
}

/// The sessions that servers behind this one have begun, by whom: a bounded table that all workers share. A session that
/// has lost its place in it is as good as its id.
pub(super) struct Sessions;

impl Sessions {
    /// A session has begun.
    fn note(cx: &Cx<'_>, session: &[u8], consumer: Option<&str>) {
        let (slot, entry) = entry(session, consumer);
        // Without a place it is bound to nobody, which no caller sees.
        let _noted = cx.store().set(&slot, &entry, None);
    }

    /// Whether a caller may use a session: its own, or one that nobody here knows.
    fn may_use(cx: &Cx<'_>, session: &[u8], consumer: Option<&str>) -> bool {
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
