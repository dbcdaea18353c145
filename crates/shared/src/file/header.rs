//! Opening a cache: find, check, create or replace its file, and share one mapping per file and process.
//!
//! Under a cache's name lies one of:
//! - *its file*: magic, version, parameters and boot are ours, and the areas it claims are there, or others have it open,
//!   who must not be left alone with it. Used, and healed if need be.
//! - *another cache's*: another version's or other parameters'. Left alone; ours is `{name}-{hash of the
//!   parameters}.cache`.
//! - *a dead one*: of an earlier boot, damaged or cut short. Replaced by `rename`, so whoever still maps it keeps what
//!   it has, and is told in the old file to look for the new one (`validation`, `astray`).
//! - *nothing*: created under a temporary name and renamed, complete: no half-made file is ever seen under a cache's
//!   name.
//!
//! A process has one `Table`, thus one descriptor, per file: where its locks are the process's own, closing a second one
//! would release them (`life`).

use crate::error::{OpenError, LOCK};
use crate::file::astray::note_root;
use crate::file::directory::{check_name, Dir, FileId, Missing};
use crate::file::disk::reserve_file;
use crate::file::layout::{
    ctl, Geometry, Header, FENCES, FENCES_AT, HEADER_AT, HEADER_COPY_AT, MAGIC, MAX_FILE, MIN_MAX_BYTES, PAGE,
    PROCS_AT, VERSION,
};
use crate::file::mapping::{Descriptor, Region};
use crate::file::memory;
use crate::file::sigbus;
use crate::file::system::write_all_at;
use crate::file::units::{Offset, Slot};
use crate::file::validation::{
    examine, first_slots, header_sum, mark_moved, read_header, validate, write_header, Content, Ours,
};
use crate::hash::siphash13;
pub(crate) use crate::interface::Options;
use crate::listed::Unusable;
use crate::policy::Strategy;
use crate::process::clock;
use crate::table::reading::NEVER;
use crate::table::Table;
use concurrency::boottime;
use concurrency::fork;
use concurrency::signals::unharmed;
use engine::hashing::split_mix;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

const DEFAULT_MOST: u64 = 1 << 30;
/// Rounds of "somebody was faster" before giving up.
const TRIES: u32 = 50;

static REGISTRY: Mutex<Vec<(FileId, Weak<Table>)>> = Mutex::new(Vec::new());

/// The process's tables. Only within `fork::exclusive`, so no child finds it locked.
fn registry<R>(f: impl FnOnce(&mut Vec<(FileId, Weak<Table>)>) -> R) -> R {
    f(&mut REGISTRY.lock().unwrap_or_else(|e| e.into_inner()))
}

fn registered(id: FileId) -> Option<Arc<Table>> {
    registry(|tables| tables.iter().find(|c| c.0 == id).and_then(|c| c.1.upgrade()))
}

/// The file may be one that a table of ours has locks on: then the descriptor must stay open with it.
pub(crate) fn close_or_keep(id: FileId, fd: OwnedFd) {
    fork::exclusive(|| match registered(id) {
        Some(table) => table.region.keep(Descriptor::new(fd)),
        None => drop(fd),
    });
}

/// A handle's share of a table. It is dropped alone in this process, so that closing the descriptor never overlaps with a
/// new claim on the same file.
pub(crate) struct Share(ManuallyDrop<Arc<Table>>);

impl Share {
    pub(crate) fn new(table: Arc<Table>) -> Share {
        Share(ManuallyDrop::new(table))
    }
}

impl std::ops::Deref for Share {
    type Target = Table;
    #[inline(always)]
    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // SAFETY: dropped once, here, and never used after.
        let table = unsafe { ManuallyDrop::take(&mut self.0) };
        fork::exclusive(|| drop(table));
    }
}

/// A time to idle in nanoseconds; 0 = none.
fn idle(options: &Options) -> u64 {
    options.idle.map_or(0, |idle| u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX).max(1))
}

