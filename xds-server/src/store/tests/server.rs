//! A PostgreSQL server of the tests' own.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::folder::Folder;

/// A running server; it ends with the last test that has it.
pub(crate) struct Server {
    folder: Folder,
    programs: PathBuf,
    port: u16,
    running: Mutex<Option<Child>>,
}

impl Server {
    /// The server that the tests of this process share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::new());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server that has just started.
    pub(crate) fn new() -> Self {
        let (folder, programs) = (Folder::new(), programs());
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        if let Some((user, group)) = user(folder.path()) {
            chown(&data, Some(user), Some(group)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, programs, port, running: Mutex::default() };
        let options = ["--username=weir", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        let made = server.command("initdb").args(options).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.start();
        server
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://weir@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a new database.
    pub(crate) fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    /// Runs statements, and returns the first column of their rows.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let messages = client.simple_query(statements).await.unwrap();
            let first = |message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0)?.to_owned()),
                _ => None,
            };
            messages.into_iter().filter_map(first).collect()
        })
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&self) {
        let port = self.port.to_string();
        let settings =
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=8MB"];
        let mut command = self.command("postgres");
        command.args(["-p", &port]).args(settings.iter().flat_map(|setting| ["-c", setting]));
        let log = fs::File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        *self.running() = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let began = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = self.url("postgres");
        let ready = || runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls)).is_ok();
        while !ready() {
            let ended = self.running().as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < Duration::from_secs(60), "{}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it at once, as `pg_ctl stop -m fast` does.
    pub(crate) fn stop(&self) {
        let Some(mut child) = self.running().take() else { return };
        let id = child.id().to_string();
        drop(Command::new("kill").args(["-s", "INT", &id]).status());
        drop(child.wait());
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of its programs, on its data; never as root, which they refuse.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(self.folder.join("data")).current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((user, group)) = user(self.folder.path()) {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whom the server runs as where the tests run as root, who owns their folder then: `nobody`.
fn user(folder: &Path) -> Option<(u32, u32)> {
    let is_root = fs::metadata(folder).unwrap().uid() == 0;
    is_root.then_some((65_534, 65_534))
}

/// The folder of the newest PostgreSQL that is installed.
fn programs() -> PathBuf {
    let of_debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = of_debian.map(|version| version.path().join("bin")).collect();
    found.sort();
    found.reverse();
    found.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let has_it = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let found = found.into_iter().find(has_it);
    found.expect("PostgreSQL is missing: tests/servers.sh installs it, or says how")
}
