//! The files of a shared cache: the one in use, opened at the first use, and how another one takes its place after somebody has
//! cut it short, or has removed, renamed or replaced it.
//!
//! Ring 3.

mod opening;

pub(crate) use self::opening::raised;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use super::cache_name::{CacheName, Identity};
use super::file::File;
use super::fingerprint::{fingerprint, fingerprint_of_object};
use crate::capi::exceptions::ErrSet;
use crate::codec::global::{call_method, Name};
use crate::function::option_table::Options;
use concurrency::clock;
use concurrency::fork;
use shared::{safe_name, OpenError, SharedCache, Strategy};

/// Where a cache lies, by what is configured when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CacheLocation {
    /// The directory that was asked for, or those that may do.
    directories: Vec<PathBuf>,
    asked_for: bool,
    namespace: Option<String>,
}

/// What is known of the files, and of the last attempt to open one.
#[derive(Default)]
struct Known {
    /// Where the cache is open.
    place: Option<CacheLocation>,
    /// All of them are kept: decoded values refer to them, and other threads may be at work in them.
    opened: Vec<Arc<File>>,
    /// Why nothing is open: where, when (nanoseconds of `clock::now`), and in words.
    failure: Option<(CacheLocation, u64, String)>,
}

/// The file in use, those before it, and what is needed to open another.
pub struct Reopener {
    /// The last of `Known::opened`, or null before the first use. Release-stored after the file is made; pairs with the acquire
    /// loads.
    current: AtomicPtr<File>,
    /// Only within `fork::exclusive`, so no child finds it locked.
    known: Mutex<Known>,
    /// But for the directory, and for what the namespace makes of name and fingerprint.
    options: shared::Options,
    namespace: Option<String>,
    /// Where this cache alone is to lie.
    directory: Option<PathBuf>,
    version: Option<String>,
    private: bool,
    pub identity: Option<Identity>,
    /// The name of a private file, since the function is no longer what the name in the options says: null, or a `String` of
    /// ours. Release-stored once; pairs with the acquire loads.
    renamed: AtomicPtr<String>,
    /// When another one was last opened (nanoseconds of `clock::now`).
    tried: AtomicU64,
    /// The process (`fork::epoch`) one of whose threads opens the first file, or 0.
    opening: AtomicU64,
    /// Whether what is found in the file at its opening is void: the cache was cleared when it could not be opened. Relaxed: it
    /// is set by attached threads and read by those that open.
    void: AtomicBool,
    /// When it was last seen whether the path still names the one in use.
    looked: AtomicU64,
    /// As in `File`.
    revalidate: u64,
}

/// Time between two attempts to open another file, and between two looks at the path.
const PAUSE: u64 = 1_000_000_000;
/// How often a clear begins anew, as the file is replaced meanwhile.
const CLEARS: u32 = 4;

