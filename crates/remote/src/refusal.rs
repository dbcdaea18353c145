//! Errors by which a server refuses all that it is asked, until its user mends the cause.

use crate::error::Error;

/// What a server refuses of all that it is asked, and its user can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `WRONGPASS`, `NOAUTH`.
    Login = 1,
    /// `NOPERM`.
    Rights = 2,
    /// `MOVED`, where the address names one server.
    Cluster = 3,
}

impl Refusal {
    /// What an error tells of it.
    pub(crate) fn of(error: &Error) -> Option<Refusal> {
        let Error::Refused(code) = error else { return None };
        match code.as_str() {
            "WRONGPASS" | "NOAUTH" => Some(Refusal::Login),
            "NOPERM" => Some(Refusal::Rights),
            "MOVED" => Some(Refusal::Cluster),
            _ => None,
        }
    }

    /// What to name it by to somebody who has words for it.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Login => "login",
            Refusal::Rights => "rights",
            Refusal::Cluster => "cluster",
        }
    }
}
