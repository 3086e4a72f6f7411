//! What the API can be asked to do, and by whom.

use crate::{access::RoleName, object::ObjectKind};

/// One operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `GET /v1/{kind}`
    List(ObjectKind),
    /// `POST /v1/{kind}`
    Create(ObjectKind),
    /// `GET /v1/{kind}/{name}`
    Get(ObjectKind),
    /// `PUT /v1/{kind}/{name}`
    Put(ObjectKind),
    /// `DELETE /v1/{kind}/{name}`
    Delete(ObjectKind),
    /// `POST /v1/keys/{name}/rotate`
    Rotate,
    /// `GET /v1/models/{name}/keys`
    Authorised,
    /// `PUT /v1/models/{name}/keys/{key}`
    Authorise,
    /// `DELETE /v1/models/{name}/keys/{key}`
    Withdraw,
    /// `POST /v1/apply`
    Apply,
    /// `GET /v1/tokens`
    ListTokens,
    /// `POST /v1/tokens`
    CreateToken,
    /// `DELETE /v1/tokens/{name}`
    RevokeToken,
    /// `POST /v1/snapshots/{version}/restore`
    Restore,
    /// `GET /v1/usage`
    Usage,
    /// `GET /v1/audit`
    Audit,
    /// `GET /v1/quotas/{name}/state`
    QuotaState,
    /// `POST /v1/quotas/{name}/adjust`
    AdjustQuota,
    /// `POST /v1/quotas/{name}/reset`
    ResetQuota,
    /// `POST /v1/templates/render`
    Render,
    /// `GET /v0.1/servers`
    ListServers,
    /// `GET /v0.1/servers/{name}/versions`
    ServerVersions,
    /// `GET /v0.1/servers/{name}/versions/{version}`
    ServerVersion,
    /// `POST /v0.1/publish`
    PublishServer,
    /// `PUT /v0.1/servers/{name}/versions/{version}`
    ReplaceServer,
    /// `DELETE /v0.1/servers/{name}/versions/{version}`
    DeleteServer,
    /// `PATCH /v0.1/servers/{name}/versions/{version}/status`
    SetStatusOfServerVersion,
    /// `PATCH /v0.1/servers/{name}/status`
    SetStatusOfServer,
}

impl Operation {
    /// The roles that may ask for it. What each is shown and may write of it is up to the registry.
    pub(super) fn roles(self) -> &'static [RoleName] {
        use RoleName::{Admin, Provider, Tenant};
        match self {
            Self::List(kind) | Self::Get(kind) => match kind {
                ObjectKind::Domains | ObjectKind::Quotas | ObjectKind::Templates | ObjectKind::Routes => {
                    &[Admin]
                }
                ObjectKind::Providers => &[Admin, Provider],
                ObjectKind::Models => &[Admin, Provider, Tenant],
                ObjectKind::Consumers | ObjectKind::Keys => &[Admin, Tenant],
            },
            Self::Create(kind) | Self::Put(kind) | Self::Delete(kind) => match kind {
                ObjectKind::Domains
                | ObjectKind::Quotas
                | ObjectKind::Providers
                | ObjectKind::Templates
                | ObjectKind::Routes => &[Admin],
                ObjectKind::Models => &[Admin, Provider],
                ObjectKind::Consumers | ObjectKind::Keys => &[Admin, Tenant],
            },
            Self::Rotate => &[Admin, Tenant],
            Self::Authorised | Self::Authorise | Self::Withdraw => &[Admin, Provider],
            Self::Apply
            | Self::ListTokens
            | Self::CreateToken
            | Self::RevokeToken
            | Self::Restore
            | Self::Render => &[Admin],
            Self::ListServers
            | Self::ServerVersions
            | Self::ServerVersion
            | Self::PublishServer
            | Self::ReplaceServer
            | Self::DeleteServer
            | Self::SetStatusOfServerVersion
            | Self::SetStatusOfServer => &[Admin, Tenant],
            Self::Usage => &[Admin, Provider],
            Self::Audit | Self::QuotaState | Self::AdjustQuota | Self::ResetQuota => &[Admin],
        }
    }

    /// The operation's name in the document.
    pub(super) fn id(self) -> String {
        match self {
            Self::List(kind) => format!("list_{}", kind.as_str()),
            Self::Create(kind) => format!("create_{}", kind.as_str()),
            Self::Get(kind) => format!("get_{}", kind.as_str()),
            Self::Put(kind) => format!("put_{}", kind.as_str()),
            Self::Delete(kind) => format!("delete_{}", kind.as_str()),
            Self::Rotate => "rotate_keys".into(),
            Self::Authorised => "list_keys_of_models".into(),
            Self::Authorise => "authorise_keys_for_models".into(),
            Self::Withdraw => "withdraw_keys_from_models".into(),
            Self::Apply => "apply".into(),
            Self::ListTokens => "list_tokens".into(),
            Self::CreateToken => "create_tokens".into(),
            Self::RevokeToken => "revoke_tokens".into(),
            Self::Restore => "restore_snapshots".into(),
            Self::Usage => "usage".into(),
            Self::Audit => "audit".into(),
            Self::QuotaState => "state_of_quotas".into(),
            Self::AdjustQuota => "adjust_quotas".into(),
            Self::ResetQuota => "reset_quotas".into(),
            Self::Render => "render_templates".into(),
            Self::ListServers => "list_mcp_servers".into(),
            Self::ServerVersions => "list_versions_of_mcp_servers".into(),
            Self::ServerVersion => "get_version_of_mcp_servers".into(),
            Self::PublishServer => "publish_mcp_servers".into(),
            Self::ReplaceServer => "put_version_of_mcp_servers".into(),
            Self::DeleteServer => "delete_version_of_mcp_servers".into(),
            Self::SetStatusOfServerVersion => "set_status_of_version_of_mcp_servers".into(),
            Self::SetStatusOfServer => "set_status_of_mcp_servers".into(),
        }
    }
}
