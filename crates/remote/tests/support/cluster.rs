//! A cluster on this machine: masters that share the slots, and a replica of the first.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::Path;

use redis::{cmd, Cmd, Value};
use remote::keys;

use super::{late, open, until, Server};

pub struct Cluster {
    pub masters: Vec<Server>,
    pub replica: Option<Server>,
}

/// How many slots there are.
const SLOTS: u16 = 16384;

pub fn ask(server: &Server, command: &Cmd) -> Value {
    match open(&server.url(), late()).unwrap().request(command, late()).unwrap() {
        Value::ServerError(error) => panic!("{error:?}"),
        reply => reply,
    }
}

fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        Value::VerbatimString { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

pub fn cluster(words: &[&str]) -> Cmd {
    let mut command = cmd("CLUSTER");
    words.iter().for_each(|word| _ = command.arg(word));
    command
}

fn is_well(server: &Server) -> bool {
    text(ask(server, &cluster(&["INFO"]))).contains("cluster_state:ok")
}

/// A node's name.
pub fn id(server: &Server) -> String {
    text(ask(server, &cluster(&["MYID"])))
}

/// Each master's name and epoch, as a node says.
fn epochs(server: &Server) -> Vec<(String, String)> {
    let nodes = text(ask(server, &cluster(&["NODES"])));
    let fields = nodes.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let masters = fields.filter(|fields| fields[2].contains("master"));
    let mut epochs: Vec<_> = masters.map(|fields| (fields[0].to_owned(), fields[6].to_owned())).collect();
    epochs.sort();
    epochs
}

/// One node that knows no other; its port for the others is beside.
fn node(program: &Path) -> (Server, String) {
    let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    // (Nobody fails for being slow.)
    let mut arguments = vec!["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "60000"];
    arguments.extend(["--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"]);
    (Server::start(program, &arguments, None).expect("a node that starts"), bus)
}

impl Cluster {
    pub fn start(program: &Path, masters: usize) -> Cluster {
        Cluster { masters: together(program, masters, masters), replica: None }.agreed()
    }

    /// With a replica of the first master.
    pub fn with_replica(program: &Path, masters: usize) -> Cluster {
        let mut nodes = together(program, masters + 1, masters);
        let replica = nodes.pop().unwrap();
        let master = id(&nodes[0]);
        until("the replica hears of its master", || {
            let mut connection = open(&replica.url(), late()).unwrap();
            connection.request(&cluster(&["REPLICATE", &master]), late()).unwrap() == Value::Okay
        });
        until("the replica follows", || {
            text(ask(&replica, cmd("INFO").arg("replication"))).contains("master_link_status:up")
        });
        Cluster { masters: nodes, replica: Some(replica) }.agreed()
    }

    /// Another master, without slots.
    pub fn grow(&mut self, program: &Path) {
        let (server, bus) = node(program);
        ask(&self.masters[0], &cluster(&["MEET", "127.0.0.1", &server.port.to_string(), &bus]));
        self.masters.push(server);
        let all = self.nodes().count();
        let knows = |server: &Server| text(ask(server, &cluster(&["NODES"]))).lines().count() == all;
        until("all know each other", || self.nodes().all(knows));
        until("the new one serves", || self.nodes().all(is_well));
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Server> {
        self.masters.iter().chain(&self.replica)
    }

    /// An address that names one node, and one that is not there.
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", self.masters[1].port)
    }

    /// Waits until all nodes say that all is well, and say the same.
    fn agreed(self) -> Cluster {
        until("the nodes agree", || {
            let said: Vec<_> = self.nodes().map(|server| self.owners(server)).collect();
            self.nodes().all(is_well) && said.windows(2).all(|pair| pair[0] == pair[1])
        });
        self
    }

    /// The ports of all slots' masters, as a node says.
    fn owners(&self, server: &Server) -> Vec<Option<i64>> {
        let Value::Array(ranges) = ask(server, &cluster(&["SLOTS"])) else { panic!("ranges") };
        let mut owners = vec![None; usize::from(SLOTS)];
        for range in ranges {
            let Value::Array(range) = range else { panic!("a range") };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { panic!("a range") };
            let Value::Int(port) = master[1] else { panic!("a port") };
            owners[*first as usize..=*last as usize].fill(Some(port));
        }
        owners
    }

    /// Which master has a slot.
    pub fn owner(&self, slot: u16) -> usize {
        let port = self.owners(&self.masters[1])[usize::from(slot)];
        self.masters.iter().position(|server| Some(i64::from(server.port)) == port).expect("a master that has it")
    }

    /// Says that a slot is on its way; nothing moves yet.
    pub fn begin(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (&self.masters[from], &self.masters[to]);
        ask(target, &cluster(&["SETSLOT", &slot.to_string(), "IMPORTING", &id(source)]));
        ask(source, &cluster(&["SETSLOT", &slot.to_string(), "MIGRATING", &id(target)]));
    }

    /// Moves the keys that a slot has now.
    pub fn migrate(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (&self.masters[from], &self.masters[to]);
        loop {
            let Value::Array(keys) = ask(source, &cluster(&["GETKEYSINSLOT", &slot.to_string(), "10"])) else { return };
            if keys.is_empty() {
                return;
            }
            for key in keys {
                let Value::BulkString(key) = key else { panic!("a key") };
                let mut migrate = cmd("MIGRATE");
                ask(source, migrate.arg("127.0.0.1").arg(target.port).arg(key).arg(0).arg(20000));
            }
        }
    }

    /// The slot is the other one's.
    pub fn end(&self, slot: u16, to: usize) {
        let name = id(&self.masters[to]);
        ask(&self.masters[to], &cluster(&["SETSLOT", &slot.to_string(), "NODE", &name]));
        for server in &self.masters {
            ask(server, &cluster(&["SETSLOT", &slot.to_string(), "NODE", &name]));
        }
        // Whoever takes a slot raises its epoch above all that it knows. One that has not heard of the last raise takes the same
        // epoch or a lower one, and loses the slot with its keys to a message that the slot's last master sent before: so the
        // next move waits until all know.
        until("the nodes agree on the epochs", || {
            let said: Vec<_> = self.masters.iter().map(epochs).collect();
            let distinct: HashSet<_> = said[0].iter().map(|(_, epoch)| epoch).collect();
            distinct.len() == said[0].len() && said.windows(2).all(|pair| pair[0] == pair[1])
        });
    }

    /// Moves a slot, as an operator's tool does.
    pub fn transfer(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        self.begin(slot, from, to);
        self.migrate(slot, from, to);
        self.end(slot, to);
    }
}

/// Nodes that know each other; the first of them share the slots.
fn together(program: &Path, count: usize, masters: usize) -> Vec<Server> {
    let nodes: Vec<(Server, String)> = (0..count).map(|_| node(program)).collect();
    for (i, (server, _)) in nodes.iter().enumerate() {
        ask(server, &cluster(&["SET-CONFIG-EPOCH", &(i + 1).to_string()]));
        if i < masters {
            let bound = |i: usize| i * usize::from(SLOTS) / masters;
            let (first, last) = (bound(i).to_string(), (bound(i + 1) - 1).to_string());
            ask(server, &cluster(&["ADDSLOTSRANGE", &first, &last]));
        }
    }
    for (server, bus) in &nodes[1..] {
        ask(&nodes[0].0, &cluster(&["MEET", "127.0.0.1", &server.port.to_string(), bus]));
    }
    let all = nodes.len();
    let servers: Vec<Server> = nodes.into_iter().map(|(server, _)| server).collect();
    let knows = |server: &Server| {
        let nodes = text(ask(server, &cluster(&["NODES"])));
        nodes.lines().count() == all && !nodes.contains("handshake")
    };
    until("all know each other", || servers.iter().all(knows));
    servers
}

pub fn slot(key: &[u8]) -> u16 {
    keys::slot(key)
}
