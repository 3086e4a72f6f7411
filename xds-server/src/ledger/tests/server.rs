//! Redis servers of the tests' own.

use std::{
    fs::File,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult, cmd};

use crate::folder::Folder;

/// A running server that saves each change before it answers; it ends with the test.
pub(crate) struct Server {
    folder: Folder,
    pub(crate) port: u16,
    /// Where the others of a cluster reach it; 0 if it is alone.
    cluster_port: u16,
    running: Mutex<Option<Child>>,
}

impl Server {
    /// A server that has just started.
    pub(crate) fn new() -> Self {
        Self::start_new(false)
    }

    /// Three servers that make a cluster.
    pub(crate) fn cluster() -> [Self; 3] {
        let servers = [(); 3].map(|()| Self::start_new(true));
        let slots = [(0, 5460), (5461, 10_922), (10_923, 16_383)];
        for (server, (first, last)) in servers.iter().zip(slots) {
            server.ask::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last)).unwrap();
        }
        for other in &servers[1..] {
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(other.port).arg(other.cluster_port);
            servers[0].ask::<()>(&meet).unwrap();
        }
        let is_whole = |server: &Self| {
            let info: String = server.ask(cmd("CLUSTER").arg("INFO")).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        until(|| servers.iter().all(is_whole));
        servers
    }

    fn start_new(is_in_cluster: bool) -> Self {
        let cluster_port = if is_in_cluster { free_port() } else { 0 };
        let server =
            Self { folder: Folder::new(), port: free_port(), cluster_port, running: Mutex::default() };
        server.start();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&self) {
        let log = File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command.arg("--port").arg(self.port.to_string()).arg("--dir").arg(self.folder.path());
        if self.cluster_port > 0 {
            command.args(["--cluster-enabled", "yes", "--cluster-port"]).arg(self.cluster_port.to_string());
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let missing = "redis-server is missing: tests/servers.sh installs it, or says how";
        *self.running() = Some(command.spawn().expect(missing));
        until(|| self.ask::<String>(&cmd("PING")).is_ok());
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.running().take() else { return };
        drop(child.kill());
        drop(child.wait());
    }

    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut connection: Connection = Client::open(self.url())?.get_connection()?;
        command.query(&mut connection)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "in vain");
        thread::sleep(Duration::from_millis(20));
    }
}
