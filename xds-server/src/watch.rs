//! Tells when a file may have changed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{sync::Notify, time};
use tracing::warn;

/// Watches the folders of files: an editor renames a new file into place, and Kubernetes swaps a link.
#[derive(Debug)]
pub struct FileWatch {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl FileWatch {
    /// A watch over nothing yet.
    pub fn new() -> Result<Self, notify::Error> {
        let changed = Arc::new(Notify::new());
        let signal = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            // Reading the files is an event of its own; it must not lead to another read.
            if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                return;
            }
            signal.notify_one();
        })?;
        Ok(Self { watcher, folders: BTreeSet::new(), changed })
    }

    /// Watches these files, and no others. A folder that cannot be watched is logged and left out.
    pub fn cover(&mut self, files: &BTreeSet<PathBuf>) {
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders(file)).collect();
        for gone in self.folders.difference(&folders) {
            if let Err(error) = self.watcher.unwatch(gone) {
                warn!(folder = %gone.display(), %error, "cannot stop watching");
            }
        }
        let mut covered: BTreeSet<PathBuf> = self.folders.intersection(&folders).cloned().collect();
        for new in folders.difference(&self.folders) {
            match self.watcher.watch(new, RecursiveMode::NonRecursive) {
                Ok(()) => drop(covered.insert(new.clone())),
                Err(error) => warn!(folder = %new.display(), %error, "cannot watch; send SIGHUP to reload"),
            }
        }
        self.folders = covered;
    }

    /// Waits until something has changed, and then until the change is likely to be complete.
    pub async fn changed(&self) {
        self.changed.notified().await;
        time::sleep(SETTLE).await;
    }
}

/// The folder a file is named in and, if the file is a link, the one it lies in.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let real = file.canonicalize().ok();
    [Some(file.to_path_buf()), real].into_iter().flatten().filter_map(|file| {
        let folder = file.parent()?;
        Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_path_buf() })
    })
}

/// How long an editor may take over one change.
const SETTLE: Duration = Duration::from_millis(100);
