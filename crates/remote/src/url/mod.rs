//! Servers' addresses, spelled as redis-py does, and Sentinels and clusters beside.
//!
//! `redis://`, `rediss://` (TLS), `unix://`, `valkey://`, `valkeys://`; `redis+sentinel://h1:p,h2:p/<service>/<db>` and
//! `redis+cluster://h1:p,h2:p`, each with any of the four schemes. What an address holds is shown nowhere: the types here
//! print their kind only, and errors ([`Invalid`]) name a part or a known parameter, never a text of the address.

mod parse;
mod percent;
mod query;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

pub use crate::secret::{Login, Secret};

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A name in lower case or an IP address (v6 without brackets), and the port.
    Tcp(String, u16),
    Unix(PathBuf),
}

/// Which servers an address leads to.
#[derive(Clone, PartialEq, Eq)]
pub enum Servers {
    Single(Address),
    /// The master that the Sentinels know under the service's name. `login` is for the Sentinels themselves.
    Sentinel {
        sentinels: Vec<Address>,
        service: String,
        login: Login,
    },
    /// Some nodes of a cluster, from which the others are learned.
    Cluster(Vec<Address>),
}

/// How far a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Chain and name.
    Full,
    /// The chain only (`ssl_check_hostname=false`).
    Chain,
    /// Nothing (`ssl_cert_reqs=none`).
    Nothing,
}

/// What is asked of TLS. Files are read when a cache is made, and where they have changed at the next connect.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    pub verify: Verify,
    pub ca_file: Option<PathBuf>,
    pub ca_directory: Option<PathBuf>,
    /// Certificates themselves, in PEM.
    pub ca_data: Option<Secret>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// TLS 1.3 only.
    pub newest_only: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            verify: Verify::Full,
            ca_file: None,
            ca_directory: None,
            ca_data: None,
            certificate: None,
            key: None,
            newest_only: false,
        }
    }
}

/// A server's address, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub servers: Servers,
    pub db: u32,
    pub tls: Option<Tls>,
    pub login: Login,
    /// For `CLIENT SETNAME`.
    pub client_name: Option<String>,
}

/// What is wrong with an address: fixed text and names of known parameters only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid {
    pub(crate) part: &'static str,
    pub(crate) what: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.what)
    }
}

impl std::error::Error for Invalid {}

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong, without a text of the address.
    pub fn parse(text: &str) -> Result<Url, Invalid> {
        parse::parse(text)
    }

    /// The database's canonical name: equal for two addresses of one database that are spelled differently in capitals,
    /// default ports, the form of an IPv6 address, the order of nodes, schemes, logins or options.
    ///
    /// For hashing into a file's name; it contains hosts, so it is shown nowhere.
    pub fn canonical(&self) -> Secret {
        let mut name = match &self.servers {
            Servers::Single(address) => canonical(address),
            Servers::Sentinel { sentinels, service, .. } => {
                format!("sentinel:{}/{service}", canonical_of_all(sentinels))
            }
            Servers::Cluster(nodes) => format!("cluster:{}", canonical_of_all(nodes)),
        };
        name.push_str(&format!("/{}", self.db));
        Secret::new(name)
    }
}

fn canonical(address: &Address) -> String {
    match address {
        Address::Tcp(host, port) => {
            let host = host.strip_suffix('.').unwrap_or(host);
            match host.parse::<Ipv6Addr>() {
                Ok(ip) => match ip.to_ipv4_mapped() {
                    Some(ip) => format!("tcp:{ip}:{port}"),
                    None => format!("tcp:[{ip}]:{port}"),
                },
                Err(_) => format!("tcp:{host}:{port}"),
            }
        }
        // (Bytes that are no UTF-8 cannot stand in an address.)
        Address::Unix(path) => format!("unix:{}", path.components().collect::<PathBuf>().display()),
    }
}

fn canonical_of_all(addresses: &[Address]) -> String {
    let mut names: Vec<String> = addresses.iter().map(canonical).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Address::Tcp(..) => "Tcp(…)",
            Address::Unix(_) => "Unix(…)",
        })
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Servers::Single(_) => "Single(…)",
            Servers::Sentinel { .. } => "Sentinel(…)",
            Servers::Cluster(_) => "Cluster(…)",
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("verify", &self.verify).finish_non_exhaustive()
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url").field("servers", &self.servers).field("tls", &self.tls).finish_non_exhaustive()
    }
}
