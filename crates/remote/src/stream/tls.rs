//! TLS over a socket that never blocks: rustls, driven by hand so that each step ends at the deadline.
//!
//! A configuration is made for each server and kept in its [`Settings`]; the system's roots are read once. Nothing in it
//! changes later (sessions are not resumed), so no fork can find it half changed. Where the files that the address names
//! look other than before, the next connection makes another one.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use concurrency::fork;
use rustix::event::PollFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

use super::socket::Socket;
use super::tls_files::Looks;
use super::tls_verify::{ChainOnly, Unchecked};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::url::{Tls, Verify};

/// What connections to one server have in common.
pub struct Settings {
    tls: Tls,
    /// What was read last, and what the files looked like before. Locked within `fork::exclusive` only.
    read: Mutex<(Looks, Arc<ClientConfig>)>,
}

impl Settings {
    /// Reads the files that the address names; without any the system's roots.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Tls`].
    pub fn new(tls: &Tls) -> Result<Settings, Error> {
        let looks = Looks::of(tls);
        Ok(Settings { read: Mutex::new((looks, Settings::configuration(tls)?)), tls: tls.clone() })
    }

    /// The configuration of a new connection. Files that have changed are read again; while one of them cannot be used, no
    /// connection comes about, and each tries anew.
    fn current(&self) -> Result<Arc<ClientConfig>, Error> {
        let looks = Looks::of(&self.tls);
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = fork::exclusive(|| {
            let read = read();
            (read.0 == looks).then(|| read.1.clone())
        });
        if let Some(config) = kept {
            return Ok(config);
        }
        let config = Settings::configuration(&self.tls)?;
        let former = fork::exclusive(|| std::mem::replace(&mut *read(), (looks, config.clone())));
        drop(former);
        Ok(config)
    }

    fn configuration(tls: &Tls) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = if tls.newest_only { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|_| Error::Tls("no common version"))?;
        let builder = match tls.verify {
            Verify::Full => builder.with_root_certificates(roots(tls)?),
            Verify::Chain => {
                let verifier = ChainOnly::new(roots(tls)?, provider)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Verify::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked::new(provider))),
        };
        let mut config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let chain = certificates("ssl_certfile", CertificateDer::pem_file_iter(file))?;
                let (name, key) = tls.key.as_ref().map_or(("ssl_certfile", file), |key| ("ssl_keyfile", key));
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(name, error))?;
                builder.with_client_auth_cert(chain, key).map_err(|_| {
                    Error::Option("ssl_keyfile", "does not fit the certificate, or is of an unknown kind")
                })?
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn unreadable(name: &'static str, error: rustls::pki_types::pem::Error) -> Error {
    use rustls::pki_types::pem::Error as Pem;
    match error {
        Pem::Io(error) if error.kind() == io::ErrorKind::NotFound => Error::Option(name, "there is no such file"),
        Pem::Io(_) => Error::Option(name, "the file cannot be read"),
        _ => Error::Option(name, "is no PEM of this kind"),
    }
}

type Pems<T> = Result<T, rustls::pki_types::pem::Error>;

fn certificates(
    name: &'static str,
    pems: Pems<impl Iterator<Item = Pems<CertificateDer<'static>>>>,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Pems<Vec<_>> = pems.and_then(|pems| pems.collect());
    match all.map_err(|error| unreadable(name, error))? {
        all if all.is_empty() => Err(Error::Option(name, "holds no certificate")),
        all => Ok(all),
    }
}

/// The roots that the address names; if it names none, the system's.
fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, Error> {
    if tls.ca_file.is_none() && tls.ca_directory.is_none() && tls.ca_data.is_none() {
        return native_roots();
    }
    let mut store = RootCertStore::empty();
    let mut add = |name, certificates: Vec<CertificateDer<'static>>| match store.add_parsable_certificates(certificates)
    {
        (0, _) => Err(Error::Option(name, "holds no usable certificate")),
        _ => Ok(()),
    };
    if let Some(file) = &tls.ca_file {
        add("ssl_ca_certs", certificates("ssl_ca_certs", CertificateDer::pem_file_iter(file))?)?;
    }
    if let Some(data) = &tls.ca_data {
        add("ssl_ca_data", certificates("ssl_ca_data", Ok(CertificateDer::pem_slice_iter(data.expose())))?)?;
    }
    if let Some(directory) = &tls.ca_directory {
        let found = rustls_native_certs::load_certs_from_paths(None, Some(directory));
        add("ssl_ca_path", found.certs)?;
    }
    Ok(Arc::new(store))
}

