//! The files of a shared cache: the one in use, and how another one takes its place after somebody has cut it short, or has
//! removed, renamed or replaced it.
//!
//! Ring 3.

use std::path::PathBuf;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyPermissionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::capi::sharing::FREE_THREADED;
use crate::codec::global::{call_method, Name};
use crate::function::options::Options;
use concurrency::clock;
use concurrency::thread_id;
use engine::wire_format;
use shared::hash::siphash13;
use shared::{safe_name, Event, Freshness, Hit, OpenError, OpenErrorKind, SharedCache, Strategy};

/// An open file.
pub(crate) struct File {
    pub shm: SharedCache,
    /// The slot that was used last: with a GIL, by its holder.
    last: AtomicU64,
    /// Without one, for each stripe of threads.
    stripes: Box<[Last]>,
    /// Made since the function is no longer what its name says.
    renamed: bool,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Last(AtomicU64);

impl File {
    fn new(shm: SharedCache, renamed: bool) -> Self {
        let stripes = if FREE_THREADED { thread_id::stripes() } else { 0 };
        let nothing = || AtomicU64::new(u64::MAX);
        File { shm, last: nothing(), stripes: (0..stripes).map(|_| Last(nothing())).collect(), renamed }
    }

    /// The calling thread's memory of the slot it used last. Threads of one stripe may take each other's for theirs.
    #[inline(always)]
    fn last(&self) -> &AtomicU64 {
        if FREE_THREADED {
            &self.stripes[thread_id::index() & (self.stripes.len() - 1)].0
        } else {
            &self.last
        }
    }

    /// Counts something. The thread is attached.
    #[inline(always)]
    pub fn count(&self, event: Event) {
        if FREE_THREADED {
            self.shm.count(thread_id::index() as u64, event);
        } else {
            self.shm.count_alone(0, event);
        }
    }

    /// Whether what was found is there still; stamps the use.
    #[inline(always)]
    pub fn hit_again(&self, hit: &Hit) -> bool {
        // Relaxed, both: a number that is right or not.
        let before = self.last().load(Ordering::Relaxed);
        let mut slot = before;
        let current = self.shm.hit_again(hit, &mut slot);
        if slot != before {
            self.last().store(slot, Ordering::Relaxed);
        }
        current
    }

