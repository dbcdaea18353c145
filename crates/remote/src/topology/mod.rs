//! Where the server of the data is: at an address, or wherever the Sentinels say that the master is; and of a cluster, which
//! node has which [`slots`].

mod sentinel;
pub mod slots;

use std::sync::Arc;

pub use self::sentinel::Sentinels;
use crate::connection::{Connection, Role, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::secret::Login;

/// What leads to a server, anew at each connect.
pub enum Place {
    Fixed(Target),
    Master(Arc<Sentinels>),
}

impl Place {
    /// A connection to whatever server it is now.
    ///
    /// # Errors
    /// Those of [`Connection::open`]; [`Error::Resolve`], if no Sentinel knows a master.
    pub fn open(&self, login: &Login, deadline: Deadline) -> Result<Connection, Error> {
        match self {
            Place::Fixed(target) => Connection::open(target, login, deadline),
            Place::Master(sentinels) => {
                let opened = Connection::open(&sentinels.master(deadline)?, login, deadline);
                // One that was the master a moment ago: they are asked again.
                match opened {
                    Ok(connection) if connection.peer().role != Role::Replica => Ok(connection),
                    Ok(_) => {
                        sentinels.doubt();
                        Err(Error::Closed)
                    }
                    Err(error) => {
                        sentinels.doubt();
                        Err(error)
                    }
                }
            }
        }
    }

    /// What was known may be wrong.
    pub fn doubt(&self) {
        match self {
            Place::Fixed(target) => target.doubt(),
            Place::Master(sentinels) => sentinels.doubt(),
        }
    }
}