fn fingerprint(options: &Options) -> u64 {
    let parts = [
        VERSION,
        options.fingerprint,
        options.strategy as u64,
        options.max_size,
        options.max_bytes.unwrap_or(0),
        idle(options),
    ];
    // Who cannot tell how its clock stands to others' shares with those alone that seem to have the same.
    let clocks = Some(boottime::identity()).filter(|identity| *identity != 0);
    siphash13([0, 0], &parts.iter().chain(&clocks).flat_map(|p| p.to_le_bytes()).collect::<Vec<u8>>())
}

/// What a new file looks like: reserved, initialised, empty.
fn fill(fd: BorrowedFd<'_>, header: &Header, geo: &Geometry) -> io::Result<()> {
    unharmed(|| fill_unguarded(fd, header, geo))
}

fn fill_unguarded(fd: BorrowedFd<'_>, header: &Header, geo: &Geometry) -> io::Result<()> {
    const FIRST: Slot = Slot::new(0);
    let slots = first_slots(geo);
    let changes = Geometry::changes_for(slots);
    // One page of process slots; the others when somebody claims one there.
    for (at, end) in [
        (HEADER_AT, PROCS_AT + PAGE),
        (FENCES_AT, Geometry::level_at(1)),
        (geo.cell(FIRST), geo.cell(Slot::new(slots))),
        (geo.meta(FIRST), geo.meta(Slot::new(slots))),
        (geo.link(FIRST), geo.link(if geo.has_links() { Slot::new(slots) } else { FIRST })),
        (geo.idle_word(FIRST), geo.idle_word(if geo.has_idle() { Slot::new(slots) } else { FIRST })),
        (geo.changes, geo.changes + changes * 8),
    ] {
        if end > at {
            reserve_file(fd, at.bytes(), end - at)?;
        }
    }
    let word = |value: u64, at: Offset| write_all_at(fd, &value.to_ne_bytes(), at.bytes());
    // Anything: what damage puts there is no stamp that has been.
    let [seed, other] = header.seed;
    let stamps = (0..FENCES).flat_map(|i| split_mix(split_mix(seed).wrapping_add(i)).to_ne_bytes());
    write_all_at(fd, &stamps.collect::<Vec<u8>>(), FENCES_AT.bytes())?;
    word(split_mix(other) | 1, ctl!(tag_epoch))?;
    word(slots, ctl!(slots_ready))?;
    word(changes, ctl!(change_len))?;
    word(NEVER, ctl!(min_deadline))?;
    word(NEVER, ctl!(sweep_min))?;
    // Not that of a file before this one: a computation that began then is not stored here over a clear.
    for at in [ctl!(generation), ctl!(swept_generation), ctl!(base_generation)] {
        word(header.seed[0], at)?;
    }
    [HEADER_COPY_AT, HEADER_AT].into_iter().try_for_each(|at| write_header(fd, header, at))
}

/// A generation that no file has had.
pub(crate) fn random_generation() -> u64 {
    random().map_or_else(|_| siphash13([clock::boot_now(), 0], b"generation"), |words| words[0])
}

fn random() -> io::Result<[u64; 2]> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    let n = u128::from_ne_bytes(bytes);
    Ok([n as u64, (n >> 64) as u64])
}

fn seed() -> io::Result<[u64; 2]> {
    #[cfg(test)]
    return Ok(crate::testing::SEED);
    #[cfg(not(test))]
    random()
}

fn tick_mode() -> u64 {
    #[cfg(test)]
    if let Some(mode) = crate::testing::TICK_MODE.get() {
        return mode;
    }
    u64::from(clock::time_stamp_is_good())
}

/// A quarter of what is free where the file lies and of what memory its maker's cgroup may use, 1 GiB at most. (A file on
/// a disk takes memory as well, while it is in use.)
fn usual_size(free: u64, memory: Option<u64>) -> u64 {
    (free.min(memory.unwrap_or(u64::MAX)) / 4).clamp(MIN_MAX_BYTES, DEFAULT_MOST)
}

