//! How this host learns what has changed on the server.
//!
//! All processes of a host that use one server and namespace share a *coherence file* ([`mod@file`], [`layout`], [`words`]). One
//! of them *listens* ([`listener`]): the server tells it each key that was written, and it raises that key's stripe. An
//! entry near the reader keeps the sum of its stripes from before it was read ([`stamp`]); a near hit compares. Who waits for
//! a key sleeps until its stripe is raised ([`wait`]); what this process computes itself, [`members`] knows. Connections
//! that fill entries prove that they lead to the listener's server ([`proof`]).
//!
//! What holds: a read that begins more than `staleness` after a change on the server was acknowledged returns nothing
//! older, whatever was cut, stopped or killed; and usually not a push's delay after it.

#[cfg(not(loom))]
pub mod file;
pub mod layout;
#[cfg(not(loom))]
pub mod listener;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(not(loom))]
pub mod members;
#[cfg(not(loom))]
pub mod proof;
pub mod stamp;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod wait;
pub mod words;

pub use self::layout::{Counter, Stripe};
pub use self::stamp::{Look, Pair};
pub use self::words::{Record, Tracking, Words};

#[cfg(not(loom))]
pub use self::whole::Coherence;

#[cfg(not(loom))]
mod whole {
    use std::path::Path;
    use std::sync::atomic::AtomicU64;
    use std::sync::Arc;

    use shared::OpenError;

    use super::file::{self, Subject};
    use super::listener::{self, Settings};
    use super::members::Members;
    use super::words::Words;

    /// The coherence of one server and namespace, as this process has it.
    pub struct Coherence {
        words: Arc<Words>,
        /// The count of forks of the process whose thread runs; 0 = none.
        pub(in crate::coherence) running: Arc<AtomicU64>,
        members: Arc<Members>,
        why_private: Option<OpenError>,
    }

    impl Coherence {
        pub(in crate::coherence) fn over(words: Words, why_private: Option<OpenError>) -> Coherence {
            Coherence { words: Arc::new(words), running: Arc::default(), members: Arc::default(), why_private }
        }

        /// The file of a directory; where that cannot be used, memory of this process's own.
        ///
        /// # Errors
        /// There is no memory.
        pub fn open(dir: Option<&Path>, subject: Subject<'_>) -> std::io::Result<Arc<Coherence>> {
            match dir.map(|dir| file::open(dir, subject)) {
                Some(Ok(opened)) => Ok(opened),
                Some(Err(why)) => file::private(Some(why)),
                None => file::private(None),
            }
        }

        pub fn words(&self) -> &Arc<Words> {
            &self.words
        }

        /// The leases of this process.
        pub fn members(&self) -> &Arc<Members> {
            &self.members
        }

        /// Whether other processes of the host have it, too.
        pub fn is_shared(&self) -> bool {
            self.words.memory.is_shared()
        }

        /// Why the directory could not be used.
        pub fn why_private(&self) -> Option<&OpenError> {
            self.why_private.as_ref()
        }

        /// Sees to it that this process's thread runs, which listens if no other process does. To be called at each use of
        /// the server, also in a fork's child, which has no thread yet; it is one load then.
        pub fn attend(self: &Arc<Self>, settings: &Arc<Settings>) {
            listener::attend(self, settings);
        }
    }
}
