//! A stream of bytes to a server, each step of which ends at a deadline.
//!
//! Sockets never block: reading and writing wait in `poll` for what is left until the [`Deadline`], so a peer that sends a
//! byte now and then ends no later than one that is silent. Dropping a stream closes its socket and sends nothing, no TLS
//! farewell either: a fork's child must not end its parent's session ([`concurrency::descriptors`]).

pub mod resolve;
pub mod socket;
pub mod tls;
mod tls_files;
mod tls_verify;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use self::socket::Socket;
use self::tls::{Session, Settings};
use crate::deadline::Deadline;
use crate::error::Error;

/// An open connection, with TLS or without.
pub struct Stream {
    socket: Socket,
    tls: Option<Box<Session>>,
}

impl Stream {
    /// Connects to the first of the addresses that answers, which share the deadline.
    ///
    /// # Errors
    /// The last address's, or [`Error::Timeout`].
    pub fn tcp(addresses: &[SocketAddr], deadline: Deadline) -> Result<Stream, Error> {
        let mut last = Error::Resolve;
        for (i, address) in addresses.iter().enumerate() {
            // One that drops packets leaves time for the others.
            let share = deadline.remaining()? / (addresses.len() - i) as u32;
            match Socket::tcp(*address, Deadline::after(share)) {
                Ok(socket) => return Ok(Stream { socket, tls: None }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub fn unix(path: &Path, deadline: Deadline) -> Result<Stream, Error> {
        Ok(Stream { socket: Socket::unix(path, deadline)?, tls: None })
    }

    /// Begins TLS: the peer must prove that it is `host`.
    pub fn secure(&mut self, settings: &Arc<Settings>, host: &str, deadline: Deadline) -> Result<(), Error> {
        let mut session = Session::new(settings, host)?;
        session.handshake(&self.socket, deadline)?;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    /// Reads at least one byte.
    ///
    /// # Errors
    /// [`Error::Closed`] at the end, [`Error::Timeout`] at the deadline; the stream can be read further after that one.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, Error> {
        match &mut self.tls {
            Some(session) => session.read(&self.socket, buffer, deadline),
            None => self.socket.read(buffer, deadline),
        }
    }

    /// Writes all bytes. After an error an unknown part of them is written.
    pub fn write(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        match &mut self.tls {
            Some(session) => session.write(&self.socket, bytes, deadline),
            None => self.socket.write(bytes, deadline),
        }
    }

    /// Whether there is something to read, or the end, without waiting. With TLS that may be a record of its own.
    pub fn is_readable(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.has_plaintext()) || self.socket.is_readable()
    }

    /// Whether this process is the one that connected.
    pub fn is_ours(&self) -> bool {
        self.socket.is_ours()
    }

    /// Waits until one of the streams can be read, or has ended; which can.
    ///
    /// # Errors
    /// [`Error::Timeout`]: none.
    pub fn any(streams: &[&Stream], deadline: Deadline) -> Result<Vec<bool>, Error> {
        let sockets: Vec<&Socket> = streams.iter().map(|stream| &stream.socket).collect();
        Socket::any(&sockets, deadline)
    }

    /// The descriptor, for a `poll` beside others.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}
