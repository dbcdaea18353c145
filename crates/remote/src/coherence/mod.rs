//! How this host learns what has changed on the server.
//!
//! All processes of a host that use one server and namespace share a *coherence file* ([`mod@file`], [`layout`], [`words`]). One
//! of them *listens* ([`listener`]): the server tells it each key that was written, and it raises that key's stripe. An
//! entry near the reader keeps the sum of its stripes from before it was read ([`stamp`]); a near hit compares. Who waits for
//! a key sleeps until its stripe is raised ([`wait`]); what this process computes itself, [`members`] knows. Connections
//! that fill entries prove that they lead to the listener's server ([`proof`]). A file that is damaged or removed is
//! replaced while it is in use ([`damage`]).
//!
//! What holds: a read that begins more than `staleness` after a change on the server was acknowledged returns nothing
//! older, whatever was cut, stopped or killed; and usually not a push's delay after it.

#[cfg(not(loom))]
mod damage;
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

    use concurrency::latest::Latest;
    use shared::OpenError;

    use super::file::{self, Place, Subject};
    use super::listener::{self, Settings};
    use super::members::Members;
    use super::words::Words;

    /// The coherence of one server and namespace, as this process has it.
    pub struct Coherence {
        words: Latest<Words>,
        /// Where the file is; `None`: there is to be none.
        place: Option<Place>,
        /// The count of forks of the process whose thread runs; 0 = none.
        pub(in crate::coherence) running: Arc<AtomicU64>,
        members: Arc<Members>,
        why_private: Option<OpenError>,
    }

    impl Coherence {
        pub(in crate::coherence) fn over(words: Words, place: Option<Place>, why: Option<OpenError>) -> Coherence {
            Coherence {
                words: Latest::new(words),
                place,
                running: Arc::default(),
                members: Arc::default(),
                why_private: why,
            }
        }

        /// The file of a directory; where that cannot be used, memory of this process's own.
        ///
        /// # Errors
        /// There is no memory.
        pub fn open(dir: Option<&Path>, subject: Subject<'_>) -> std::io::Result<Arc<Coherence>> {
            let why = match dir.map(|dir| file::open(dir, subject)) {
                Some(Ok(opened)) => return Ok(opened),
                Some(Err(why)) => Some(why),
                None => None,
            };
            let place = dir.map(|dir| Place::new(dir, subject));
            Ok(Arc::new(Coherence::over(file::private()?, place, why)))
        }

        /// What is valid now. It may be lost ([`Words::is_lost`]): then it validates nothing, and is soon replaced.
        #[inline(always)]
        pub fn words(&self) -> &Words {
            self.words.get()
        }

        /// The same, for who needs it longer than this is there.
        pub fn words_to_keep(&self) -> Arc<Words> {
            self.words.to_keep()
        }

        /// Whether a file is to be had, and there is none.
        pub(in crate::coherence) fn lacks_file(&self) -> bool {
            self.place.is_some() && !self.is_shared()
        }

        /// Opens a file in the place of what is lost, or of memory of this process's own, which is then lost. Where no file
        /// can be had, a lost one is replaced by such memory.
        pub(in crate::coherence) fn renew(self: &Arc<Self>) {
            let before = self.words();
            let opened = self.place.as_ref().and_then(|place| place.words().ok());
            let new = match opened {
                None if !before.is_lost() => return,
                None => file::private().ok(),
                opened => opened,
            };
            // (Without memory it is tried again.)
            let Some(new) = new else { return };
            new.succeed(before);
            self.words.replace(new);
            before.lose();
            file::note_renewed(self);
        }

        /// The leases of this process.
        pub fn members(&self) -> &Arc<Members> {
            &self.members
        }

        /// Whether other processes of the host have it, too.
        pub fn is_shared(&self) -> bool {
            self.words().memory.is_shared()
        }

        /// Why the directory could not be used at first.
        pub fn why_private(&self) -> Option<&OpenError> {
            self.why_private.as_ref().filter(|_| !self.is_shared())
        }

        /// Sees to it that this process's thread runs, which listens if no other process does. To be called at each use of
        /// the server, also in a fork's child, which has no thread yet; it is one load then.
        pub fn attend(self: &Arc<Self>, settings: &Arc<Settings>) {
            listener::attend(self, settings);
        }
    }
}