fn geometry(options: &Options, max_bytes: u64) -> Result<Geometry, OpenError> {
    Geometry::with(options.max_size, max_bytes, options.strategy, idle(options) != 0).ok_or_else(|| {
        OpenError::InvalidSize(format!("max_bytes must be from {MIN_MAX_BYTES} to {MAX_FILE} bytes, got {max_bytes}"))
    })
}

/// Whether a cache can be opened with these options, as far as they alone decide that.
pub fn check(options: &Options) -> Result<(), OpenError> {
    check_name(&options.name)?;
    options.max_bytes.map_or(Ok(()), |max_bytes| geometry(options, max_bytes).map(drop))
}

fn new_header(options: &Options, dir: &Dir) -> Result<(Header, Geometry), OpenError> {
    let max_bytes = options.max_bytes.unwrap_or_else(|| usual_size(dir.free_bytes(), memory::limit()));
    let geo = geometry(options, max_bytes)?;
    let mut header = Header {
        magic: MAGIC,
        version: VERSION,
        fingerprint: fingerprint(options),
        boot: clock::boot_id(),
        created: clock::boot_now(),
        seed: seed().map_err(|e| OpenError::io(&dir.path(""), "find random numbers for", e))?,
        max_size: options.max_size,
        max_bytes,
        strategy: options.strategy as u64,
        tick_mode: tick_mode(),
        idle: idle(options),
        checksum: 0,
    };
    header.checksum = header_sum(&header);
    Ok((header, geo))
}

/// How far to go for a file in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Somebody has asked for this directory: everything is made, and nothing is asked of it but that it works.
    Given,
    /// A default place is left for the next one if files cannot be mapped there; and, where one is `choosy`, if it has no
    /// byte-range locks or no room for more than an empty cache.
    Default { choosy: bool },
    /// Only what is there is used.
    Existing,
}

/// `shared`: use the table that this process already has of the file. (Tests also open several, as several processes
/// would.)
pub(crate) fn open(options: &Options, shared: bool) -> Result<(Arc<Table>, PathBuf), OpenError> {
    open_in(&options.dir, options, shared, Effort::Given)?.ok_or_else(|| crowded(&options.dir))
}

fn crowded(path: &Path) -> OpenError {
    OpenError::io(path, "open", io::Error::other("other caches or other processes keep taking its name"))
}

/// `None`: there is no file yet, and none is to be made.
pub(crate) fn open_in(
    dir: &Path,
    options: &Options,
    shared: bool,
    effort: Effort,
) -> Result<Option<(Arc<Table>, PathBuf)>, OpenError> {
    check_name(&options.name)?;
    sigbus::install();
    note_root();
    let missing = match effort {
        Effort::Given => Missing::MadeWithParents,
        Effort::Default { .. } => Missing::Made,
        Effort::Existing => Missing::Left,
    };
    let dir = Dir::open(dir, missing)?;
    let fingerprint = fingerprint(options);
    let names = [format!("{}.cache", options.name), format!("{}-{:08x}.cache", options.name, fingerprint as u32)];
    for _ in 0..TRIES {
        // The file may have the later name, since the earlier one was another cache's that has gone.
        let mut free = None;
        for name in &names {
            let path = dir.path(name);
            if let Some(table) = dir.identify(name).filter(|_| shared).and_then(|id| fork::exclusive(|| registered(id)))
            {
                if table.header.fingerprint == fingerprint && !table.region.truncated() {
                    return Ok(Some((table, path)));
                }
            }
            let Some((fd, id)) = dir.open_file(name, close_or_keep)? else {
                free = free.or(Some((name, None)));
                continue;
            };
            match validate(fd.as_fd(), fingerprint) {
                Content::Ours(ours) => return map_table(fd, id, ours, shared, path).map(Some),
                Content::Dead if free.is_none() => free = Some((name, Some(Old { id, fd: Some(fd) }))),
                Content::Dead | Content::Foreign => close_or_keep(id, fd),
            }
        }
        let Some((name, old)) = free else { break };
        if effort == Effort::Existing {
            return Ok(None);
        }
        let path = dir.path(name);
        let (header, geo) = new_header(options, &dir)?;
        let fill = |fd: BorrowedFd<'_>| {
            if let Effort::Default { choosy } = effort {
                let room = if choosy { dir.free_bytes() } else { u64::MAX };
                probe(fd, choosy, room).map_err(|(what, e)| OpenError::io(&path, what, e))?;
            }
            fill(fd, &header, &geo).map_err(|e| OpenError::io(&path, "create", e))
        };
        let made = dir.with_dir_lock(|| dir.create(name, old.as_ref().map(|old| old.id), fill))?;
        if let Some(fd) = old.as_ref().and_then(|old| old.fd.as_ref()).filter(|_| made) {
            mark_moved(fd.as_fd(), random_generation());
        }
    }
    Err(crowded(&dir.path(&names[0])))
}

