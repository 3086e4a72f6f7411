//! A file, written as an editor writes it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::{Fake, Node};

pub(crate) struct Nodes {
    path: PathBuf,
    /// What is written when the file is back.
    lost: Mutex<Option<String>>,
}

impl Nodes {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("discovery").join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { path: folder.join("nodes.yaml"), lost: Mutex::new(None) }
    }

    fn write(&self, text: &str) {
        let draft = self.path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &self.path).unwrap();
    }
}

impl Fake for Nodes {
    fn section(&self) -> String {
        String::new()
    }

    fn upstream(&self) -> String {
        format!("file://{}", self.path.display())
    }

    fn set(&self, nodes: &[Node]) {
        // A file lists only nodes that are well.
        let line = |node: &Node| format!("- {{address: \"{}:8000\", weight: 2}}\n", node.ip());
        let text: String = nodes.iter().filter(|node| node.well).map(line).collect();
        match &mut *self.lost.lock().unwrap() {
            Some(later) => *later = text,
            None => self.write(&text),
        }
    }

    fn lose(&self) {
        *self.lost.lock().unwrap() = Some(fs::read_to_string(&self.path).unwrap());
        fs::remove_file(&self.path).unwrap();
    }

    fn restore(&self) {
        if let Some(text) = self.lost.lock().unwrap().take() {
            self.write(&text);
        }
    }
}
