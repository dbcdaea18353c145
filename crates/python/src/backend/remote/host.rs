//! The file of the host between the processes and the server: near copies that all of them share, and one of them asks.
//!
//! Ring 3. No Python in what a call does here. A copy in the file has its cover with it, and is judged as one in a process's
//! own memory; so what voids the one voids the other. Nothing here has to be dropped for a promise to hold: a fence in the file
//! is for those who wait for a computation of this host, and room is its eviction's.
//!
//! **Whoever asks** has the lease of the key in the file while it looks at the server, and as long as it computes what the server
//! is not to know of. Others wait for it, and look into the file again. As soon as the server knows who computes, it is the
//! server that is asked, by each process once: it alone can say whether that computation is still of use.
//!
//! A caller waits here for no longer than the staleness: what began earlier is of no use to him.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use pyo3::prelude::*;

use crate::backend::shared::cache_name::CacheName;
use crate::backend::shared::file::File;
use crate::backend::shared::reopen::{raised, Reopener};
use crate::capi::reference::import;
use crate::function::option_table::Options;
use remote::tier::{Cover, Found, Tier};
use shared::{Acquired, Began, Lease, Purpose, ReadBuf, SharedCache, Sought, Tags, Terms, Ticket, Waited};

/// The file of a function's cache, or of an object's, opened at the first use.
pub(super) struct HostFile {
    files: Reopener,
    max_key_size: usize,
    max_value_size: usize,
}

impl HostFile {
    /// `name`: what the function's cache is called on every host.
    pub fn new(py: Python<'_>, name: &str, options: &Options) -> PyResult<HostFile> {
        // There may be no importing when the file is opened.
        import(py, "warp_cache._naming.identity")?;
        // (A file of this name has other entries than one without a server.)
        Self::named(CacheName::named(format!("{name}.remote")), options)
    }

    /// The same of a cache object. `directory`: where its file alone is to lie.
    pub fn of_object(py: Python<'_>, name: &str, options: &Options, directory: Option<PathBuf>) -> PyResult<HostFile> {
        Self::named(CacheName::of_object(py, &format!("{name}.object.remote"), directory)?, options)
    }

    fn named(name: CacheName, options: &Options) -> PyResult<HostFile> {
        Ok(HostFile {
            files: Reopener::new(name, options).map_err(|error| raised(&error))?,
            max_key_size: options.max_key_size.unwrap_or(usize::MAX),
            max_value_size: options.max_value_size.unwrap_or(usize::MAX),
        })
    }

    /// The file, if it can be used.
    pub fn file(&self, py: Python<'_>) -> Option<&File> {
        self.files.working(py)
    }

    /// Why it cannot be used, in words, if that is known.
    pub fn failure(&self, tier: &Tier) -> Option<String> {
        if let Some(why) = tier.coherence().why_private() {
            return Some(why.to_string());
        }
        if self.files.current().is_some() {
            return None;
        }
        self.file_failure()
    }

    /// Why its file cannot be opened, in words, if that was tried.
    pub fn file_failure(&self) -> Option<String> {
        self.files.failure()
    }

    /// The way of a call with this key through the file; `None` where the key is too long, or there is no file.
    pub fn way(&self, py: Python<'_>, tier: &Tier, key: &[u8], (staleness, spare): (u64, u64)) -> Option<Host> {
        if key.len() > self.max_key_size || !tier.coherence().is_shared() {
            return None;
        }
        let file = self.file(py)?;
        let key = [tier.identity(), key].concat();
        let hash = file.shm.hash(&key);
        Some(Host {
            began: file.shm.begin(hash),
            // SAFETY: the file is from `working`.
            file: unsafe { self.files.of(file) },
            key,
            hash,
            max_value_size: self.max_value_size,
            staleness,
            spare,
            since: None,
            is_free: false,
            lease: None,
        })
    }

    /// Has nobody wait any more for what is computed without the server.
    pub fn fence_all(&self) {
        if let Some(file) = self.files.current() {
            // (Where that cannot be written, they wait for the staleness.)
            let _ = file.shm.fence_all();
        }
    }

    /// Empties the file.
    pub fn clear(&self) {
        if let Some(file) = self.files.current() {
            file.shm.clear();
        }
    }
}

/// One call's way through the file.
pub(super) struct Host {
    file: Arc<File>,
    key: Vec<u8>,
    hash: u64,
    began: Began,
    max_value_size: usize,
    /// Nanoseconds.
    staleness: u64,
    /// For so long a value serves whose cover has ended, where computing fails.
    spare: u64,
    /// When it began to wait for another process of the host (boot clock).
    since: Option<u64>,
    /// It waits for none of them any more.
    is_free: bool,
    lease: Option<Lease>,
}

