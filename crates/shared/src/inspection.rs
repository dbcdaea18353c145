//! Looking at the caches of a directory from outside: what there is, whose it is, who has it open, what is in it.
//!
//! For a command that knows no cache's parameters. Nothing is made and nothing replaced: what is found is listed, or said to
//! be of no use, and why. A look takes no line in a file's table of processes; what changes a cache
//! ([`SharedCache::clear`] and the like) does, as in any process.
//!
//! A file may be anything, and change meanwhile. So the listing reads by `pread`; what is attached is the same table that
//! any process has, whose every read is checked.

mod found;

use crate::error::OpenError;
use crate::file::directory::{Dir, Missing};
use crate::file::header::{attach as attach_file, close_or_keep, probe, random_generation};
use crate::file::layout::{proc_at, Header, Proc};
use crate::file::life::living_lines;
use crate::file::system::read_exact_at;
use crate::file::units::Slot;
use crate::file::validation::{bears_magic, examine, mark_moved, read_header};
use crate::handle::SharedCache;
use crate::policy::Strategy;
use crate::process::clock::boot_now;
use crate::table::block::ReadBuf;
use crate::table::head::Freshness;
use core::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub use self::found::{Attached, Entry, Found, Parameters, Removal, State};
pub use crate::listed::{Listed, Unneeded, Unusable};

/// How a cache's file is called, after the cache's name.
pub const SUFFIX: &str = ".cache";

impl From<&Header> for Parameters {
    fn from(header: &Header) -> Parameters {
        Parameters {
            strategy: Strategy::from_number(header.strategy),
            max_size: header.max_size,
            max_bytes: header.max_bytes,
            idle: header.idle,
            fingerprint: header.fingerprint,
            age: boot_now().saturating_sub(header.created),
        }
    }
}

/// The files of a directory that are called as caches are, by name. O(files).
pub fn survey(dir: &Path) -> Result<Vec<Found>, OpenError> {
    let dir = Dir::open(dir, Missing::Left)?;
    let mut names = dir.names().map_err(|error| OpenError::io(&dir.path(""), "read", error))?;
    names.retain(|name| name.ends_with(SUFFIX) && !name.starts_with('.'));
    names.sort_unstable();
    // (One that has gone meanwhile is left out.)
    Ok(names.into_iter().filter_map(|name| find(&dir, name)).collect())
}

fn find(dir: &Dir, file: String) -> Option<Found> {
    let listed = dir.listed(&file)?;
    let (processes, state) = match dir.open_file(&file, close_or_keep) {
        Ok(None) => return None,
        Err(error) => (Vec::new(), State::Refused(error)),
        Ok(Some((fd, id))) => {
            let ours = read_header(fd.as_fd())
                .and_then(|header| examine(fd.as_fd(), header).ok_or(Unusable::Damaged))
                .map(|ours| Parameters::from(&ours.header));
            let state = ours.map_or_else(State::Unusable, State::Sound);
            let processes = living_lines(fd.as_fd()).into_iter().map(|line| pid_of(fd.as_fd(), line)).collect();
            close_or_keep(id, fd);
            (processes, state)
        }
    };
    Some(Found { file, listed, processes, state })
}

fn pid_of(fd: BorrowedFd<'_>, line: u64) -> u64 {
    let mut word = [0; 8];
    let read = read_exact_at(fd, &mut word, (proc_at(line) + offset_of!(Proc, ident) as u64).bytes());
    read.map_or(0, |()| u64::from_ne_bytes(word) & 0xffff_ffff)
}

/// Opens a file that is there, whatever its cache's parameters.
pub fn attach(dir: &Path, file: &str) -> Result<Attached, OpenError> {
    let dir = Dir::open(dir, Missing::Left)?;
    Ok(match attach_file(&dir, file)? {
        None => Attached::Absent,
        Some(Err(why)) => Attached::Unusable(why),
        Some(Ok(table)) => Attached::Cache(SharedCache::attached(table, dir.path(file))),
    })
}

/// Removes a cache's file that no process has open. Who opens it in that very moment is told to look for another.
pub fn remove(dir: &Path, file: &str) -> Result<Removal, OpenError> {
    let dir = Dir::open(dir, Missing::Left)?;
    let Some((fd, id)) = dir.open_file(file, close_or_keep)? else { return Ok(Removal::Absent) };
    let removal = dir.with_dir_lock(|| {
        let fd = fd.as_fd();
        if !living_lines(fd).is_empty() {
            return Ok(Removal::InUse);
        }
        if !bears_magic(fd) {
            return Ok(Removal::NoCache);
        }
        if dir.identify(file) != Some(id) {
            return Ok(Removal::Absent);
        }
        dir.discard(file)?;
        if read_header(fd).is_ok() {
            mark_moved(fd, random_generation());
        }
        Ok(Removal::Removed)
    });
    close_or_keep(id, fd);
    removal
}

/// The files that processes have left which were killed as they made a cache; `remove`: they are removed, all that can be.
pub fn leftovers(dir: &Path, remove: bool) -> Result<Vec<Unneeded>, OpenError> {
    let dir = Dir::open(dir, Missing::Left)?;
    let seen = |name: String| {
        let bytes = dir.listed(&name).map_or(0, |listed| listed.allocated);
        let kept = if remove { dir.discard(&name).err() } else { None };
        Unneeded { name, bytes, kept }
    };
    Ok(dir.leftovers(None).into_iter().map(seen).collect())
}

/// Tries whether a file can be made in a directory, filled, mapped and locked, and says how many bytes are free.
pub fn try_out(dir: &Path) -> Result<u64, OpenError> {
    let opened = Dir::open(dir, Missing::Left)?;
    let fd = opened.nameless().map_err(|error| OpenError::io(dir, "make a file in", error))?;
    let free = opened.free_bytes();
    probe(fd.as_fd(), true, free).map_err(|(what, error)| OpenError::io(dir, what, error))?;
    Ok(free)
}

impl SharedCache {
    /// What the cache was made with.
    pub fn parameters(&self) -> Parameters {
        Parameters::from(&self.table().header)
    }

    /// Calls `f` with the entries among so many slots from a place on: a look, no use, no snapshot. The place to go on from;
    /// `None` at the end.
    pub fn look_through(&self, from: u64, slots: u64, mut f: impl FnMut(&Entry<'_>)) -> Option<u64> {
        let table = self.table();
        let end = table.slot_high();
        let next = from.saturating_add(slots).min(end);
        let mut buf = ReadBuf::new();
        for slot in (from..next).map(Slot::new) {
            let found = if table.word(slot).is_free() { None } else { table.entry(slot, &mut buf) };
            let Some(hit) = found else { continue };
            let freshness = table.freshness(&hit);
            if freshness == Freshness::Gone {
                continue;
            }
            let now = table.now();
            let left = |end: u64| (end != crate::table::reading::NEVER).then(|| end.saturating_sub(now));
            f(&Entry {
                hash: buf.hash(),
                key: buf.key(),
                value: buf.value(),
                kind: hit.kind,
                is_fresh: freshness == Freshness::Fresh,
                has_tags: hit.tag_words() > 0,
                fresh_for: left(hit.fresh.min(table.idle_end(slot, now))),
                there_for: left(hit.end.min(table.idle_end(slot, now))),
            });
        }
        (next < end).then_some(next)
    }
}
