//! What a server refuses until its user mends the cause, or until it can do it again.

use crate::error::{Cause, Code, Error};

/// Why a server does not do what it is asked, although it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// `WRONGPASS`, `NOAUTH`.
    Login = 1,
    /// `NOPERM`.
    Rights,
    /// `MOVED`, where the address names one server.
    Cluster,
    /// The address names a cluster, and the server is none.
    Single,
    /// There is no such database.
    Database,
    /// No more connections are taken.
    Clients,
    /// `DENIED`: nobody from another host.
    Protected,
    /// `CLUSTERDOWN`: slots without a master.
    Slots,
    /// `LOADING`.
    Loading,
    /// `BUSY`: somebody's script does not end.
    Busy,
    /// TLS fails, or a file that the address names.
    Tls,
    /// It is no Valkey or Redis server.
    Nonsense,
    /// `OOM`.
    Memory,
    /// `READONLY`, `MASTERDOWN`.
    Replica,
    /// `MISCONF`.
    Disk,
    /// `NOREPLICAS`.
    Replicas,
    /// Whatever else it says.
    Other,
}

impl Refusal {
    const ALL: [Refusal; 17] = [
        Refusal::Login,
        Refusal::Rights,
        Refusal::Cluster,
        Refusal::Single,
        Refusal::Database,
        Refusal::Clients,
        Refusal::Protected,
        Refusal::Slots,
        Refusal::Loading,
        Refusal::Busy,
        Refusal::Tls,
        Refusal::Nonsense,
        Refusal::Memory,
        Refusal::Replica,
        Refusal::Disk,
        Refusal::Replicas,
        Refusal::Other,
    ];

    /// What an error tells of it.
    pub(crate) fn of(error: &Error) -> Option<Refusal> {
        match error {
            Error::Refused(code) => Refusal::of_code(code),
            Error::Tls(_) | Error::Option(..) => Some(Refusal::Tls),
            Error::Protocol(_) => Some(Refusal::Nonsense),
            _ => None,
        }
    }

    fn of_code(code: &Code) -> Option<Refusal> {
        Some(match (code.as_str(), code.cause()) {
            (_, Some(Cause::Clients)) => Refusal::Clients,
            (_, Some(Cause::Database)) => Refusal::Database,
            (_, Some(Cause::Single)) => Refusal::Single,
            // (It is one value's: whoever has it says so.)
            (_, Some(Cause::Length)) => return None,
            ("WRONGPASS" | "NOAUTH", _) => Refusal::Login,
            ("NOPERM", _) => Refusal::Rights,
            ("MOVED", _) => Refusal::Cluster,
            ("DENIED", _) => Refusal::Protected,
            ("CLUSTERDOWN", _) => Refusal::Slots,
            ("LOADING", _) => Refusal::Loading,
            ("BUSY" | "UNKILLABLE", _) => Refusal::Busy,
            ("OOM", _) => Refusal::Memory,
            ("READONLY" | "MASTERDOWN", _) => Refusal::Replica,
            ("MISCONF", _) => Refusal::Disk,
            ("NOREPLICAS", _) => Refusal::Replicas,
            // (A slot is on its way; somebody has put something else under one key.)
            ("ASK" | "TRYAGAIN" | "WRONGTYPE", _) => return None,
            _ => Refusal::Other,
        })
    }

    pub(crate) fn numbered(number: u8) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|known| *known as u8 == number)
    }

    /// Whether writes alone are refused: that something is read does not mend it.
    pub(crate) fn is_of_writes(self) -> bool {
        matches!(self, Refusal::Memory | Refusal::Replica | Refusal::Disk | Refusal::Replicas)
    }

    /// What to name it by to somebody who has words for it.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Login => "login",
            Refusal::Rights => "rights",
            Refusal::Cluster => "cluster",
            Refusal::Single => "single",
            Refusal::Database => "database",
            Refusal::Clients => "clients",
            Refusal::Protected => "protected",
            Refusal::Slots => "slots",
            Refusal::Loading => "loading",
            Refusal::Busy => "busy",
            Refusal::Tls => "tls",
            Refusal::Nonsense => "nonsense",
            Refusal::Memory => "memory",
            Refusal::Replica => "replica",
            Refusal::Disk => "disk",
            Refusal::Replicas => "replicas",
            Refusal::Other => "other",
        }
    }
}