    /// Whether what was found is there still, without a use.
    pub fn is_there(&self, hit: &Hit) -> bool {
        self.shm.freshness(hit) == Freshness::Fresh
    }
}

/// Where a function's cache lies.
pub struct CacheLocation {
    /// The directory that was asked for, or those that may do.
    directories: Vec<PathBuf>,
    asked_for: bool,
    name: String,
    /// Of a function's own cache, what tells whether it still is what the name says. Without it and without a name from the
    /// user no other process can name the file: it loses its name at once, and is shared with forks alone.
    identity: Option<PyRef>,
    private: bool,
    /// What tells the key function from others where the user named the cache; in all other names it is told already.
    key: Vec<u8>,
}

impl CacheLocation {
    /// The place of the cache that the user named, or of the function's own.
    pub fn find(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<CacheLocation> {
        let key = options.key.as_ref().map(|key| key.bind(function.py()));
        let identity = function.py().import("warp_cache._naming.identity")?;
        let (directories, asked_for) = identity.call_method0("directories")?.extract()?;
        if let Some(name) = name {
            let key = match key {
                Some(key) => identity.call_method1("key_digest", (key,))?.extract()?,
                None => Vec::new(),
            };
            let name = safe_name(name);
            return Ok(CacheLocation { directories, asked_for, name, identity: None, private: false, key });
        }
        let (name, identity): (String, Option<Py<PyAny>>) =
            identity.call_method1("identify", (function, key))?.extract()?;
        let (private, key) = (identity.is_none(), Vec::new());
        Ok(CacheLocation { directories, asked_for, name, private, identity: identity.map(PyRef::from), key })
    }
}

/// The file in use, those before it, and what is needed to open another.
pub struct Reopener {
    /// The last of `opened`. Release-stored after the file is made; pairs with the acquire loads.
    current: AtomicPtr<File>,
    /// All of them are kept: decoded values refer to them, and other threads may be at work in them.
    opened: Mutex<Vec<Arc<File>>>,
    options: shared::Options,
    /// Default places; none where a directory was asked for.
    places: Vec<PathBuf>,
    private: bool,
    pub identity: Option<PyRef>,
    /// The name of a private file, since the function is no longer what the name in the options says: null, or a `String` of
    /// ours. Release-stored once; pairs with the acquire loads.
    renamed: AtomicPtr<String>,
    /// When another one was last opened (nanoseconds of `clock::now`).
    tried: AtomicU64,
    /// When it was last seen whether the path still names the one in use.
    looked: AtomicU64,
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
    pub fn open(place: CacheLocation, options: &Options) -> Result<Reopener, OpenError> {
        let options = shared::Options {
            dir: place.directories.first().cloned().unwrap_or_default(),
            name: place.name,
            strategy: Strategy::from_number(options.strategy as u64).unwrap_or(Strategy::Lru),
            // Without a bound, the bytes are one; and a cache that stores nothing counts all the same.
            max_size: options.max_size.map_or(0, |size| size.max(1) as u64),
            max_bytes: options.max_bytes.map(|bytes| bytes as u64),
            idle: (options.tti != 0).then(|| Duration::from_nanos(options.tti)),
            fingerprint: fingerprint(options, &place.key),
        };
        let files = Reopener {
            current: AtomicPtr::default(),
            opened: Mutex::default(),
            options,
            places: if place.asked_for { Vec::new() } else { place.directories },
            private: place.private,
            identity: place.identity,
            renamed: AtomicPtr::default(),
            tried: AtomicU64::new(0),
            looked: AtomicU64::new(clock::now()),
        };
        files.add()?;
        Ok(files)
    }

    fn add(&self) -> Result<(), OpenError> {
        let renamed = self.renamed().map(|name| shared::Options { name: name.clone(), ..self.options.clone() });
        let options = renamed.as_ref().unwrap_or(&self.options);
        let private = self.private || renamed.is_some();
        let shm = match &self.places[..] {
            [] => SharedCache::open(options)?,
            places => SharedCache::open_in_first(options, places, private)?,
        };
        if private {
            // Where it cannot be removed, it is a file that nobody opens again.
            let _ = std::fs::remove_file(shm.path());
        }
        let file = Arc::new(File::new(shm, renamed.is_some()));
        // A fork may have left the mutex locked: then this process goes on with what it has.
        if let Ok(mut opened) = self.opened.try_lock() {
            opened.push(Arc::clone(&file));
            self.current.store(Arc::as_ptr(&file).cast_mut(), Ordering::Release);
        }
        Ok(())
    }

    /// Whether the file in use is one that no other process can name.
    pub fn is_private(&self) -> bool {
        self.private || self.renamed().is_some()
    }

    fn renamed(&self) -> Option<&String> {
        // SAFETY: null, or what `follow` has stored, which lives as long as this.
        unsafe { self.renamed.load(Ordering::Acquire).as_ref() }
    }

    /// Sees whether the function still is what the file's name says, and from the moment on when it is not, works with a
    /// private file. Whether a file is right for the function as it is now: there may be none.
    ///
    /// # Safety
    /// The thread is attached and holds no lock. Runs user code.
    pub unsafe fn follow(&self) -> Result<bool, ErrSet> {
        static RENAMED: Name = Name::new(c"renamed");
        let Some(identity) = &self.identity else {
            return Ok(true);
        };
        if self.renamed().is_none() {
            // SAFETY: the caller's promise; a `str` or None.
            let name = unsafe {
                let name = call_method(identity.as_ptr(), &RENAMED, None).map_err(|_| ErrSet)?;
                if name.as_ptr() == pyo3::ffi::Py_None() {
                    return Ok(true);
                }
                Bound::from_owned_ptr(Python::assume_attached(), name.into_ptr()).extract::<String>()
            };
            let name = Box::into_raw(Box::new(name.unwrap_or_default()));
            // Release: pairs with the acquire loads.
            let null = std::ptr::null_mut();
            if self.renamed.compare_exchange(null, name, Ordering::Release, Ordering::Relaxed).is_err() {
                // SAFETY: made above; another thread was first.
                drop(unsafe { Box::from_raw(name) });
            } else {
                // Where it cannot be made, every call computes.
                let _ = self.add();
            }
        }
        Ok(self.current().renamed)
    }