/// Opens the file of this name that is there, whatever its parameters, for somebody who looks from outside: as a process
/// would that comes to use it, but that none is made or replaced. `None`: there is no file.
pub(crate) fn attach(dir: &Dir, file: &str) -> Result<Option<Result<Share, Unusable>>, OpenError> {
    sigbus::install();
    note_root();
    let path = dir.path(file);
    if let Some(table) = dir.identify(file).and_then(|id| fork::exclusive(|| registered(id))) {
        return Ok(Some(Ok(Share::new(table))));
    }
    let Some((fd, id)) = dir.open_file(file, close_or_keep)? else { return Ok(None) };
    let header = read_header(fd.as_fd());
    match header.and_then(|header| examine(fd.as_fd(), header).ok_or(Unusable::Damaged)) {
        Ok(ours) => map_table(fd, id, ours, true, path).map(|(table, _)| Some(Ok(Share::new(table)))),
        Err(why) => {
            close_or_keep(id, fd);
            Ok(Some(Err(why)))
        }
    }
}

/// A file that is being replaced.
struct Old {
    id: FileId,
    /// Until it is dropped.
    fd: Option<OwnedFd>,
}

impl Drop for Old {
    fn drop(&mut self) {
        self.fd.take().into_iter().for_each(|fd| close_or_keep(self.id, fd));
    }
}

/// Bytes that are free in a place that is worth being chosen.
const WORTHWHILE: u64 = 4 * MIN_MAX_BYTES;

/// Whether a file that nobody else has yet can be mapped, filled and locked.
pub(crate) fn probe(fd: BorrowedFd<'_>, locks: bool, room: u64) -> Result<(), (&'static str, io::Error)> {
    if room < WORTHWHILE {
        return Err(("create", io::Error::from_raw_os_error(libc::ENOSPC)));
    }
    reserve_file(fd, 0, PAGE).map_err(|e| ("create", e))?;
    Region::can_map(fd).map_err(|e| ("map", e))?;
    if locks {
        crate::process::identity::can_lock(fd).map_err(|e| (LOCK, e))?;
    }
    Ok(())
}

fn map_table(
    fd: OwnedFd,
    id: FileId,
    Ours { header, geo, damaged }: Ours,
    shared: bool,
    path: PathBuf,
) -> Result<(Arc<Table>, PathBuf), OpenError> {
    let strategy = Strategy::from_number(header.strategy)
        .ok_or_else(|| OpenError::io(&path, "understand", io::Error::other("unknown strategy")))?;
    let region = Region::map(fd, geo.data.bytes(), geo.end).map_err(|e| OpenError::io(&path, "map", e))?;
    let table = Table::new(region, geo, header, strategy);
    table.me.opened_at(path.clone());
    if damaged {
        table.heal();
    }
    if !shared {
        return Ok((Arc::new(table), path));
    }
    fork::exclusive(|| {
        if let Some(other) = registered(id).filter(|c| !c.region.truncated()) {
            // Another thread was faster. Our descriptor must not be closed before theirs.
            other.region.keep(table);
            return Ok((other, path));
        }
        let table = Arc::new(table);
        registry(|tables| {
            tables.retain(|c| c.1.strong_count() > 0);
            tables.push((id, Arc::downgrade(&table)));
        });
        Ok((table, path))
    })
}

impl Drop for Table {
    fn drop(&mut self) {
        self.release_identity();
    }
}