/// Whether it is time for what was last done at `last`; if so, it is the caller's turn.
fn is_due(last: &AtomicU64) -> bool {
    // Relaxed, both: who comes too late for a turn does without.
    let (now, seen) = (clock::now(), last.load(Ordering::Relaxed));
    (seen == 0 || now.saturating_sub(seen) >= PAUSE)
        && last.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

impl Reopener {
    /// The files of a cache that is not open yet. An error is one of the arguments.
    pub fn new(name: CacheName, options: &Options) -> Result<Reopener, OpenError> {
        let is_given = !name.private && name.identity.is_none();
        let options_of_file = shared::Options {
            dir: PathBuf::new(),
            name: if is_given { safe_name(&name.name) } else { name.name.clone() },
            strategy: Strategy::from_number(options.strategy as u64).unwrap_or(Strategy::Lru),
            // Without a bound, the bytes are one; and a cache that stores nothing counts all the same.
            max_size: options.max_size.map_or(0, |size| size.max(1) as u64),
            max_bytes: options.max_bytes.map(|bytes| bytes as u64),
            idle: (options.tti != 0).then(|| Duration::from_nanos(options.tti)),
            fingerprint: if name.is_object { fingerprint_of_object(options) } else { fingerprint(options, &name.key) },
        };
        shared::check(&options_of_file)?;
        Ok(Reopener {
            current: AtomicPtr::default(),
            known: Mutex::default(),
            options: shared::Options { name: name.name, ..options_of_file },
            namespace: options.namespace.clone(),
            directory: name.directory,
            version: options.version.clone(),
            private: name.private,
            identity: name.identity,
            renamed: AtomicPtr::default(),
            tried: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            revalidate: options.stale_while_revalidate,
            opening: AtomicU64::new(0),
            void: AtomicBool::new(false),
        })
    }

    fn with_known<R>(&self, f: impl FnOnce(&mut Known) -> R) -> R {
        fork::exclusive(|| f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Why the cache could not be opened, in words.
    pub fn failure(&self) -> Option<String> {
        self.with_known(|known| known.failure.as_ref().map(|(_, _, why)| why.clone()))
    }

    /// What is in the file when it can be opened was dropped before.
    pub fn clear_unopened(&self) {
        self.void.store(true, Ordering::Relaxed);
    }

    fn renamed(&self) -> Option<&String> {
        // SAFETY: null, or what `follow` has stored, which lives as long as this.
        unsafe { self.renamed.load(Ordering::Acquire).as_ref() }
    }

    /// Whether no other process can name the file.
    pub fn is_private(&self) -> bool {
        self.private || self.renamed().is_some()
    }

    /// Opens, before a fork, a file that a child could not open.
    pub fn open_before_fork(&self, py: Python<'_>) -> Result<(), ErrSet> {
        if self.current().is_none() {
            self.follow(py)?;
            if self.is_private() {
                self.open(py);
            }
        }
        Ok(())
    }

    /// Sees whether the function still is what the file's name says, and from the moment on when it is not, works with a
    /// private file. Whether a file is right for the function as it is now: there may be none.
    pub fn follow(&self, py: Python<'_>) -> Result<bool, ErrSet> {
        static RENAMED: Name = Name::new(c"renamed");
        let Some(identity) = &self.identity else {
            return Ok(true);
        };
        if self.renamed().is_none() {
            if identity.is_unchanged(py)? {
                return Ok(true);
            }
            // SAFETY: the object is kept.
            let name = unsafe { call_method(identity.object.as_ptr(), &RENAMED, None) };
            let name = name.map_err(|_| ErrSet)?.into_bound(py);
            if name.is_none() {
                return Ok(true);
            }
            let name = name.extract::<String>();
            let name = Box::into_raw(Box::new(name.unwrap_or_default()));
            // Release: pairs with the acquire loads.
            let null = std::ptr::null_mut();
            if self.renamed.compare_exchange(null, name, Ordering::Release, Ordering::Relaxed).is_err() {
                // SAFETY: made above; another thread was first.
                drop(unsafe { Box::from_raw(name) });
            } else if self.current().is_some() {
                // Where it cannot be made, every call computes.
                self.add_another();
            }
        }
        Ok(self.current().is_none_or(|file| file.renamed))
    }

    /// Whether a file is right for the function as it is now.
    pub fn is_right(&self, py: Python<'_>, file: &File) -> Result<bool, ErrSet> {
        Ok(file.renamed || self.identity.is_none() || self.follow(py)? && self.renamed().is_none())
    }

    /// The file in use; `None` before the first use, or where none can be opened.
    #[inline]
    pub fn current(&self) -> Option<&File> {
        // SAFETY: null, or the address of a file that `Known::opened` keeps as long as this.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// One of the files, for somebody who may outlive this.
    ///
    /// # Safety
    /// `file` is from `current` or `working`.
    pub unsafe fn of(&self, file: &File) -> Arc<File> {
        // SAFETY: it lies in one of the `Arc`s that `opened` keeps; the count is raised before it is taken.
        unsafe {
            Arc::increment_strong_count(file);
            Arc::from_raw(file)
        }
    }

    /// The file to work with: the first one is opened, and another one if somebody has cut short the one in use, or its path no
    /// longer names it. `None` where none can be opened. A hit of the decoded level does not come here; all else does, and looks
    /// once a second at most, or where another process says that it should.
    #[inline]
    pub fn working(&self, py: Python<'_>) -> Option<&File> {
        let Some(file) = self.current() else {
            self.open(py);
            return self.current();
        };
        if self.is_named(file) && (file.shm.may_be_astray() || is_due(&self.looked)) {
            self.look(file);
        }
        // (That it is cut short shows at the first touch, which may have been the one above.)
        if self.current().is_some_and(|file| file.shm.poisoned()) {
            self.replace();
        }
        self.current()
    }

    /// Runs `clear` with the file that the path names, and sees that it was still that one afterwards. False where no file can be
    /// opened.
    pub fn clear(&self, py: Python<'_>, mut clear: impl FnMut(&SharedCache)) -> bool {
        if self.current().is_none() {
            self.open(py);
        }
        for _ in 0..CLEARS {
            let Some(file) = self.current() else {
                return false;
            };
            if file.shm.poisoned() {
                self.add_another();
            } else if self.is_named(file) {
                self.look(file);
            }
            let file = self.current().unwrap_or(file);
            clear(&file.shm);
            if !self.is_named(file) || file.shm.poisoned() || !file.shm.is_astray() {
                break;
            }
        }
        true
    }

    /// Whether other processes find the file by its path.
    fn is_named(&self, file: &File) -> bool {
        !self.private && !file.renamed
    }

    #[cold]
    fn look(&self, file: &File) {
        if !file.shm.poisoned() && file.shm.is_astray() {
            self.add_another();
            // Whether or not there is another one: nobody must go on with what no clear reaches.
            file.shm.forsake();
        }
    }

    #[cold]
    fn replace(&self) {
        if is_due(&self.tried) {
            self.add_another();
        }
    }
}

impl Drop for Reopener {
    fn drop(&mut self) {
        let renamed = *self.renamed.get_mut();
        if !renamed.is_null() {
            // SAFETY: a `String` that `follow` has made.
            drop(unsafe { Box::from_raw(renamed) });
        }
    }
}
