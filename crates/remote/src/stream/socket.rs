//! Sockets that never block, and waits that end at a deadline.

use std::net::SocketAddr;
use std::path::Path;
#[cfg(unix)]
use std::time::Duration;

use concurrency::descriptors::{self, Owned};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
#[cfg(unix)]
use rustix::net::SocketAddrUnix;
use rustix::net::{self, sockopt, AddressFamily, RecvFlags, SendFlags, SocketType};

use crate::deadline::Deadline;
use crate::error::Error;

/// What a connect says that goes on.
#[cfg(unix)]
const UNDER_WAY: Errno = Errno::INPROGRESS;
#[cfg(not(unix))]
const UNDER_WAY: Errno = Errno::WOULDBLOCK;

/// A connected socket of this process. In a fork's child it is closed: each operation gives [`Error::Closed`].
pub struct Socket(Owned);

impl Socket {
    pub(super) fn tcp(address: SocketAddr, deadline: Deadline) -> Result<Socket, Error> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = Socket(descriptors::open(|| unblocking(family))?);
        match net::connect(&socket.0, &address) {
            Ok(()) => {}
            Err(UNDER_WAY | Errno::INTR) => {
                socket.wait(PollFlags::OUT, deadline)?;
                sockopt::socket_error(&socket.0)??;
            }
            Err(errno) => return Err(errno.into()),
        }
        // An answer is one piece; nothing is gained by waiting for more.
        sockopt::set_tcp_nodelay(&socket.0, true)?;
        sockopt::set_socket_keepalive(&socket.0, true)?;
        Ok(socket)
    }

    /// Where there are such sockets.
    #[cfg(not(unix))]
    pub(super) fn unix(_: &Path, _: Deadline) -> Result<Socket, Error> {
        Err(Error::Io(std::io::ErrorKind::Unsupported))
    }

    #[cfg(unix)]
    pub(super) fn unix(path: &Path, deadline: Deadline) -> Result<Socket, Error> {
        let address = SocketAddrUnix::new(path)?;
        let socket = Socket(descriptors::open(|| unblocking(AddressFamily::UNIX))?);
        loop {
            match net::connect(&socket.0, &address) {
                Ok(()) => return Ok(socket),
                // The server's queue is full, and no event tells when it is no longer.
                Err(Errno::AGAIN) => std::thread::sleep(deadline.remaining()?.min(Duration::from_millis(2))),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Reads what is there; `None` = nothing yet, 0 = the end.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        self.check()?;
        loop {
            match net::recv(&self.0, &mut *buffer, RecvFlags::empty()) {
                Ok((read, _)) => return Ok(Some(read)),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes what there is room for; `None` = none yet.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        self.check()?;
        // A peer that has gone is an error here and no signal.
        #[cfg(all(unix, not(target_vendor = "apple")))]
        const FLAGS: SendFlags = SendFlags::NOSIGNAL;
        #[cfg(any(not(unix), target_vendor = "apple"))]
        const FLAGS: SendFlags = SendFlags::empty();
        loop {
            match net::send(&self.0, bytes, FLAGS) {
                Ok(written) => return Ok(Some(written)),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, Error> {
        loop {
            // First the wait: who asks has just written, and the answer is not there yet.
            self.wait(PollFlags::IN, deadline)?;
            match self.receive(buffer)? {
                Some(0) => return Err(Error::Closed),
                Some(read) => return Ok(read),
                None => {}
            }
        }
    }

    pub(super) fn write(&self, mut bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.send(bytes)? {
                Some(written) => bytes = &bytes[written..],
                None => self.wait(PollFlags::OUT, deadline)?,
            }
            if !bytes.is_empty() {
                deadline.remaining()?;
            }
        }
        Ok(())
    }

    /// Waits until one of the events, an error or the end is there.
    pub(super) fn wait(&self, events: PollFlags, deadline: Deadline) -> Result<(), Error> {
        self.check()?;
        loop {
            let left = deadline.remaining()?;
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) as _ };
            match poll(&mut [PollFd::new(&self.0, events)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits until one of several can be read; which can.
    pub(super) fn any(sockets: &[&Socket], deadline: Deadline) -> Result<Vec<bool>, Error> {
        sockets.iter().try_for_each(|socket| socket.check())?;
        let mut polled: Vec<PollFd<'_>> = sockets.iter().map(|socket| PollFd::new(&socket.0, PollFlags::IN)).collect();
        loop {
            let left = deadline.remaining()?;
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) as _ };
            match poll(&mut polled, Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(polled.iter().map(|one| !one.revents().is_empty()).collect()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.is_ours() && !matches!(poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)), Ok(0))
    }

    pub fn is_ours(&self) -> bool {
        self.0.is_ours()
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_ours() {
            Ok(())
        } else {
            Err(Error::Closed)
        }
    }
}

impl AsFd for Socket {
    /// Panics in a child of the process that connected ([`Owned::as_fd`]).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn unblocking(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    net::socket_with(family, SocketType::STREAM, net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK, None)
}

#[cfg(target_vendor = "apple")]
fn unblocking(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let fd = net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    sockopt::set_socket_nosigpipe(&fd, true)?;
    Ok(fd)
}

/// (No process inherits a socket there that was not told to.)
#[cfg(not(unix))]
fn unblocking(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let fd = net::socket(family, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}
