//! Where a connection leads and how it is set up.

use std::fmt;
use std::sync::Arc;

use crate::connection::MAX_REPLY;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::stream::{resolve, tls, Stream};
use crate::url::{Address, Url};

/// One server: its address, its kept TLS configuration, and what is said to it first. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    address: Address,
    tls: Option<Arc<tls::Settings>>,
    pub(super) db: u32,
    pub(super) client_name: Arc<str>,
    pub(super) max_reply: usize,
    /// Whether whoever asks goes where the server says that a key is.
    pub(super) is_followed: bool,
}

impl Target {
    /// A server at an address, with the rest as the URL says. Reads the files that it names.
    ///
    /// # Errors
    /// [`Error::Option`] or [`Error::Tls`]: TLS cannot be set up.
    pub fn new(url: &Url, address: Address) -> Result<Target, Error> {
        Ok(Target {
            address,
            tls: url.tls.as_ref().map(tls::Settings::new).transpose()?.map(Arc::new),
            db: url.db,
            client_name: url.client_name.as_deref().unwrap_or("warp_cache").into(),
            max_reply: MAX_REPLY,
            is_followed: false,
        })
    }

    /// The same at another address, as of another node.
    pub fn at(&self, address: Address) -> Target {
        Target { address, ..self.clone() }
    }

    /// With another bound for a reply, in bytes.
    pub fn with_max_reply(self, max_reply: usize) -> Target {
        Target { max_reply, ..self }
    }

    /// One of a cluster's nodes: that a key is elsewhere retires no connection.
    pub fn followed(self) -> Target {
        Target { is_followed: true, ..self }
    }

    /// With another database.
    pub fn with_db(self, db: u32) -> Target {
        Target { db, ..self }
    }

    /// Its name may lead elsewhere by now: it is looked up again.
    pub fn doubt(&self) {
        if let Address::Tcp(host, port) = &self.address {
            resolve::refresh(host, *port);
        }
    }

    /// Connects, with TLS if there is any; nothing is said yet.
    pub fn connect(&self, deadline: Deadline) -> Result<Stream, Error> {
        let (host, port) = match &self.address {
            Address::Unix(path) => return Stream::unix(path, deadline),
            Address::Tcp(host, port) => (host, *port),
        };
        let addresses = resolve::resolve(host, port, deadline)?;
        let mut stream = Stream::tcp(&addresses, deadline).inspect_err(|_| resolve::refresh(host, port))?;
        if let Some(settings) = &self.tls {
            stream.secure(settings, host, deadline)?;
        }
        Ok(stream)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("address", &self.address).finish_non_exhaustive()
    }
}
