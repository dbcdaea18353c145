//! Why something at a server failed. No error holds or shows anything of an address, a login, a path or a reply's text.

use std::fmt;
use std::io;

use redis::ServerError;

/// What a server answered with instead of a result: the first word of its error, as `WRONGPASS`.
///
/// The rest of the text is dropped: it may repeat arguments, among them a password. Kept is only what of it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    word: String,
    cause: Option<Cause>,
}

/// What is known of the text after an error's first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Of `NOPERM`.
    Missing(Rule),
    /// There are as many connections as the server takes.
    Clients,
    /// The database of the address is not there.
    Database,
    /// It is asked for its cluster, and is of none.
    Single,
    /// Something is longer than it takes; it has closed the connection.
    Length,
}

impl Cause {
    fn of(word: &str, details: &str) -> Option<Cause> {
        let says = |text: &str| details.contains(text);
        match word {
            "NOPERM" => Rule::of(details).map(Cause::Missing),
            "ERR" if says("max number of clients") => Some(Cause::Clients),
            "ERR" if says("DB index is out of range") || says("SELECT is not allowed") => Some(Cause::Database),
            "ERR" if says("cluster support disabled") => Some(Cause::Single),
            "ERR" if says("invalid bulk length") => Some(Cause::Length),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Missing(rule) => write!(f, "its user lacks {rule}"),
            Cause::Clients => f.write_str("its maxclients is reached"),
            Cause::Database => f.write_str("it has no such database"),
            Cause::Single => f.write_str("it is no cluster"),
            Cause::Length => f.write_str("longer than its proto-max-bulk-len"),
        }
    }
}

/// What an access list lacks. It shows as the rule that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A command, or a subcommand as `client|tracking`.
    Command(String),
    /// The keys of the namespace.
    Keys,
}

impl Rule {
    /// What a server says of a refusal: of a command its name stands in quotation marks (`… to run the 'set' command`), of
    /// keys only that it is they (`… to access a key`, `… one of the keys …`).
    fn of(details: &str) -> Option<Rule> {
        if let Some((_, rest)) = details.split_once("to run the '") {
            let name = rest.split('\'').next().unwrap_or("");
            let sound = (1..=Code::MOST).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"|-_.".contains(&b));
            return sound.then(|| Rule::Command(name.to_ascii_lowercase()));
        }
        let is_of_keys = details.contains("access") && details.contains(" key");
        is_of_keys.then_some(Rule::Keys)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Command(name) => write!(f, "+{name}"),
            Rule::Keys => f.write_str("~wc1:<namespace>:*"),
        }
    }
}

impl Code {
    const MOST: usize = 32;

    /// The code of an error's first word; what is no code (capitals, digits) is `ERR`.
    pub(crate) fn new(word: &str) -> Code {
        let sound = (1..=Self::MOST).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        Code { word: if sound { word } else { "ERR" }.to_owned(), cause: None }
    }

    /// That of a server's error.
    pub(crate) fn of(error: &ServerError) -> Code {
        let mut code = Code::new(error.code());
        code.cause = error.details().and_then(|details| Cause::of(code.as_str(), details));
        code
    }

    /// The rule that the server's access list lacks, if it refused for want of one and said which.
    pub fn missing(&self) -> Option<&Rule> {
        match &self.cause {
            Some(Cause::Missing(rule)) => Some(rule),
            _ => None,
        }
    }

    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Whether a value was longer than the server takes.
    pub(crate) fn is_of_length(&self) -> bool {
        self.cause == Some(Cause::Length)
    }

    pub fn as_str(&self) -> &str {
        &self.word
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)?;
        match &self.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

/// Why a connection, a request or its answer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There was no whole answer (or no connection) at the deadline.
    Timeout,
    /// The server closed the connection.
    Closed,
    /// The host's name has no address, or none was found yet.
    Resolve,
    /// The system refused.
    Io(io::ErrorKind),
    /// No TLS connection: what is wrong.
    Tls(&'static str),
    /// A file that the address names cannot be used: the parameter, and what is wrong.
    Option(&'static str, &'static str),
    /// What the server sent is no answer.
    Protocol(&'static str),
    /// An answer, or a request, beyond its bound.
    TooLarge,
    /// A node of the cluster has not answered lately, and was not asked.
    Unasked,
    /// Whoever was to give a login did not.
    Credentials,
    /// The server refused the login, or another step of the handshake.
    Refused(Code),
}

impl Error {
    /// Whether the server was not reached, or has not answered: not, where it answered and refused.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Timeout | Error::Closed | Error::Resolve | Error::Io(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Timeout => f.write_str("the server did not answer in time"),
            Error::Closed => f.write_str("the server closed the connection"),
            Error::Resolve => f.write_str("the server's name has no address"),
            Error::Io(kind) => write!(f, "no connection to the server: {kind}"),
            Error::Tls(what) => write!(f, "no TLS connection to the server: {what}"),
            Error::Option(name, what) => write!(f, "{name}: {what}"),
            Error::Protocol(what) => write!(f, "no answer of a Valkey or Redis server: {what}"),
            Error::TooLarge => f.write_str("a request or an answer beyond its bound"),
            Error::Unasked => f.write_str("a node of the cluster has not answered lately"),
            Error::Credentials => f.write_str("no login was given"),
            Error::Refused(code) => write!(f, "the server refused the connection: {code}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut => Error::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Error::Closed,
            kind => Error::Io(kind),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        io::Error::from(errno).into()
    }
}
