//! What the configuration offers of MCP servers together with what was published, and publishing more.

use serde_json::Value;

use super::{Entry, Refusal, Registry, State, now};
use crate::{
    access::Role,
    marketplace::{Document, Lifecycle, Market, Problem, Published, StatusChange, Viewer},
    object::ObjectKind,
    store::Change,
};

impl Registry {
    /// What somebody is shown.
    pub fn market(&self, viewer: &Viewer) -> Market {
        self.state().market(viewer)
    }

    /// What a caller of the gateway is shown, by its key. `None`: there is no such key any more.
    pub fn market_of(&self, domain: &str, key: &str) -> Option<Market> {
        let state = self.state();
        state.loader.catalog().caller(domain, key).map(|viewer| state.market(&viewer))
    }

    /// Publishes a version of a server that is not there yet.
    pub fn publish(&self, role: &Role, document: &Document) -> Result<Value, Refused> {
        let published = self.change(|writer| {
            let (name, version) = (document.name(), document.version());
            let allowed = writer.state.may_publish(role, document).and_then(|()| {
                let taken = writer.state.contents.published.contains_key(&place(name, version));
                let most = writer.state.contents.published.len() >= MOST;
                match (taken, most) {
                    (true, _) => {
                        Err(Problem::Bad(format!("version: {version} of {name} is published already")))
                    }
                    (false, true) => Err(Problem::Bad(format!("there are {MOST} versions already"))),
                    (false, false) => Ok(()),
                }
            });
            if let Err(problem) = allowed {
                return Ok(Err(problem));
            }
            let at = now();
            let published = Published {
                document: document.clone(),
                domain: role.bound_to().cloned(),
                status: Lifecycle::Active,
                status_message: None,
                status_changed_at: at,
                published_at: at,
                updated_at: at,
            };
            writer.save(&[Change::Publish(Box::new(published))])?;
            Ok(Ok(()))
        });
        published?.map_err(Refused::Problem)?;
        self.published(role, document.name(), document.version())
    }

    /// Publishes another document in place of the one of its version.
    pub fn republish(&self, role: &Role, document: &Document) -> Result<Value, Refused> {
        self.alter(role, document.name(), Some(document.version()), |state, published| {
            state.may_publish(role, document)?;
            Ok(Published { document: document.clone(), updated_at: now(), ..published.clone() })
        })?;
        self.published(role, document.name(), document.version())
    }

    /// Says of a version of a server, or of all, whether it is to be used; how many that are.
    pub fn set_status(
        &self,
        role: &Role,
        name: &str,
        version: Option<&str>,
        change: &StatusChange,
    ) -> Result<Vec<Value>, Refused> {
        let versions = self.alter(role, name, version, |_, published| {
            let is_so = published.status == change.status && published.status_message == change.message;
            if version.is_some() && is_so {
                let status = change.status.as_str();
                return Err(Problem::Bad(format!("No changes to apply: status is already {status}")));
            }
            let at = now();
            let (status, status_message) = (change.status, change.message.clone());
            let changed = if is_so { published.status_changed_at } else { at };
            let updated_at = if is_so { published.updated_at } else { at };
            Ok(Published {
                status,
                status_message,
                status_changed_at: changed,
                updated_at,
                ..published.clone()
            })
        })?;
        versions.iter().map(|version| self.published(role, name, version)).collect()
    }

    /// Marks a version as deleted, or with `purge` forgets it.
    pub fn unpublish(&self, role: &Role, name: &str, version: &str, purge: bool) -> Result<Value, Refused> {
        let before = self.alter(role, name, Some(version), |_, published| {
            let at = now();
            let changed =
                if published.status == Lifecycle::Deleted { published.status_changed_at } else { at };
            Ok(Published {
                status: Lifecycle::Deleted,
                status_changed_at: changed,
                updated_at: at,
                ..published.clone()
            })
        });
        before?;
        let deleted = self.published(role, name, version)?;
        if purge {
            self.change(|writer| writer.save(&[Change::Unpublish(name.into(), version.into())]))?;
        }
        Ok(deleted)
    }

