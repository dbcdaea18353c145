//! How a tier is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Tier;
use crate::breaker::ProcessBreaker;
use crate::coherence::file::Subject;
use crate::coherence::listener::Settings;
use crate::coherence::{Coherence, Stripe};
use crate::connection::Target;
use crate::envelope::{Compression, Sealer, MAX_VALUE};
use crate::error::Error;
use crate::keys::Keys;
use crate::pool::{Logins, Pool};
use crate::route::{Cluster, Route};
use crate::secret::Secret;
use crate::topology::{Place, Sentinels};
use crate::url::{Address, Servers, Url};

/// Stands for the key of all changes made on a host. (No server has it.)
const HERE: &[u8] = b"here";
/// The most idle connections of a process.
const MOST_IDLE: usize = 16;

/// What a tier is opened with.
pub struct Options {
    pub url: Url,
    /// Gives the login of each new connection (`credentials=`); `None`: the URL's.
    pub logins: Option<Box<Logins>>,
    /// UTF-8, `surrogatepass`; empty where none is configured.
    pub namespace: Vec<u8>,
    /// Where the coherence file lies; `None`: in memory of this process.
    pub directory: Option<PathBuf>,
    /// The first signs, all verify; none: nothing is signed.
    pub secrets: Vec<Secret>,
    pub compression: Compression,
    /// The bound of a value before compression, in bytes.
    pub max_value: usize,
    pub staleness: Duration,
    pub timeout: Duration,
}

impl Options {
    /// With the defaults of all but the address: no namespace, no directory, no secrets.
    pub fn new(url: Url) -> Options {
        Options {
            url,
            logins: None,
            namespace: Vec::new(),
            directory: None,
            secrets: Vec::new(),
            compression: Compression::default(),
            max_value: MAX_VALUE,
            staleness: Duration::from_secs(1),
            timeout: Duration::from_millis(250),
        }
    }
}

/// Why a tier cannot be opened. Nothing of it shows an address or a secret.
#[derive(Debug)]
pub enum OpenError {
    /// TLS cannot be set up, or a file that the address names cannot be used.
    Target(Error),
    /// One of the secrets is empty.
    EmptySecret,
    /// There is no memory.
    Memory(std::io::Error),
    /// A kind of address that is not supported: its name.
    Unsupported(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Target(error) => error.fmt(f),
            OpenError::EmptySecret => f.write_str("secret: an empty one signs nothing"),
            OpenError::Memory(error) => error.fmt(f),
            OpenError::Unsupported(kind) => write!(f, "remote: addresses of {kind} are not supported yet"),
        }
    }
}

impl std::error::Error for OpenError {}

impl Tier {
    /// Opens the coherence file; no server is asked yet.
    ///
    /// # Errors
    /// The options cannot be used. That a directory cannot is none: see [`Coherence::why_private`].
    pub fn open(options: Options) -> Result<Arc<Tier>, OpenError> {
        let Options { url, logins, namespace, directory, secrets, compression, max_value, staleness, timeout } =
            options;
        let secrets: Vec<&[u8]> = secrets.iter().map(Secret::expose).collect();
        let sealer = Sealer::new(&secrets, compression).map_err(|_| OpenError::EmptySecret)?.with_max_value(max_value);
        let target = |address: &Address| Target::new(&url, address.clone()).map_err(OpenError::Target);
        let logins: Arc<Logins> = match logins {
            Some(logins) => logins.into(),
            None => {
                let login = url.login.clone();
                Arc::new(move |_| Ok(login.clone()))
            }
        };
        let route = match &url.servers {
            Servers::Single(address) => Pool::at(Place::Fixed(target(address)?), logins, MOST_IDLE).into(),
            Servers::Sentinel { sentinels, service, login } => {
                let first = sentinels.first().ok_or(OpenError::Unsupported("Sentinels without any"))?;
                let sentinels = Sentinels::new(target(first)?, sentinels, service.clone(), login.clone());
                Pool::at(Place::Master(sentinels), logins, MOST_IDLE).into()
            }
            Servers::Cluster(nodes) => {
                let first = nodes.first().ok_or(OpenError::Unsupported("a cluster without any node"))?;
                Route::Cluster(Cluster::new(target(first)?, nodes.clone(), logins, MOST_IDLE))
            }
        };
        let server = url.canonical();
        let server = std::str::from_utf8(server.expose()).expect("a canonical address is text");
        let subject = Subject { server, namespace: &namespace };
        let lasting = staleness.as_nanos().to_le_bytes();
        let parts = [server.as_bytes(), &namespace, &lasting].into_iter().chain(secrets);
        let identity = super::copy::identity(&parts.collect::<Vec<_>>());
        let coherence = Coherence::open(directory.as_deref(), subject).map_err(OpenError::Memory)?;
        coherence.words().ask_staleness(staleness);
        let (keys, breaker) = (Keys::new(&namespace), Arc::new(ProcessBreaker::default()));
        let settings =
            Arc::new(Settings { route: route.clone(), keys: keys.clone(), breaker: breaker.clone(), timeout });
        let staleness = u64::try_from(staleness.as_nanos()).unwrap_or(u64::MAX);
        Ok(Arc::new(Tier {
            keys,
            sealer,
            route,
            breaker,
            coherence,
            settings,
            timeout,
            staleness,
            ways: Default::default(),
            here: Stripe::of_stamp(HERE),
            identity,
        }))
    }
}
