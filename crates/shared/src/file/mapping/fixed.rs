//! A small file of one size, mapped as a whole: words of 64 bits, then words of 32 bits that can be slept on.
//!
//! Whoever opens it says what a new one holds and which one is sound; what it means is theirs. It has the checks of a
//! cache's file: a private directory, owner and mode, no half-made file under its name, a file of no use replaced by
//! `rename`. Where no file can be had, the same words lie in memory of the process's own ([`FixedFile::private`]).
//!
//! **In use** (Linux). Who opens it shares a lock of one byte, which the open file description has: it stands as long as
//! anybody has the file mapped, forks' children included, and ends with the last of them, however that ends. Only a file
//! whose byte nobody shares is removed ([`FixedFile::remove_unused`]); who opened it in that very moment finds that out,
//! and makes another one.
//!
//! A file that somebody cuts short reads as zeros from then on ([`sigbus`]), so to its users 0 must mean "nothing is known".

use super::addresses::Mapping;
use super::descriptor::{file_len, Descriptor};
use crate::error::OpenError;
use crate::file::astray::{is_elsewhere, note_root};
use crate::file::atomic::{AtomicU32, AtomicU64};
use crate::file::directory::{check_name, Dir, FileId, Missing};
use crate::file::disk::reserve_file;
#[cfg(target_os = "linux")]
use crate::file::life::{is_locked, Locks, Owner};
use crate::file::sigbus;
use crate::file::system::{read_exact_at, write_all_at};
use crate::listed::Unneeded;
use crate::process::held::Held;
#[cfg(target_os = "linux")]
use crate::process::held::BYTE as LISTENERS;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// Rounds of "somebody was faster" before giving up.
const TRIES: u32 = 20;
/// Words that tell whether a file is sound.
pub const HEAD: usize = 8;
/// The byte that all share who have the file open.
#[cfg(target_os = "linux")]
const IN_USE: u64 = LISTENERS + 1;

/// How many words of either kind there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `HEAD` at least.
    pub words: usize,
    pub halves: usize,
}

impl Shape {
    fn bytes(self) -> usize {
        self.words * 8 + self.halves * 4
    }
}

/// What its words are at first.
pub struct Content {
    pub words: Vec<u64>,
    pub halves: Vec<u32>,
}

impl Content {
    fn bytes(&self, shape: Shape) -> Vec<u8> {
        assert!(self.words.len() == shape.words && self.halves.len() == shape.halves, "a content of another shape");
        let words = self.words.iter().flat_map(|word| word.to_ne_bytes());
        words.chain(self.halves.iter().flat_map(|half| half.to_ne_bytes())).collect()
    }
}

pub struct FixedFile {
    base: NonNull<AtomicU64>,
    shape: Shape,
    /// What `base` is the start of.
    _mapping: Mapping,
    /// `None`: memory of this process's own.
    file: Option<(Descriptor, PathBuf)>,
    watched: sigbus::Watched,
}

// SAFETY: `base` points to a mapping that lives as long as the value; it is only ever accessed atomically.
unsafe impl Send for FixedFile {}
// SAFETY: all access to the mapping through `&FixedFile` is atomic, and the other fields may be shared.
unsafe impl Sync for FixedFile {}

