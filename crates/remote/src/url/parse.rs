//! The address itself: scheme, login, hosts, path.

use std::path::PathBuf;

use super::percent::decode;
use super::query::{self, database};
use super::{Address, Invalid, Login, Secret, Servers, Url};

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// How many Sentinels or nodes an address may name.
const MOST_HOSTS: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Single,
    Sentinel,
    Cluster,
    Unix,
}

pub(super) fn parse(text: &str) -> Result<Url, Invalid> {
    // Tabs and line ends are dropped by Python's reader; nobody means them.
    if text.chars().any(|c| c.is_control()) {
        return Err(Invalid { part: "the address", what: "has a control character" });
    }
    let (scheme, rest) = text.trim().split_once("://").ok_or(SCHEME)?;
    let (form, secured) = self::scheme(&scheme.to_ascii_lowercase())?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));

    let query = query::read(query)?;
    let mut login = query.login;
    let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    override_by(&mut login.username, username);
    override_by(&mut login.password, password);
    if let (Some(part), false) = (query.tls_named, secured) {
        return Err(Invalid { part, what: "needs rediss:// or valkeys://" });
    }
    if let (Some(part), true) = (query.sentinel_named, form != Form::Sentinel) {
        return Err(Invalid { part, what: "needs redis+sentinel://" });
    }

    let path = decode(path);
    let (servers, path_db) = match form {
        Form::Unix => {
            if !hosts.is_empty() || path.len() < 2 {
                return Err(Invalid { part: "the address", what: "must name a socket's absolute path: unix:///path" });
            }
            (Servers::Single(Address::Unix(PathBuf::from(path))), None)
        }
        Form::Single => {
            let db = path.replace('/', "");
            let address = host(if hosts.is_empty() { "localhost" } else { hosts }, SERVER_PORT)?;
            (Servers::Single(address), path_database(&db)?)
        }
        Form::Cluster => {
            let db = path_database(&path.replace('/', ""))?;
            if db.or(query.db).is_some_and(|db| db != 0) {
                return Err(Invalid { part: "db", what: "of a cluster must be 0" });
            }
            (Servers::Cluster(all(hosts, SERVER_PORT)?), db)
        }
        Form::Sentinel => sentinel(hosts, &path, query.sentinel_login)?,
    };
    Ok(Url {
        servers,
        db: query.db.or(path_db).unwrap_or(0),
        tls: secured.then_some(query.tls),
        login,
        client_name: query.client_name,
    })
}

const SCHEME: Invalid = Invalid {
    part: "the address",
    what: "must begin with redis://, rediss://, valkey://, valkeys:// or unix://, or with one of the first four and \
           +sentinel or +cluster, as redis+sentinel://",
};

fn scheme(scheme: &str) -> Result<(Form, bool), Invalid> {
    let (base, form) = match scheme.split_once('+') {
        None => (scheme, Form::Single),
        Some((base, "sentinel")) => (base, Form::Sentinel),
        Some((base, "cluster")) => (base, Form::Cluster),
        Some(_) => return Err(SCHEME),
    };
    match base {
        "redis" | "valkey" => Ok((form, false)),
        "rediss" | "valkeys" => Ok((form, true)),
        "unix" if form == Form::Single => Ok((Form::Unix, false)),
        _ => Err(SCHEME),
    }
}

/// What stands before the host counts before a parameter.
fn override_by(slot: &mut Option<Secret>, text: &str) {
    if !text.is_empty() {
        *slot = Some(Secret::new(decode(text)));
    }
}

fn path_database(text: &str) -> Result<Option<u32>, Invalid> {
    if text.is_empty() {
        Ok(None)
    } else {
        database("the path", text).map(Some)
    }
}

fn sentinel(hosts: &str, path: &str, login: Login) -> Result<(Servers, Option<u32>), Invalid> {
    let mut parts = path.trim_matches('/').split('/');
    let service = parts.next().filter(|service| !service.is_empty());
    let service = service.ok_or(Invalid { part: "the path", what: "must name the service: /<service>/<db>" })?;
    let db = path_database(parts.next().unwrap_or(""))?;
    if parts.next().is_some() {
        return Err(Invalid { part: "the path", what: "must be /<service>/<db>" });
    }
    let sentinels = all(hosts, SENTINEL_PORT)?;
    Ok((Servers::Sentinel { sentinels, service: service.to_owned(), login }, db))
}

fn all(hosts: &str, port: u16) -> Result<Vec<Address>, Invalid> {
    let all: Vec<Address> = hosts.split(',').map(|one| host(one.trim(), port)).collect::<Result<_, _>>()?;
    match all.len() <= MOST_HOSTS {
        true => Ok(all),
        false => Err(Invalid { part: "the address", what: "names more than 64 hosts" }),
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn host(text: &str, default_port: u16) -> Result<Address, Invalid> {
    const HOST: Invalid = Invalid { part: "the host", what: "is missing or malformed (an IPv6 address stands in [ ])" };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(HOST)?;
            // (A zone, as in fe80::1%eth0, is left to the system.)
            let address = host.split('%').next().unwrap_or(host);
            address.parse::<std::net::Ipv6Addr>().map_err(|_| HOST)?;
            (host.to_owned(), if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(HOST)?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (decode(host), Some(port)),
            None => (decode(text), None),
        },
    };
    if host.is_empty()
        || host.len() > 255
        || host.contains(|c: char| c.is_whitespace() || ",/\\@".contains(c) || c == '\0')
    {
        return Err(HOST);
    }
    let port = match port {
        None | Some("") => default_port,
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => return Err(Invalid { part: "the port", what: "must be a number from 1 to 65535" }),
        },
    };
    Ok(Address::Tcp(host.to_lowercase(), port))
}
