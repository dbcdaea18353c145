//! How a process reaches its data: through one pool, or through one for each node of a cluster.
//!
//! A [`Route`] is a process's; a [`Link`] is what one visit has of it: a connection, or those to the nodes that have its
//! keys ([`spread`]). Commands are given to a link without a word of where they go.

mod cluster;
mod spread;

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};

pub use self::cluster::Cluster;
pub use self::spread::Spread;
use crate::breaker::{Admission, Failure, ProcessBreaker};
use crate::coherence::Words;
use crate::connection::{Connection, Peer};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::Keys;
use crate::pool::{self, Pool};
use crate::topology::slots::Node;

/// A process's way to its data. Cheap to clone.
#[derive(Clone)]
pub enum Route {
    Single(Arc<Pool>),
    Cluster(Arc<Cluster>),
}

impl From<Arc<Pool>> for Route {
    fn from(pool: Arc<Pool>) -> Route {
        Route::Single(pool)
    }
}

impl Route {
    /// What a visit needs. `must`: a node that has not answered lately is asked all the same.
    ///
    /// # Errors
    /// Those of [`Connection::open`]; of a cluster, that no node says who has what.
    pub fn take(&self, must: bool, deadline: Deadline) -> Result<Link, Error> {
        match self {
            Route::Single(pool) => Ok(Link::Single(pool.take(deadline)?)),
            Route::Cluster(cluster) => Ok(Link::Spread(Spread::new(cluster, must, deadline)?)),
        }
    }

    /// The same in the place of one whose connection the server had closed.
    pub(crate) fn again(&self, must: bool, deadline: Deadline) -> Result<Link, Error> {
        match self {
            Route::Single(pool) => Ok(Link::Single(pool.open(deadline)?)),
            Route::Cluster(_) => self.take(must, deadline),
        }
    }

    /// New connections to all that have data, for a listener; and the generation of what they lead to.
    pub(crate) fn open_all(&self, deadline: Deadline) -> Result<(Vec<Ear>, u64), Error> {
        match self {
            Route::Single(pool) => {
                let lease = pool.open(deadline)?;
                let generation = lease.generation();
                Ok((vec![Ear { connection: lease.keep(), node: None }], generation))
            }
            Route::Cluster(cluster) => cluster.open_all(deadline),
        }
    }

    /// Raised when the data is elsewhere: who listens begins again.
    pub fn generation(&self) -> u64 {
        match self {
            Route::Single(pool) => pool.generation(),
            Route::Cluster(cluster) => cluster.generation(),
        }
    }

    /// Sees to it that what has moved is noticed, now and then; nobody waits for it.
    pub fn look_around(&self) {
        match self {
            Route::Single(pool) => pool.look_around(),
            Route::Cluster(cluster) => cluster.look_around(),
        }
    }

    /// Finds out whether what was down answers again, so that no caller has to.
    pub(crate) fn probe(&self, breaker: &ProcessBreaker, timeout: Duration) {
        if let Route::Cluster(cluster) = self {
            cluster.probe(timeout);
        }
        if !breaker.is_open() {
            return;
        }
        let admission = breaker.admit();
        if admission == Admission::Deny {
            return;
        }
        let deadline = Deadline::after(timeout);
        let answer = match self {
            // (It is given to the pool.)
            Route::Single(pool) => pool.open(deadline).map(drop),
            Route::Cluster(cluster) => cluster.ask(deadline),
        };
        match answer {
            Err(error) => {
                breaker.note(&error);
                breaker.failed(admission, Failure::Connect);
            }
            Ok(()) => breaker.answered(),
        }
    }
}

/// A new connection for a listener.
pub(crate) struct Ear {
    pub(crate) connection: Connection,
    /// Of a cluster: the node, and the end of the keys that are to lie there.
    pub(crate) node: Option<(Node, String)>,
}

/// What one visit has of a route.
#[expect(clippy::large_enum_variant, reason = "it lies on the stack of one visit")]
pub enum Link {
    Single(pool::Lease),
    Spread(Spread),
}

impl Link {
    /// Whether it has served before: then the server may have closed it a moment ago, and the visit begins again. (A
    /// cluster's sees to that by itself.)
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Link::Single(lease) => lease.is_reused(),
            Link::Spread(_) => false,
        }
    }

    /// Whether a failure is that of one node, and counted there.
    pub(crate) fn is_counted(&self) -> bool {
        match self {
            Link::Single(_) => false,
            Link::Spread(spread) => spread.is_counted(),
        }
    }

    /// Sends commands, each to the node of its first key; a reply for each.
    ///
    /// # Errors
    /// Those of [`Connection::pipeline`].
    pub fn run(&mut self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        match self {
            Link::Single(lease) => lease.pipeline(commands, deadline),
            Link::Spread(spread) => spread.run(commands, deadline),
        }
    }

    /// The epoch under which all connections to these keys' nodes are proved to reach the listener's servers; 0: one is
    /// not.
    ///
    /// # Errors
    /// Those of [`Words::prove`].
    pub(crate) fn prove<'a>(
        &mut self,
        words: &Words,
        keys: &Keys,
        of: impl Iterator<Item = &'a [u8]>,
        deadline: Deadline,
    ) -> Result<u64, Error> {
        match self {
            Link::Single(lease) => Ok(if words.prove(lease, keys, "", deadline)? { lease.proof } else { 0 }),
            Link::Spread(spread) => spread.prove(words, keys, of, deadline),
        }
    }

    /// Whether something was asked of a node that was not proved since [`Link::prove`].
    pub(crate) fn has_strayed(&self) -> bool {
        match self {
            Link::Single(_) => false,
            Link::Spread(spread) => spread.has_strayed(),
        }
    }

    /// What the server that has a key says of itself.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub(crate) fn peer(&mut self, key: &[u8], deadline: Deadline) -> Result<&Peer, Error> {
        match self {
            Link::Single(lease) => Ok(lease.peer()),
            Link::Spread(spread) => spread.peer(key, deadline),
        }
    }
}
