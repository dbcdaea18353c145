//! Whether a connection leads to the server that the listener listens to.
//!
//! Behind a proxy, a virtual address or a name that moved there may be another server than a moment ago, or two at once. What
//! one of them gives, the pushes of the other do not cover. So a connection whose values are to be kept as covered is
//! *proved*: its server says that it is a master, and has the key of the listener's last confirmed heartbeat. The proof is of
//! one epoch; a listener that connects anew raises it.

use redis::{cmd, Value};

use super::words::Words;
use crate::connection::{Connection, Role};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::Keys;

impl Words {
    /// Whether a connection is proved under the present epoch; asks its server if that is not known. What is covered by
    /// it is covered with pairs that are read after this. `mark`: the end of keys of a cluster's node
    /// ([`Slots::mark`](crate::topology::slots::Slots::mark)), else empty.
    ///
    /// # Errors
    /// Those of [`Connection::request`].
    pub fn prove(
        &self,
        connection: &mut Connection,
        keys: &Keys,
        mark: &str,
        deadline: Deadline,
    ) -> Result<bool, Error> {
        // Before the record: a session that begins takes the record away before it raises the epoch.
        let epoch = self.epoch();
        if connection.proof == epoch && epoch != 0 {
            return Ok(true);
        }
        if connection.peer().role != Role::Master || epoch == 0 {
            return Ok(false);
        }
        let record = self.record();
        let Some(beat) = record.beat else { return Ok(false) };
        let key = match mark {
            "" => format!("{}{beat}", keys.heartbeat_prefix(record.session)),
            mark => keys.mark(record.session, mark),
        };
        let found = connection.request(cmd("GET").arg(key), deadline)?;
        if !matches!(found, Value::BulkString(_)) {
            return Ok(false);
        }
        connection.proof = epoch;
        Ok(true)
    }
}
