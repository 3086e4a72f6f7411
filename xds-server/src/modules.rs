//! The filters' modules: which file each one is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Where the modules are, as Envoy sees them. A module's name has its content's hash in it, so another
/// module is another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    /// The `auth` filter.
    pub auth: PathBuf,
    /// The `chat-template` filter; an older build has none.
    pub chat_template: Option<PathBuf>,
    /// The `mcp` filter; an older build has none.
    pub mcp: Option<PathBuf>,
    /// The `model-compat` filter.
    pub model_compat: PathBuf,
    /// The `quota` filter.
    pub quota: PathBuf,
    /// The `quota` filter with the tables to count prompts token by token; not every build has it.
    pub quota_exact: Option<PathBuf>,
    /// The `router` filter.
    pub router: PathBuf,
}

impl Modules {
    /// Reads `modules.json` of a folder and checks that the files are there.
    pub fn read(folder: &Path) -> Result<Self, ModulesError> {
        let list = folder.join(LIST);
        let refused = |problem| ModulesError { path: list.clone(), problem };
        let text = fs::read_to_string(&list).map_err(|error| refused(Problem::Io(error)))?;
        let names: Names = serde_json::from_str(&text).map_err(|error| refused(Problem::Json(error)))?;
        let find = |name: &str| {
            let path = folder.join(name);
            fs::canonicalize(&path).map_err(|error| ModulesError { path, problem: Problem::Io(error) })
        };
        Ok(Self {
            auth: find(&names.auth)?,
            chat_template: names.chat_template.as_deref().map(find).transpose()?,
            mcp: names.mcp.as_deref().map(find).transpose()?,
            model_compat: find(&names.model_compat)?,
            quota: find(&names.quota)?,
            quota_exact: names.quota_exact.as_deref().map(find).transpose()?,
            router: find(&names.router)?,
        })
    }

    /// Paths of modules that need not exist, for checks that load none.
    pub fn placeholders() -> Self {
        Self {
            auth: "/modules/auth.wasm".into(),
            chat_template: Some("/modules/chat-template.wasm".into()),
            mcp: Some("/modules/mcp.wasm".into()),
            model_compat: "/modules/model-compat.wasm".into(),
            quota: "/modules/quota.wasm".into(),
            quota_exact: Some("/modules/quota-exact.wasm".into()),
            router: "/modules/router.wasm".into(),
        }
    }
}

/// A folder without usable modules.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct ModulesError {
    /// The file that is missing or wrong.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a module's file or the list of them.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// It is not the list that the build writes.
    #[error(transparent)]
    Json(serde_json::Error),
}

/// The list of modules. A newer build may have more of them.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Names {
    auth: String,
    chat_template: Option<String>,
    mcp: Option<String>,
    model_compat: String,
    quota: String,
    quota_exact: Option<String>,
    router: String,
}

/// The list's name in the folder of the modules.
pub const LIST: &str = "modules.json";
