//! From the paths on the command line to a snapshot that can be served.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
};

use weir_schema::Name;

use crate::{
    compile::{CompileError, compile},
    discovery::Wanted,
    encode::{EncodeError, Encoded},
    file::{File, FileError},
    model::{Model, ModelError},
    modules::{self, Modules, ModulesError},
    secret::{self, Secret, SecretError, SecretSource},
};

/// Reads the configuration again and again, and tells when it is another one.
#[derive(Debug)]
pub struct Loader {
    config: PathBuf,
    modules: PathBuf,
    watched: BTreeSet<PathBuf>,
    last: Option<Inputs>,
    wanted: Option<Wanted>,
}

/// All that a snapshot is made of.
#[derive(Debug, PartialEq, Eq)]
struct Inputs {
    text: String,
    secrets: BTreeMap<Name, Secret>,
    modules: Modules,
}

impl Loader {
    /// A loader that has not read anything yet.
    pub fn new(config: PathBuf, modules: PathBuf) -> Self {
        let watched = BTreeSet::from([config.clone(), modules.join(modules::LIST)]);
        Self { config, modules, watched, last: None, wanted: None }
    }

    /// Reads everything; nothing if it is what was read before.
    pub fn load(&mut self) -> Result<Option<Encoded>, LoadError> {
        let text = read(&self.config)?;
        let file = parse(&self.config, &text)?;
        let folder = self.config.parent().unwrap_or(Path::new(""));
        self.watched = BTreeSet::from([self.config.clone(), self.modules.join(modules::LIST)]);
        self.watched.extend(file.secrets.values().filter_map(|source| match source {
            SecretSource::File(path) => Some(folder.join(path)),
            SecretSource::Env(_) => None,
        }));
        let secrets = secret::read_all(&file.secrets, folder, &|name| env::var(name).ok())
            .map_err(|error| LoadError::Secret(self.config.clone(), error))?;
        let inputs = Inputs { text, secrets, modules: Modules::read(&self.modules)? };
        if self.last.as_ref() == Some(&inputs) {
            return Ok(None);
        }
        let model = checked(&self.config, file, inputs.secrets.clone())?;
        let encoded = Encoded::new(&compile(&model, &inputs.modules)?)?;
        self.last = Some(inputs);
        self.wanted = Some(Wanted::of(&model));
        Ok(Some(encoded))
    }

    /// The services that the last good configuration wants to be found.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// The files that the configuration is read from.
    pub fn watched(&self) -> &BTreeSet<PathBuf> {
        &self.watched
    }

    /// Forgets what was read, as after a refusal: the same files are then read as new.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

/// Reads a configuration file without its secrets.
pub fn model(config: &Path) -> Result<Model, LoadError> {
    let file = parse(config, &read(config)?)?;
    let secrets = secret::placeholders(&file.secrets);
    checked(config, file, secrets)
}

fn checked(path: &Path, file: File, secrets: BTreeMap<Name, Secret>) -> Result<Model, LoadError> {
    file.into_model(secrets).map_err(|error| LoadError::Model(path.into(), error))
}

fn read(path: &Path) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|error| LoadError::Read(path.into(), error))
}

fn parse(path: &Path, text: &str) -> Result<File, LoadError> {
    File::parse(text).map_err(|error| LoadError::File(path.into(), error))
}

/// A configuration that is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Read(PathBuf, io::Error),
    /// The file is wrong in itself.
    #[error("{}:{}{}", .0.display(), if .1.place.is_some() { "" } else { " " }, .1)]
    File(PathBuf, FileError),
    /// A secret cannot be had.
    #[error("{}: {}", .0.display(), .1)]
    Secret(PathBuf, SecretError),
    /// Objects do not fit together.
    #[error("{}: {}", .0.display(), .1)]
    Model(PathBuf, ModelError),
    /// The filters' modules cannot be found.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// The model cannot be written as resources.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A resource cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