    /// Changes the versions of a server that the role may change, all or none; which ones.
    fn alter(
        &self,
        role: &Role,
        name: &str,
        version: Option<&str>,
        alter: impl Fn(&State, &Published) -> Result<Published, Problem>,
    ) -> Result<Vec<String>, Refused> {
        let altered = self.change(|writer| {
            let changed = writer.state.published_by(role, name, version).and_then(|found| {
                found.iter().map(|published| alter(&writer.state, published)).collect::<Result<Vec<_>, _>>()
            });
            let changed = match changed {
                Ok(changed) => changed,
                Err(problem) => return Ok(Err(problem)),
            };
            let versions = changed.iter().map(|published| published.document.version().to_owned()).collect();
            let changes: Vec<_> =
                changed.into_iter().map(|published| Change::Publish(Box::new(published))).collect();
            writer.save(&changes)?;
            Ok(Ok(versions))
        });
        altered?.map_err(Refused::Problem)
    }

    fn published(&self, role: &Role, name: &str, version: &str) -> Result<Value, Refused> {
        let market = self.market(&viewer(role));
        market.version(name, version, true).ok_or(Refused::Problem(Problem::NoServer))
    }
}

impl State {
    fn market(&self, viewer: &Viewer) -> Market {
        let file = self.loader.written_at();
        let offers = self.loader.catalog().documents(viewer).into_iter().map(|(route, document)| {
            let stored = match self.entry(&ObjectKind::Routes.id(route)) {
                Some(Entry::Stored(stored)) => Some((stored.created_at, stored.updated_at)),
                Some(Entry::File(_)) | None => None,
            };
            (document, stored.unwrap_or((file, file)))
        });
        let published = self.contents.published.values();
        Market::new(offers, published.filter(|published| viewer.sees(published.domain.as_ref())))
    }

    /// Whether the role may publish under the name: a tenant only under its own.
    fn may_publish(&self, role: &Role, document: &Document) -> Result<(), Problem> {
        let name = document.name();
        if self.loader.catalog().has(name) {
            return Err(Problem::Forbidden(of_configuration(name)));
        }
        let Some(domain) = role.bound_to() else { return Ok(()) };
        if !self.loader.catalog().owns(domain, document.namespace()) {
            let rule = format!(
                "what the tenant \"{domain}\" publishes has a namespace that is one of its hosts in reverse"
            );
            return Err(Problem::Forbidden(rule));
        }
        let of_others =
            self.contents.published.values().any(|published| {
                published.document.name() == name && published.domain.as_ref() != Some(domain)
            });
        if of_others { Err(Problem::Forbidden(format!("{name} is somebody else's"))) } else { Ok(()) }
    }

    /// What was published of a server, if the role may change it.
    fn published_by(
        &self,
        role: &Role,
        name: &str,
        version: Option<&str>,
    ) -> Result<Vec<Published>, Problem> {
        let shown = |published: &&Published| {
            published.document.name() == name && viewer(role).sees(published.domain.as_ref())
        };
        let found: Vec<_> = self.contents.published.values().filter(shown).cloned().collect();
        if found.is_empty() {
            return Err(match self.market(&viewer(role)).versions(name, true) {
                Some(_) => Problem::Forbidden(of_configuration(name)),
                None => Problem::NoServer,
            });
        }
        let is_asked =
            |published: &Published| version.is_none_or(|version| published.document.version() == version);
        let found: Vec<_> = found.into_iter().filter(is_asked).collect();
        if found.is_empty() {
            return Err(Problem::NoVersion);
        }
        let is_own =
            |published: &Published| role.bound_to().is_none_or(|own| published.domain.as_ref() == Some(own));
        if found.iter().all(is_own) {
            Ok(found)
        } else {
            Err(Problem::Forbidden(format!("{name} is somebody else's")))
        }
    }
}

/// Why something is not published.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The request is not to be granted.
    #[error(transparent)]
    Problem(Problem),
    /// The store refuses.
    #[error(transparent)]
    Registry(#[from] Refusal),
}

/// What a role is shown.
pub fn viewer(role: &Role) -> Viewer {
    match role {
        Role::Admin | Role::Provider(_) => Viewer::Everything,
        Role::Tenant(domain) => Viewer::Domain(domain.clone()),
    }
}

fn of_configuration(name: &str) -> String {
    format!("{name} is a server of the configuration, and is changed there")
}

fn place(name: &str, version: &str) -> (String, String) {
    (name.to_owned(), version.to_owned())
}

/// How many versions of servers there may be in all.
const MOST: usize = 10_000;