impl FixedFile {
    /// Opens the file, or makes it; the directory is made with its parents.
    ///
    /// # Errors
    /// The directory or the file is refused, or the system refuses.
    pub fn open(
        dir: &Path,
        name: &str,
        shape: Shape,
        content: impl Fn() -> Content,
        is_sound: impl Fn(&[u64; HEAD]) -> bool,
    ) -> Result<FixedFile, OpenError> {
        check_name(name)?;
        sigbus::install();
        note_root();
        let dir = Dir::open(dir, Missing::MadeWithParents)?;
        let path = dir.path(name);
        let fail = |what: &'static str| {
            let path = path.clone();
            move |error| OpenError::io(&path, what, error)
        };
        for _ in 0..TRIES {
            let found = dir.open_file(name, |_, fd| drop(fd))?;
            let old = match found {
                Some((fd, id)) if is_good(&fd, shape, &is_sound) => {
                    if !is_kept(&dir, name, &fd, id) {
                        std::thread::yield_now();
                        continue;
                    }
                    return FixedFile::map(fd, shape, path.clone()).map_err(fail("map"));
                }
                Some((_, id)) => Some(id),
                None => None,
            };
            let bytes = content().bytes(shape);
            dir.with_dir_lock(|| {
                dir.create(name, old, |fd| {
                    reserve_file(fd, 0, bytes.len() as u64).map_err(fail("create"))?;
                    write_all_at(fd, &bytes, 0).map_err(fail("create"))
                })
            })?;
        }
        Err(fail("open")(io::Error::other("other processes keep taking its name")))
    }

    fn map(fd: OwnedFd, shape: Shape, path: PathBuf) -> io::Result<FixedFile> {
        let watched = sigbus::Watched::new();
        let bytes = shape.bytes() as u64;
        let mapping = Mapping::new(fd.as_fd(), bytes, bytes, Some(&watched))?;
        Ok(FixedFile::over(mapping, shape, Some((Descriptor::new(fd), path)), watched))
    }

    /// The same in memory of this process alone; a fork's child has a copy.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn private(shape: Shape, content: &Content) -> io::Result<FixedFile> {
        let mapping = Mapping::private(shape.bytes() as u64)?;
        let new = FixedFile::over(mapping, shape, None, sigbus::Watched::new());
        assert!(
            content.words.len() == shape.words && content.halves.len() == shape.halves,
            "a content of another shape"
        );
        // Relaxed: nobody else has it yet.
        use std::sync::atomic::Ordering::Relaxed;
        content.words.iter().enumerate().for_each(|(i, word)| new.word(i).store(*word, Relaxed));
        content.halves.iter().enumerate().for_each(|(i, half)| new.half(i).store(*half, Relaxed));
        Ok(new)
    }

    fn over(
        mapping: Mapping,
        shape: Shape,
        file: Option<(Descriptor, PathBuf)>,
        watched: sigbus::Watched,
    ) -> FixedFile {
        let base = NonNull::new(mapping.base.cast()).expect("mmap never returns null for us");
        FixedFile { base, shape, _mapping: mapping, file, watched }
    }

    #[inline(always)]
    pub fn word(&self, i: usize) -> &AtomicU64 {
        assert!(i < self.shape.words, "a word outside the file");
        // SAFETY: the mapping has so many words from its page-aligned start on, and lives as long as `self`. Everybody
        // accesses them atomically and in this size. Whether the file has that page is `sigbus`'s matter.
        unsafe { self.base.add(i).as_ref() }
    }

    #[inline(always)]
    pub fn half(&self, i: usize) -> &AtomicU32 {
        assert!(i < self.shape.halves, "a word outside the file");
        // SAFETY: the mapping has so many words of 32 bits from the end of those of 64 on, which is aligned for them, and lives
        // as long as `self`. Everybody accesses them atomically and in this size; missing pages are `sigbus`'s matter.
        unsafe { self.base.add(self.shape.words).cast::<AtomicU32>().add(i).as_ref() }
    }

    /// Whether other processes see it.
    pub fn is_shared(&self) -> bool {
        self.file.is_some()
    }

    /// Which file it is.
    pub fn id(&self) -> Option<(u64, u64)> {
        self.file.as_ref().and_then(|(fd, _)| fd.file)
    }

    /// Which file has a name, without opening it.
    pub fn identify(dir: &Path, name: &str) -> Option<(u64, u64)> {
        Dir::open(dir, Missing::Left).ok()?.identify(name)
    }

    /// The files of a directory that are called so, say that they are such files, and that no process has open; `remove`:
    /// they are removed, all that can be. (None where the system does not tell who has a file open.)
    ///
    /// # Errors
    /// The directory is refused, or cannot be read.
    pub fn remove_unused(
        dir: &Path,
        is_called: impl Fn(&str) -> bool,
        is_one: impl Fn(&[u64; HEAD]) -> bool,
        remove: bool,
    ) -> Result<Vec<Unneeded>, OpenError> {
        let dir = Dir::open(dir, Missing::Left)?;
        let mut names = dir.names().map_err(|error| OpenError::io(&dir.path(""), "read", error))?;
        names.retain(|name| is_called(name));
        names.sort_unstable();
        let mut unused = Vec::new();
        for name in names {
            // (What is refused is not touched; closing a descriptor gives up a lock of the process's own at most.)
            let Ok(Some((fd, id))) = dir.open_file(&name, |_, fd| drop(fd)) else { continue };
            let bytes = dir.listed(&name).map_or(0, |listed| listed.allocated);
            unused.extend(dir.with_dir_lock(|| {
                let is_ours = dir.identify(&name) == Some(id) && read_head(&fd).is_some_and(|head| is_one(&head));
                if !is_ours || !is_unused(&fd) {
                    return None;
                }
                let kept = if remove { dir.discard(&name).err() } else { None };
                Some(Unneeded { name, bytes, kept })
            }));
        }
        Ok(unused)
    }

    /// Whether it is of no more use: somebody has cut it short, or whoever has it has given it up.
    pub fn is_truncated(&self) -> bool {
        self.watched.fired()
    }

    /// It is of no more use to this process.
    pub fn give_up(&self) {
        self.watched.fire();
    }

    /// Whether it is what others find who open it now: its path names it, and it has its length and a sound head. What
    /// cannot be known is no reason to leave it; private memory is always so.
    pub fn is_found(&self, is_sound: impl Fn(&[u64; HEAD]) -> bool) -> bool {
        let Some((descriptor, path)) = &self.file else { return true };
        // (Relaxed: a head is never changed but by damage.)
        let head = std::array::from_fn(|i| self.word(i).load(std::sync::atomic::Ordering::Relaxed));
        let has_length =
            !descriptor.is_ours() || file_len(descriptor.fd.as_fd()).is_ok_and(|len| len == self.shape.bytes() as u64);
        is_sound(&head) && has_length && !is_elsewhere(path, descriptor.file)
    }

    /// Takes a lock of the file, which is this process's until it is dropped or the process ends; `None` if another
    /// process has it. Private memory's is always free.
    ///
    /// # Errors
    /// The file system has no such locks, or the descriptor is not the file's any more: the system's number.
    pub fn try_hold(&self) -> Result<Option<Held>, i32> {
        let Some((descriptor, path)) = &self.file else { return Ok(Some(Held::nothing())) };
        if !descriptor.is_ours() {
            return Err(libc::EBADF);
        }
        Held::try_take(descriptor.fd.as_fd(), path)
    }
}

