//! A process's idle connections to one server.
//!
//! A connection is taken by one thread at a time and returned when all was answered; the last one returned is taken
//! first. No lock is held while one is opened, used or closed: only `fork::exclusive`, for the instructions of a push or
//! pop, so that a fork's child finds the pool whole. There the connections are closed already
//! ([`concurrency::descriptors`]), and the child begins with none.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use concurrency::fork;

use crate::connection::{Connection, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::secret::Login;
use crate::topology::Place;

/// A connection that was idle for longer is closed at the next visit: servers and firewalls drop such ones silently.
const IDLE: Duration = Duration::from_secs(60);

/// Gives the login of each new connection, before the deadline. Called without any lock; what it says is used once.
pub type Logins = dyn Fn(Deadline) -> Result<Login, Error> + Send + Sync;

struct Idle {
    /// The count of forks of the process that opened them.
    epoch: u64,
    /// Raised by [`Pool::clear`]: connections taken before are not returned.
    generation: u64,
    connections: Vec<(Instant, Connection)>,
}

pub struct Pool {
    place: Place,
    login: Arc<Logins>,
    most_idle: usize,
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    idle: Mutex<Idle>,
}

impl Pool {
    /// An empty pool that keeps at most so many connections while nobody uses them.
    pub fn new(target: Target, login: Box<Logins>, most_idle: usize) -> Arc<Pool> {
        Pool::at(Place::Fixed(target), login.into(), most_idle)
    }

    /// The same of a server that may move.
    pub fn at(place: Place, login: Arc<Logins>, most_idle: usize) -> Arc<Pool> {
        let connections = Vec::with_capacity(most_idle);
        let idle = Mutex::new(Idle { epoch: fork::epoch(), generation: 0, connections });
        Arc::new(Pool { place, login, most_idle, idle })
    }

    /// Runs with the idle connections of this process; what it returns is dropped outside.
    fn with<R>(&self, f: impl FnOnce(&mut Idle) -> R) -> R {
        let (result, inherited) = fork::exclusive(|| {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let mut inherited = Vec::new();
            if idle.epoch != fork::epoch() {
                idle.epoch = fork::epoch();
                idle.generation += 1;
                inherited = std::mem::take(&mut idle.connections);
            }
            (f(&mut idle), inherited)
        });
        drop(inherited);
        result
    }

    /// An idle connection that is still quiet, or a new one.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub fn take(self: &Arc<Self>, deadline: Deadline) -> Result<Lease, Error> {
        while let Some((since, connection, generation)) = self.with(|idle| {
            let generation = idle.generation;
            idle.connections.pop().map(|(since, connection)| (since, connection, generation))
        }) {
            // (Under it lie only ones that have been idle for longer.)
            if since.elapsed() > IDLE {
                drop(connection);
                self.drop_all(false);
                break;
            }
            if connection.is_quiet() {
                return Ok(Lease { pool: self.clone(), connection: Some(connection), generation, reused: true });
            }
        }
        self.open(deadline)
    }

    /// A new connection, whatever is idle.
    pub fn open(self: &Arc<Self>, deadline: Deadline) -> Result<Lease, Error> {
        let generation = self.with(|idle| idle.generation);
        let connection = self.place.open(&(self.login)(deadline)?, deadline)?;
        Ok(Lease { pool: self.clone(), connection: Some(connection), generation, reused: false })
    }

    /// Sees to it that a server that has moved is noticed, now and then; nobody waits for it.
    pub fn look_around(self: &Arc<Self>) {
        if let Place::Master(sentinels) = &self.place {
            let pool = Arc::downgrade(self);
            sentinels.look_around(move || {
                if let Some(pool) = pool.upgrade() {
                    pool.clear();
                }
            });
        }
    }

    /// Raised by each [`Pool::clear`]: a connection of another generation leads, perhaps, to another server.
    pub fn generation(&self) -> u64 {
        self.with(|idle| idle.generation)
    }

    /// Closes all that are idle; those in use are closed when they are given back.
    pub fn clear(&self) {
        self.drop_all(true);
    }

    fn drop_all(&self, used_too: bool) {
        let gone = self.with(|idle| {
            idle.generation += u64::from(used_too);
            std::mem::replace(&mut idle.connections, Vec::with_capacity(self.most_idle))
        });
        drop(gone);
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.with(|idle| idle.connections.len())
    }

    fn give_back(&self, connection: Connection, generation: u64) {
        let surplus = self.with(|idle| {
            if idle.generation != generation || idle.connections.len() >= self.most_idle {
                return Some(connection);
            }
            idle.connections.push((Instant::now(), connection));
            None
        });
        drop(surplus);
    }
}

/// A connection in the hands of one thread; returned to its pool when it is dropped, if it is usable.
pub struct Lease {
    pool: Arc<Pool>,
    /// There until it is dropped.
    connection: Option<Connection>,
    generation: u64,
    reused: bool,
}

impl Lease {
    /// Whether it has served a request before: then the server may have closed it a moment ago.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The pool's when it was taken.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes it out of the pool for good.
    pub fn keep(mut self) -> Connection {
        self.connection.take().expect("a lease has its connection until it is dropped")
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease has its connection until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease has its connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.is_retired() {
            self.pool.place.doubt();
        }
        if connection.is_usable() {
            self.pool.give_back(connection, self.generation);
        }
    }
}