/// The system's roots, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; read at the first use in a process.
fn native_roots() -> Result<Arc<RootCertStore>, Error> {
    // Locked within `fork::exclusive` only, so no child finds it locked. Who reads at the same time reads twice.
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let kept = || ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = fork::exclusive(|| kept().clone()) {
        return Ok(roots);
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(Error::Tls("the system has no root certificates (ssl_ca_certs= or SSL_CERT_FILE name some)"));
    }
    let store = Arc::new(store);
    fork::exclusive(|| *kept() = Some(store.clone()));
    Ok(store)
}

/// One connection's TLS.
pub(super) struct Session(ClientConnection);

impl Session {
    pub(super) fn new(settings: &Settings, host: &str) -> Result<Session, Error> {
        // (A zone of an IPv6 address and the root's dot are no part of a name in a certificate.)
        let host = host.split('%').next().unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Tls("the host is no name of a server"))?;
        ClientConnection::new(settings.current()?, name).map(Session).map_err(fault)
    }

    pub(super) fn handshake(&mut self, socket: &Socket, deadline: Deadline) -> Result<(), Error> {
        while self.0.is_handshaking() {
            self.flush(socket, deadline)?;
            if self.0.is_handshaking() {
                self.fill(socket, deadline)?;
            }
        }
        self.flush(socket, deadline)
    }

    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut [u8], deadline: Deadline) -> Result<usize, Error> {
        loop {
            match self.0.reader().read(buffer) {
                Ok(0) => return Err(Error::Closed),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            self.fill(socket, deadline)?;
            // What TLS itself answers (a change of keys). It may not wait long: the answer is wanted.
            self.flush(socket, deadline)?;
        }
    }

    pub(super) fn write(&mut self, socket: &Socket, mut bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        while !bytes.is_empty() {
            let taken = self.0.writer().write(bytes)?;
            bytes = &bytes[taken..];
            self.flush(socket, deadline)?;
        }
        Ok(())
    }

    pub(super) fn has_plaintext(&self) -> bool {
        // Whatever came with the last answer has been decrypted with it; `read` takes it out before it waits.
        !self.0.wants_read()
    }

    /// Waits for bytes and decrypts what is whole.
    fn fill(&mut self, socket: &Socket, deadline: Deadline) -> Result<(), Error> {
        socket.wait(PollFlags::IN, deadline)?;
        match self.0.read_tls(&mut Unwaiting(socket)) {
            Ok(0) => return Err(Error::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.0.process_new_packets().map(drop).map_err(|error| {
            // The peer is told what is wrong, if that takes no wait.
            let _ = self.0.write_tls(&mut Unwaiting(socket));
            fault(error)
        })
    }

    fn flush(&mut self, socket: &Socket, deadline: Deadline) -> Result<(), Error> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Unwaiting(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.wait(PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.into()),
            }
            deadline.remaining()?;
        }
        Ok(())
    }
}

/// A socket as rustls wants it: what would wait is `WouldBlock`.
struct Unwaiting<'a>(&'a Socket);

fn plain(outcome: Result<Option<usize>, Error>) -> io::Result<usize> {
    match outcome {
        Ok(Some(n)) => Ok(n),
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Err(Error::Io(kind)) => Err(kind.into()),
        Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

impl Read for Unwaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        plain(self.0.receive(buffer))
    }
}

impl Write for Unwaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        plain(self.0.send(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is wrong, without the names that rustls would show.
pub(super) fn fault(error: rustls::Error) -> Error {
    use CertificateError as Bad;
    Error::Tls(match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the server's certificate has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the server's certificate is not valid yet",
            // (The second: by another authority of the same name.)
            Bad::UnknownIssuer | Bad::BadSignature => "the server's certificate is of an unknown issuer",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "the server's certificate is for another name",
            Bad::Revoked => "the server's certificate is revoked",
            _ => "the server's certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "the server refused (it may want a certificate: ssl_certfile, ssl_keyfile)",
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS",
        rustls::Error::PeerIncompatible(_) => "no version or cipher in common",
        _ => "the handshake or a record failed",
    })
}