/// What the file has for a call.
pub(super) enum Here {
    /// What the server has, as far as it has told.
    Copy(Box<Found>),
    /// What it had until a while ago; it may serve where computing fails.
    Spare(Box<Found>),
    Nothing,
}

/// What became of asking for the key's lease.
pub(super) enum Claim {
    /// The caller asks the server; it has the lease, or nobody can have it.
    Ask,
    /// Another process does.
    Wait(Ticket),
}

impl Host {
    fn shm(&self) -> &SharedCache {
        &self.file.shm
    }

    /// Looks for a copy. `is_use`: as a use of it.
    pub fn find(&self, tier: &Tier, is_use: bool) -> Here {
        let mut bytes = ReadBuf::default();
        let found = match is_use {
            true => self.shm().get_hashed(self.hash, &self.key, &mut bytes),
            false => self.shm().peek(&self.key, &mut bytes),
        };
        let Some(found) = found.and_then(|_| Found::read_copy(bytes.value())).map(Box::new) else {
            return Here::Nothing;
        };
        let now = boottime::now();
        // A clock that was wrong when it was written ends nothing too late.
        if now >= found.ends || found.cover.until > now.saturating_add(self.staleness) {
            return Here::Nothing;
        }
        if tier.near(now).holds(found.cover, &found.stripes) {
            // (What the server does not have cannot be refreshed there.)
            return if found.is_of_server() || now < found.fresh_until { Here::Copy(found) } else { Here::Nothing };
        }
        if tier.is_spare(found.cover, &found.stripes, self.spare) {
            Here::Spare(found)
        } else {
            Here::Nothing
        }
    }

    /// Asks to be the one of the host who asks the server.
    pub fn claim(&mut self) -> Claim {
        if self.lease.is_some() || self.is_over() {
            return Claim::Ask;
        }
        let sought = Sought { key: &self.key, hash: self.hash, absent_since: None };
        // (What is there may be void, which the file does not know.)
        match self.shm().acquire_sought(Purpose::Anew, &sought, &Tags::NONE, Duration::MAX, false) {
            Acquired::Leader(lease) => self.lease = Some(lease),
            // Threads of one process wait for each other elsewhere.
            Acquired::Follower(ticket) if !ticket.mine => {
                self.since.get_or_insert_with(boottime::now);
                return Claim::Wait(ticket);
            }
            Acquired::Follower(_) | Acquired::Present | Acquired::Alone => (),
        }
        Claim::Ask
    }

    /// Whether it waits no more for other processes of the host.
    fn is_over(&self) -> bool {
        self.is_free || self.since.is_some_and(|since| boottime::now().saturating_sub(since) >= self.staleness)
    }

    /// Waits for another process, for at most `slice`; false if that goes on.
    pub fn wait(&mut self, ticket: &Ticket, slice: Duration) -> bool {
        let waited = self.shm().wait(ticket, slice.min(Duration::from_nanos(self.staleness)));
        // Who has ended without a copy has left the question to all; who is lost, to one of those who wait.
        self.is_free |= !matches!(waited, Waited::NotYet | Waited::Lost);
        waited != Waited::NotYet || self.is_over()
    }

    /// Keeps a copy for all processes of the host, and has the next one ask.
    pub fn keep(&mut self, found: &Found) {
        let mut value = Vec::new();
        found.write_copy(&mut value);
        let now = boottime::now();
        let is_over = found.cover.until != 0 && now >= found.cover.until && self.spare == 0;
        if found.cover.is_void() || is_over || now >= found.ends || value.len() > self.max_value_size {
            self.end();
            return;
        }
        // (The file's clock may be another one.)
        let end = self.shm().deadline(Some(Duration::from_nanos(found.ends - now)));
        let terms = Terms::from(end);
        let stored = match self.lease.take() {
            Some(lease) => self.shm().complete(lease, &self.key, &value, terms),
            None => self.shm().insert_hashed(self.hash, &self.key, &value, terms, self.began),
        };
        if let Some((skip, _)) = self.shm().why(stored) {
            self.shm().count_skip(skip);
        }
    }

    /// The same of what was computed here and the server does not have.
    pub fn keep_own(&mut self, draft: &remote::tier::Draft<'_>, cover: Cover, stripes: &[remote::coherence::Stripe]) {
        self.keep(&Found::computed_here(draft, cover, stripes));
    }

    /// Has the others go on: all that wait ask the server.
    pub fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.shm().abandon(lease);
        }
    }

    /// Drops what is there, and has nobody wait any more for what is computed without the server.
    pub fn invalidate(&self) {
        // (As in `fence_all`.)
        let _ = self.shm().invalidate(&self.key);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Of a caller who goes: one of those who wait takes his place. (A fork's child ends nothing of its parent's.)
        if let Some(lease) = self.lease.take() {
            self.shm().leave(lease);
        }
    }
}
