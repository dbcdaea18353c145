//! The first words on a connection: protocol, login, name, database, and who the server is.
//!
//! `HELLO 3` says it all, with `SELECT` in the same trip. A server that does not know it (before Redis 6), or whose rules
//! forbid it, is spoken to in RESP2: it has no pushes, so nothing of it is kept under cover.

use redis::{Cmd, Value};

use super::{Connection, Target};
use crate::deadline::Deadline;
use crate::error::{Cause, Code, Error};
use crate::secret::Login;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    Master,
    Replica,
    Sentinel,
    #[default]
    Unknown,
}

/// What a server said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// 3, or 2 where there are no pushes.
    pub protocol: u8,
    pub role: Role,
    /// `redis`, `valkey`, or what else it calls itself; empty if it did not say.
    pub server: String,
    /// Major, minor, patch; zeros if it did not say.
    pub version: (u32, u32, u32),
    /// The connection's number, for `CLIENT KILL ID`.
    pub id: i64,
    /// A node of a cluster.
    pub cluster: bool,
}

pub(super) fn greet(
    connection: &mut Connection,
    target: &Target,
    login: &Login,
    deadline: Deadline,
) -> Result<Peer, Error> {
    let credentials = login.password.is_some() || login.username.is_some();
    let user = login.username.as_ref().map_or(&b"default"[..], |user| user.expose());
    let password = login.password.as_ref().map_or(&b""[..], |password| password.expose());

    let mut hello = command("HELLO");
    hello.arg(3);
    if credentials {
        hello.arg("AUTH").arg(user).arg(password);
    }
    hello.arg("SETNAME").arg(&*target.client_name);
    let mut packed = hello.get_packed_command();
    if target.db != 0 {
        select(target).write_packed_command(&mut packed);
    }
    connection.send(&packed, 1 + usize::from(target.db != 0), deadline)?;
    let hello = connection.receive(deadline)?;
    let selected = if target.db != 0 { connection.receive(deadline)? } else { Value::Okay };
    match hello {
        Value::ServerError(error) if Code::of(&error).cause() == Some(&Cause::Clients) => {
            return Err(Error::Refused(Code::of(&error)));
        }
        Value::ServerError(error) if matches!(error.code(), "ERR" | "NOPROTO" | "NOPERM") => {}
        // Who is told to log in, having done so, spoke to a server that does not know the command.
        Value::ServerError(error) if error.code() == "NOAUTH" && credentials => {}
        hello => {
            accepted(&hello)?;
            accepted(&selected)?;
            return Peer::of_hello(&hello);
        }
    }

    // The select above may have been refused for want of a login.
    connection.retired = false;
    if credentials {
        let mut auth = command("AUTH");
        if login.username.is_some() {
            auth.arg(user);
        }
        accepted(&connection.request(auth.arg(password), deadline)?)?;
    }
    let mut rest = redis::Pipeline::new();
    rest.add_command(command("CLIENT").arg("SETNAME").arg(&*target.client_name).clone());
    rest.add_command(command("ROLE"));
    if target.db != 0 {
        rest.add_command(select(target));
    }
    // A name and a role are not needed; the database is.
    let replies = connection.pipeline(&rest, deadline)?;
    if let Some(selected) = replies.get(2) {
        accepted(selected)?;
    }
    if let Some(error @ Value::ServerError(reason)) = replies.get(1) {
        if reason.code() == "NOAUTH" {
            accepted(error)?;
        }
    }
    let role = match replies.get(1) {
        Some(Value::Array(fields)) => fields.first().map_or(Role::Unknown, Role::of),
        _ => Role::Unknown,
    };
    Ok(Peer { protocol: 2, role, ..Peer::default() })
}

fn command(name: &str) -> Cmd {
    redis::cmd(name)
}

fn select(target: &Target) -> Cmd {
    command("SELECT").arg(target.db).clone()
}

fn accepted(reply: &Value) -> Result<(), Error> {
    match reply {
        Value::ServerError(error) => Err(Error::Refused(Code::of(error))),
        _ => Ok(()),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

impl Role {
    fn of(value: &Value) -> Role {
        match text(value) {
            Some("master" | "primary") => Role::Master,
            Some("slave" | "replica") => Role::Replica,
            Some("sentinel") => Role::Sentinel,
            _ => Role::Unknown,
        }
    }
}

impl Peer {
    fn of_hello(reply: &Value) -> Result<Peer, Error> {
        const NONE: Error = Error::Protocol("an answer to HELLO that is none");
        let mut peer = Peer::default();
        let mut field = |name: &Value, value: &Value| match (text(name), value) {
            (Some("proto"), Value::Int(protocol)) => peer.protocol = u8::try_from(*protocol).unwrap_or(0),
            (Some("id"), Value::Int(id)) => peer.id = *id,
            (Some("role"), value) => peer.role = Role::of(value),
            (Some("server"), value) => peer.server = text(value).unwrap_or("").chars().take(32).collect(),
            (Some("version"), value) => peer.version = version(text(value).unwrap_or("")),
            (Some("mode"), value) => peer.cluster = text(value) == Some("cluster"),
            _ => {}
        };
        match reply {
            Value::Map(fields) => fields.iter().for_each(|(name, value)| field(name, value)),
            Value::Array(fields) => fields.chunks_exact(2).for_each(|pair| field(&pair[0], &pair[1])),
            _ => return Err(NONE),
        }
        if peer.protocol == 3 {
            Ok(peer)
        } else {
            Err(NONE)
        }
    }
}

fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
