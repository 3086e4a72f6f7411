//! From the paths on the command line to a snapshot that can be served.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Map, Value};
use weir_schema::Name;

use crate::{
    compile::{CompileError, compile},
    discovery::Wanted,
    encode::{EncodeError, Encoded},
    file::{File, FileError},
    gateways::{Gateways, Selection},
    marketplace::Catalog,
    model::{Model, ModelError},
    modules::{self, Modules, ModulesError},
    object::{Object, ObjectId},
    secret::{self, Secret, SecretError, SecretSource},
};

/// Reads the configuration again and again, and tells when it is another one.
#[derive(Debug)]
pub struct Loader {
    config: PathBuf,
    modules: PathBuf,
    watched: BTreeSet<PathBuf>,
    last: Option<Inputs>,
    refused: bool,
    wanted: Option<Wanted>,
    has_ledger: bool,
    has_records: bool,
    accepted: Gateways,
    catalog: Catalog,
    written_at: Timestamp,
}

/// All that a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inputs {
    file: File,
    stored: Vec<Object>,
    secrets: BTreeMap<Name, Secret>,
    documents: BTreeMap<String, Map<String, Value>>,
    modules: Modules,
}

/// A configuration that is right, before it is served.
#[derive(Debug)]
pub struct Candidate {
    inputs: Inputs,
    gateways: Gateways,
    wanted: Wanted,
    catalog: Catalog,
}

