//! Who may use the API: tokens are made, shown and revoked.

use jiff::Timestamp;
use weir_schema::{KeyHash, Name};

use super::{Connection, Refusal, Registry, State, now};
use crate::{
    access::{Role, Token},
    marketplace::Published,
    object::{ObjectId, ObjectKind},
    store::Change,
    suggest::{hint, nearest},
};

impl Registry {
    /// The token with this secret, if it works now.
    pub fn token(&self, sha256: &KeyHash) -> Result<Option<Token>, Refusal> {
        let state = self.state();
        match state.connection {
            Connection::Absent => Err(Refusal::NoStore),
            Connection::Open | Connection::Away(_) => {
                let now = Timestamp::now();
                let mut known = state.contents.tokens.values().filter(|token| token.works_at(now));
                Ok(known.find(|token| token.sha256 == *sha256).cloned())
            }
        }
    }

    /// Every token, by name.
    pub fn tokens(&self) -> Result<Vec<Token>, Refusal> {
        let state = self.state();
        state.store()?;
        Ok(state.contents.tokens.values().cloned().collect())
    }

    /// Lets a token use the API. What it is bound to must be there.
    pub fn admit(&self, token: &Token) -> Result<Token, Refusal> {
        self.change(|writer| {
            if writer.state.contents.tokens.contains_key(&token.name) {
                return Err(Refusal::TokenExists(token.name.clone()));
            }
            writer.state.check_binding(&token.role)?;
            let token = Token { created_at: now(), ..token.clone() };
            writer.save(&[Change::Admit(token.clone())])?;
            Ok(token)
        })
    }

    /// Makes a token useless from now on.
    pub fn revoke(&self, name: &Name) -> Result<(), Refusal> {
        self.change(|writer| {
            let tokens = &writer.state.contents.tokens;
            let token = tokens.get(name).ok_or_else(|| Refusal::NoToken(name.clone()))?;
            let endless = |token: &&Token| token.role == Role::Admin && token.expires_at.is_none();
            if endless(&token) && tokens.values().filter(endless).count() == 1 {
                return Err(Refusal::LastToken(name.clone()));
            }
            writer.save(&[Change::Revoke(name.clone())])
        })
    }
}

impl State {
    fn check_binding(&self, role: &Role) -> Result<(), Refusal> {
        let (kind, name) = match role {
            Role::Admin => return Ok(()),
            Role::Provider(name) => (ObjectKind::Providers, name),
            Role::Tenant(name) => (ObjectKind::Domains, name),
        };
        let known = self.entries(kind);
        // Without tenants there is one, `default`.
        let default = kind == ObjectKind::Domains && known.is_empty() && *name == Name::default_domain();
        if default || known.contains_key(name.as_str()) {
            return Ok(());
        }
        let field = kind.as_str().trim_end_matches('s');
        let suggestion = nearest(name.as_str(), known.keys().map(String::as_str));
        let problem = format!("no {field} is named \"{name}\"{}", hint(suggestion));
        Err(Refusal::Invalid { object: None, field: field.into(), problem })
    }

    /// The changes, and those that revoke the tokens of what they remove, and what it has published: another object of
    /// its name must not be open to them.
    pub(super) fn with_revocations(&self, changes: &[Change]) -> Vec<Change> {
        let removed = changes.iter().filter_map(|change| match change {
            Change::Delete(id) => Some(id),
            _ => None,
        });
        changes.iter().cloned().chain(removed.flat_map(|id| self.revocations(id))).collect()
    }

    fn revocations(&self, id: &ObjectId) -> Vec<Change> {
        let bound = |token: &&Token| match &token.role {
            Role::Admin => false,
            Role::Provider(name) => id.kind == ObjectKind::Providers && id.name == name.as_str(),
            Role::Tenant(name) => id.kind == ObjectKind::Domains && id.name == name.as_str(),
        };
        let tokens =
            self.contents.tokens.values().filter(bound).map(|token| Change::Revoke(token.name.clone()));
        let is_own = |published: &&Published| {
            let domain = published.domain.as_ref().filter(|_| id.kind == ObjectKind::Domains);
            domain.is_some_and(|domain| id.name == domain.as_str())
        };
        let published = self.contents.published.values().filter(is_own).map(|published| {
            let Published { document, .. } = published;
            Change::Unpublish(document.name().into(), document.version().into())
        });
        tokens.chain(published).collect()
    }
}