    /// Whether a file is right for the function as it is now.
    ///
    /// # Safety
    /// As for [`follow`](Self::follow).
    pub unsafe fn is_right(&self, file: &File) -> Result<bool, ErrSet> {
        // SAFETY: the caller's promise.
        Ok(file.renamed || self.identity.is_none() || unsafe { self.follow() }? && self.renamed().is_none())
    }

    /// The file in use.
    #[inline]
    pub fn current(&self) -> &File {
        // SAFETY: `open` has stored the address of a file that `opened` keeps as long as this.
        unsafe { &*self.current.load(Ordering::Acquire) }
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

    /// The file to work with: another one, if somebody has cut short the one in use, or its path no longer names it. A hit of
    /// the decoded level does not come here; all else does, and looks once a second at most, or where another process says
    /// that it should.
    #[inline]
    pub fn current_or_reopened(&self) -> &File {
        let file = self.current();
        if self.is_named(file) && (file.shm.may_be_astray() || is_due(&self.looked)) {
            self.look(file);
        }
        // (That it is cut short shows at the first touch, which may have been the one above.)
        if self.current().shm.poisoned() {
            self.replace();
        }
        self.current()
    }

    /// Runs `clear` with the file that the path names, and sees that it was still that one afterwards.
    pub fn clear(&self, mut clear: impl FnMut(&SharedCache)) {
        for _ in 0..CLEARS {
            let file = self.current();
            if file.shm.poisoned() {
                let _ = self.add();
            } else if self.is_named(file) {
                self.look(file);
            }
            let file = self.current();
            clear(&file.shm);
            if !self.is_named(file) || file.shm.poisoned() || !file.shm.is_astray() {
                break;
            }
        }
    }

    /// Whether other processes find the file by its path.
    fn is_named(&self, file: &File) -> bool {
        !self.private && !file.renamed
    }

    #[cold]
    fn look(&self, file: &File) {
        if !file.shm.poisoned() && file.shm.is_astray() {
            let _ = self.add();
            // Whether or not there is another one: nobody must go on with what no clear reaches.
            file.shm.forsake();
        }
    }

    #[cold]
    fn replace(&self) {
        if is_due(&self.tried) {
            // Where that fails, every call is a miss, as before.
            let _ = self.add();
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

/// What all users of a file must agree on, beside what the file itself knows of.
fn fingerprint(options: &Options, key: &[u8]) -> u64 {
    let size = |limit: Option<usize>| limit.map_or(u64::MAX, |limit| limit as u64);
    let parts = [
        options.ttl.nanos,
        u64::from(options.typed),
        u64::from(options.by_signature),
        size(options.max_key_size),
        size(options.max_value_size),
        u64::from(wire_format::VERSION),
        u64::from(options.max_size == Some(0)),
    ];
    let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
    // What makes the key of a call: nothing where that is all of its arguments.
    if options.key.is_some() {
        bytes.extend(b"key ");
        bytes.extend(key);
    }
    let mut ignored: Vec<&str> = options.ignore.iter().map(String::as_str).collect();
    ignored.sort_unstable();
    ignored.dedup();
    for name in ignored {
        bytes.extend(b"ignore ");
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    siphash13([0, 0], &bytes)
}

/// The Python exception for a cache that could not be opened.
pub fn raised(error: &OpenError) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        OpenErrorKind::Argument => PyValueError::new_err(message),
        OpenErrorKind::Permission => PyPermissionError::new_err(message),
        OpenErrorKind::System(number) => PyOSError::new_err((number, message)),
        OpenErrorKind::Other => PyRuntimeError::new_err(message),
    }
}
