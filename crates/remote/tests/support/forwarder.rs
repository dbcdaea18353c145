//! A forwarder between a client and a server that can go silent in either direction, as a network does that is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

#[derive(Default)]
struct Held {
    to_server: bool,
    to_client: bool,
}

/// It lives as long as the tests.
pub struct Forwarder {
    port: u16,
    /// Where new connections lead.
    to: Arc<AtomicU16>,
    held: Arc<(Mutex<Held>, Condvar)>,
}

impl Forwarder {
    pub fn to(port: u16) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Arc::new(AtomicU16::new(port));
        let port = listener.local_addr().unwrap().port();
        let forwarder = Forwarder { port, to: to.clone(), held: Arc::default() };
        let held = forwarder.held.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed))) else { continue };
                for (from, to, direction) in
                    [(&client, &server, Direction::ToServer), (&server, &client, Direction::ToClient)]
                {
                    let (from, to, held) = (from.try_clone().unwrap(), to.try_clone().unwrap(), held.clone());
                    to.set_nodelay(true).unwrap();
                    std::thread::spawn(move || pump(from, to, direction, &held));
                }
            }
        });
        forwarder
    }

    /// New connections lead to another server from now on; the others stay.
    pub fn lead_to(&self, port: u16) {
        self.to.store(port, Ordering::Relaxed);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Nothing goes on in this direction until `release`; nobody is told.
    pub fn hold(&self, direction: Direction) {
        let mut held = self.held.0.lock().unwrap();
        match direction {
            Direction::ToServer => held.to_server = true,
            Direction::ToClient => held.to_client = true,
        }
    }

    pub fn release(&self) {
        *self.held.0.lock().unwrap() = Held::default();
        self.held.1.notify_all();
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, direction: Direction, held: &(Mutex<Held>, Condvar)) {
    let mut buffer = [0; 65536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let is_held = |held: &mut Held| match direction {
            Direction::ToServer => held.to_server,
            Direction::ToClient => held.to_client,
        };
        drop(held.1.wait_while(held.0.lock().unwrap(), is_held).unwrap());
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