/// Says that the file is in use from now on, as long as its description is there; false if it has lost its name, or is
/// about to. (Where there are no such locks, nothing is removed either.)
fn is_kept(dir: &Dir, name: &str, fd: &OwnedFd, id: FileId) -> bool {
    #[cfg(target_os = "linux")]
    if let Ok(false) = (Locks { fd: fd.as_fd(), owner: Owner::Description }).share(IN_USE) {
        return false;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
    dir.identify(name) == Some(id)
}

/// Whether nobody has the file open but through this descriptor; nobody can begin to before it is closed.
fn is_unused(fd: &OwnedFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        let alone = Locks { fd: fd.as_fd(), owner: Owner::Description }.take(IN_USE);
        // (An earlier version's process has the other byte alone, if it is the one that listens.)
        alone == Ok(true) && !is_locked(fd.as_fd(), LISTENERS)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}

/// Whether a file has the length and the head of one that can be used.
fn is_good(fd: &OwnedFd, shape: Shape, is_sound: impl Fn(&[u64; HEAD]) -> bool) -> bool {
    if file_len(fd.as_fd()).ok() != Some(shape.bytes() as u64) {
        return false;
    }
    read_head(fd).is_some_and(|head| is_sound(&head))
}

fn read_head(fd: &OwnedFd) -> Option<[u64; HEAD]> {
    let mut bytes = [0; HEAD * 8];
    read_exact_at(fd.as_fd(), &mut bytes, 0).ok()?;
    Some(std::array::from_fn(|i| u64::from_ne_bytes(bytes[i * 8..][..8].try_into().expect("eight bytes"))))
}