impl Loader {
    /// A loader that has not read anything yet.
    pub fn new(config: PathBuf, modules: PathBuf) -> Self {
        let watched = BTreeSet::from([config.clone(), modules.join(modules::LIST)]);
        Self {
            config,
            modules,
            watched,
            last: None,
            refused: false,
            wanted: None,
            has_ledger: false,
            has_records: false,
            accepted: Gateways::default(),
            catalog: Catalog::default(),
            written_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Whether Envoys answer for what they admit to a ledger beside this, and send usage records.
    #[must_use]
    pub fn with_ledger(self, has_ledger: bool, has_records: bool) -> Self {
        Self { has_ledger, has_records, ..self }
    }

    /// Reads everything, beside the objects that are stored; nothing if it is what was read before.
    pub fn load(&mut self, stored: Vec<Object>) -> Result<Option<Gateways>, LoadError> {
        let inputs = self.read(stored)?;
        if !self.refused && self.last.as_ref() == Some(&inputs) {
            return Ok(None);
        }
        let candidate = self.seal(inputs)?;
        self.refused = false;
        Ok(Some(self.accept(candidate)))
    }

    /// What would be served with other stored objects, and otherwise as it is.
    pub fn candidate(&mut self, stored: Vec<Object>) -> Result<Candidate, LoadError> {
        let inputs = match &self.last {
            Some(last) => Inputs { stored, ..last.clone() },
            None => self.read(stored)?,
        };
        self.seal(inputs)
    }

    /// Takes a candidate as what is served from now on.
    pub fn accept(&mut self, candidate: Candidate) -> Gateways {
        self.last = Some(candidate.inputs);
        self.wanted = Some(candidate.wanted);
        self.catalog = candidate.catalog;
        self.accepted = candidate.gateways.clone();
        candidate.gateways
    }

    /// The MCP servers of the last good configuration.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// When the file was last changed that was read last.
    pub fn written_at(&self) -> Timestamp {
        self.written_at
    }

    /// The file that is served, if any is.
    pub fn file(&self) -> Option<&File> {
        self.last.as_ref().map(|inputs| &inputs.file)
    }

    fn read(&mut self, stored: Vec<Object>) -> Result<Inputs, LoadError> {
        let file = parse(&self.config, &read(&self.config)?)?;
        self.written_at = written_at(&self.config);
        let folder = self.config.parent().unwrap_or(Path::new(""));
        self.watched = BTreeSet::from([self.config.clone(), self.modules.join(modules::LIST)]);
        self.watched.extend(file.secrets.values().filter_map(|source| match source {
            SecretSource::File(path) => Some(folder.join(path)),
            SecretSource::Env(_) => None,
        }));
        self.watched.extend(file.documents().map(|path| folder.join(path)));
        let documents = documents(&file, folder)?;
        let secrets = secret::read_all(&file.secrets, folder, &|name| env::var(name).ok())
            .map_err(|error| LoadError::Secret(self.config.clone(), error))?;
        Ok(Inputs { file, stored, secrets, documents, modules: Modules::read(&self.modules)? })
    }

    fn seal(&self, inputs: Inputs) -> Result<Candidate, LoadError> {
        let mut file = inputs.file.clone().with_documents(&inputs.documents);
        let named: BTreeSet<ObjectId> = file.ids().collect();
        for object in inputs.stored.iter().cloned() {
            if named.contains(&object.id()) {
                return Err(LoadError::Clash(self.config.clone(), object.id()));
            }
            file.insert(object);
        }
        if file.gateways.is_empty() {
            file.gateway.get_or_insert_default();
        }
        for gateway in file.gateway.iter_mut().chain(&mut file.gateways) {
            (gateway.has_ledger, gateway.has_records) = (self.has_ledger, self.has_records);
        }
        let model = checked(&self.config, file, inputs.secrets.clone())?;
        let gateways = self.compile(&model, &inputs.modules)?;
        Ok(Candidate { inputs, gateways, wanted: Wanted::of(&model), catalog: Catalog::of(&model) })
    }

    /// A snapshot for each gateway. What does not change is shared with the gateways before it and with what is served.
    fn compile(&self, model: &Model, modules: &Modules) -> Result<Gateways, LoadError> {
        let mut known: Vec<Arc<Encoded>> = self.accepted.snapshots().values().cloned().collect();
        let mut snapshots = BTreeMap::new();
        for gateway in model.of_gateways() {
            let snapshot = Arc::new(Encoded::reusing(&compile(&gateway, modules)?, &known)?);
            known.push(Arc::clone(&snapshot));
            snapshots.insert(gateway.parts().gateway.name.clone(), snapshot);
        }
        let selection = if model.has_gateways() { Selection::ByCluster } else { Selection::Everyone };
        Ok(Gateways::new(selection, snapshots))
    }

    /// The services that the last good configuration wants to be found.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// The files that the configuration is read from.
    pub fn watched(&self) -> &BTreeSet<PathBuf> {
        &self.watched
    }

    /// Remembers that what was read last is not served: the files that are served are then read as new.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// Whether what was read last is not served.
    pub fn is_refused(&self) -> bool {
        self.refused
    }
}

/// Reads a configuration file without its secrets.
pub fn model(config: &Path) -> Result<Model, LoadError> {
    let file = whole(config)?;
    let secrets = secret::placeholders(&file.secrets);
    checked(config, file, secrets)
}

/// Reads a configuration file with the documents that it names.
pub fn whole(config: &Path) -> Result<File, LoadError> {
    let file = parse(config, &read(config)?)?;
    let documents = documents(&file, config.parent().unwrap_or(Path::new("")))?;
    Ok(file.with_documents(&documents))
}

/// The OpenAPI documents that a file names by their paths.
fn documents(file: &File, folder: &Path) -> Result<BTreeMap<String, Map<String, Value>>, LoadError> {
    let documents = file.documents().map(|path| {
        let at = folder.join(path);
        let document = File::document(&read(&at)?).map_err(|error| LoadError::File(at, error))?;
        Ok((path.to_owned(), document))
    });
    documents.collect()
}

fn checked(path: &Path, file: File, secrets: BTreeMap<Name, Secret>) -> Result<Model, LoadError> {
    file.into_model(secrets).map_err(|error| LoadError::Model(path.into(), error))
}

fn read(path: &Path) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|error| LoadError::Read(path.into(), error))
}

/// When a file was last changed, to the second.
fn written_at(path: &Path) -> Timestamp {
    let modified = fs::metadata(path).and_then(|about| about.modified()).ok();
    let seconds = modified.and_then(|time| Timestamp::try_from(time).ok()).map(Timestamp::as_second);
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
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
    /// The file names an object that the API has made.
    #[error("{}: {}: the store has an object of this name; delete one of the two", .0.display(), .1)]
    Clash(PathBuf, ObjectId),
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
