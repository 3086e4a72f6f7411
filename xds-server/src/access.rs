//! Who may use the API, and for what.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_schema::{KeyHash, Name};

/// A token of the API, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: Name,
    /// The hash of its secret.
    pub sha256: KeyHash,
    /// How the secret begins, so that its holder can tell which one it is.
    pub prefix: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working. Absent: never.
    pub expires_at: Option<Timestamp>,
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// To register models of this provider, and to say which keys may use them.
    Provider(Name),
    /// To manage the consumers and keys of this domain.
    Tenant(Name),
}

/// A role as it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// `admin`
    Admin,
    /// `provider`
    Provider,
    /// `tenant`
    Tenant,
}

impl Token {
    /// Whether it works at this time.
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl Role {
    /// The role's name.
    pub fn name(&self) -> RoleName {
        match self {
            Self::Admin => RoleName::Admin,
            Self::Provider(_) => RoleName::Provider,
            Self::Tenant(_) => RoleName::Tenant,
        }
    }

    /// The name of the provider or domain that it is bound to.
    pub fn bound_to(&self) -> Option<&Name> {
        match self {
            Self::Admin => None,
            Self::Provider(name) | Self::Tenant(name) => Some(name),
        }
    }

    /// The role of this name that is bound to `bound_to`; nothing if one of the two must not be without the other.
    pub fn of(name: RoleName, bound_to: Option<Name>) -> Option<Self> {
        match (name, bound_to) {
            (RoleName::Admin, None) => Some(Self::Admin),
            (RoleName::Provider, Some(provider)) => Some(Self::Provider(provider)),
            (RoleName::Tenant, Some(domain)) => Some(Self::Tenant(domain)),
            (RoleName::Admin, Some(_)) | (RoleName::Provider | RoleName::Tenant, None) => None,
        }
    }
}

impl RoleName {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Provider, Self::Tenant];

    /// The name as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Provider => "provider",
            Self::Tenant => "tenant",
        }
    }

    /// The role with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}
