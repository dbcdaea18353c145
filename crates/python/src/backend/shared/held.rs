//! What the decoded level holds, by the slots of the file, so that it lets go of what the file no longer has.
//!
//! Ring 3. Whoever puts a decoded value into the level notes it here: its slot, a part of the slot's word, the hash of its
//! key. At each look into the file and at each store the file is asked which slots have changed since the last time
//! (`SharedCache::changes_since`), and those that are noted and no longer what they were are handed out, to be taken out of
//! the level and dropped with no lock held. So it costs a few instructions for each change in the file, whoever made it;
//! only after more changes than the file tells, all that is held is compared, one after the other. A clear, and another
//! file in the place of one that was cut short, end all that is held at once. What has a deadline stands in a heap.
//!
//! So after each look and each store the level holds only what the file held at that moment, whose bytes are within
//! `max_bytes`. A hit of this level is neither and is not slowed down; but where entries expire, one hit in a quarter of a
//! second is told to take the long way (`SharedCache::wake_at`) and does as a look does; so, too, as long as single entries
//! have a lifetime that their cache has not.
//!
//! What is noted is shared as a leaf (`capi::sharing`): attached threads have it for a bounded time, and nothing in that calls
//! into Python. So no thread detaches with it, and no fork's child finds it locked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Shared;
use pyo3::prelude::*;

use crate::backend::shared::file::File;
use crate::capi::sharing::{Brief, Leaf};
use crate::function::state::CacheState;
use engine::cache::{Cause, Evicted};
use shared::{Hit, NEVER};

/// A decoded value that was put into the level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub file: *const File,
    pub hit: Hit,
    /// Of its key; the level goes by the lower half.
    pub hash: u64,
}

/// What is known of a slot, in one word: the hash and the version. 0 for nothing.
type Mark = u64;

fn mark(hash: u64, version: u32) -> Mark {
    hash << 32 | u64::from(version)
}

const fn version_of(mark: Mark) -> u32 {
    mark as u32
}

/// What is to be taken out of the level.
pub(crate) struct Gone {
    slot: u64,
    mark: Mark,
}

/// All of that: as a rule one, the place of which a miss has taken, so nothing is allocated for it.
#[derive(Default)]
struct AllGone {
    first: Option<Gone>,
    others: Vec<Gone>,
}

impl AllGone {
    fn push(&mut self, gone: Gone) {
        if self.first.is_none() {
            self.first = Some(gone);
        } else {
            self.others.push(gone);
        }
    }
}

/// Slots on one page.
const PAGE: usize = 512;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Held(Leaf<Notes>);

#[derive(Default)]
struct Notes {
    /// The address of the file that all of this is about.
    file: usize,
    generation: u64,
    /// The number of changes up to which all are known.
    seen: u64,
    pages: Vec<Option<Box<[Mark; PAGE]>>>,
    count: usize,
    /// Deadline, slot, version.
    due: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// Whether hits have been told to take the long way at some time.
    wakes: bool,
}

// SAFETY: see the module's documentation.
unsafe impl Brief for Notes {}

/// Between two looks that hits of entries with a deadline take, in nanoseconds.
const CHECK_EVERY: u64 = 250_000_000;

impl Notes {
    fn get(&self, slot: u64) -> Mark {
        let (page, at) = (slot as usize / PAGE, slot as usize % PAGE);
        self.pages.get(page).and_then(Option::as_ref).map_or(0, |page| page[at])
    }

    /// Notes a mark; gives the one before it.
    fn set(&mut self, slot: u64, mark: Mark) -> Mark {
        let (page, at) = (slot as usize / PAGE, slot as usize % PAGE);
        if self.pages.len() <= page {
            if mark == 0 {
                return 0;
            }
            self.pages.resize_with(page + 1, || None);
        }
        let place = &mut self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[at];
        let before = std::mem::replace(place, mark);
        self.count = self.count + usize::from(mark != 0) - usize::from(before != 0);
        before
    }

    fn let_go(&mut self, slot: u64, gone: &mut AllGone) {
        let mark = self.set(slot, 0);
        if mark != 0 {
            gone.push(Gone { slot, mark });
        }
    }

    fn let_all_go(&mut self, gone: &mut AllGone) {
        for (number, page) in std::mem::take(&mut self.pages).into_iter().enumerate() {
            for (at, mark) in page.iter().flat_map(|page| page.iter().enumerate()).filter(|(_, mark)| **mark != 0) {
                gone.push(Gone { slot: (number * PAGE + at) as u64, mark: *mark });
            }
        }
        self.due.clear();
        self.count = 0;
    }

    /// Brings this up to what the file has now.
    fn follow(&mut self, file: &File, gone: &mut AllGone) {
        let shm = &file.shm;
        // Before anything that is compared: what changes later is seen the next time.
        let (generation, now) = (shm.generation(), shm.changes());
        let address = std::ptr::from_ref(file) as usize;
        if self.file != address || self.generation != generation {
            self.let_all_go(gone);
            (self.file, self.generation, self.seen) = (address, generation, now);
            return;
        }
        if self.seen == now {
            return;
        }
        let seen = std::mem::replace(&mut self.seen, now);
        if self.count == 0 {
            return;
        }
        let all = shm.changes_since(seen, now, |slot| {
            let mark = self.get(slot);
            if mark != 0 && shm.version(slot) != version_of(mark) {
                self.let_go(slot, gone);
            }
        });
        if !all {
            let changed = |&slot: &u64| {
                let mark = self.get(slot);
                mark != 0 && shm.version(slot) != version_of(mark)
            };
            let changed: Vec<u64> = (0..(self.pages.len() * PAGE) as u64).filter(changed).collect();
            changed.into_iter().for_each(|slot| self.let_go(slot, gone));
        }
    }

    fn note(&mut self, new: &Note, gone: &mut AllGone) {
        let (slot, version) = (new.hit.slot, new.hit.version());
        let mark = mark(new.hash, version);
        if self.file != new.file as usize || self.generation != new.hit.generation {
            // Of another time: nothing will be heard of it any more.
            gone.push(Gone { slot, mark });
            return;
        }
        let before = self.set(slot, mark);
        if before != 0 && before != mark {
            gone.push(Gone { slot, mark: before });
        }
        if new.hit.end != NEVER && before != mark {
            self.due.push(Reverse((new.hit.end, slot, version)));
        }
    }

    /// Lets go what has expired, and says when there will be more.
    fn expire(&mut self, now: u64, gone: &mut AllGone) -> u64 {
        while let Some(&Reverse((deadline, slot, version))) = self.due.peek() {
            if deadline > now {
                break;
            }
            self.due.pop();
            if version_of(self.get(slot)) == version {
                self.let_go(slot, gone);
            }
        }
        if self.due.len() > 2 * self.count + 64 {
            // Most of them have gone before their time.
            let due = std::mem::take(&mut self.due).into_vec();
            let is_held =
                |&Reverse((_, slot, version)): &Reverse<(u64, u64, u32)>| version_of(self.get(slot)) == version;
            self.due = due.into_iter().filter(is_held).collect();
        }
        self.due.peek().map_or(NEVER, |&Reverse((deadline, ..))| deadline)
    }
}

impl Held {
    /// Notes what was put into the level since; gives what is to be taken out of it. `expires`: all entries have a lifetime.
    fn follow(&self, file: &File, new: Option<&Note>, expires: bool) -> AllGone {
        let mut gone = AllGone::default();
        self.0.with(|notes| {
            notes.follow(file, &mut gone);
            if let Some(new) = new {
                notes.note(new, &mut gone);
                // It may have changed between its look and its note, and another thread may have seen that change already.
                if file.shm.version(new.hit.slot) != new.hit.version() {
                    notes.let_go(new.hit.slot, &mut gone);
                }
            }
            if expires || !notes.due.is_empty() {
                let now = file.shm.now();
                let next = notes.expire(now, &mut gone);
                file.shm.wake_at(next.min(now.saturating_add(CHECK_EVERY)));
                notes.wakes = true;
            } else if std::mem::take(&mut notes.wakes) {
                // Single entries had lifetimes of their own, and all of them have gone.
                file.shm.wake_at(0);
            }
        });
        gone
    }

    /// The level was emptied.
    pub fn forget(&self) {
        self.0.with(|notes| notes.let_all_go(&mut AllGone::default()));
    }
}

impl CacheState {
    /// Takes out of the decoded level what the file no longer has. `new`: what was put into it.
    pub(crate) fn let_go(&self, _: Python<'_>, shared: &Shared, new: Option<&Note>) {
        const AT_ONCE: usize = 1024;
        let Some(file) = shared.files.current() else {
            return;
        };
        let gone = shared.held.follow(file, new, shared.ttl.is_some());
        if gone.first.is_none() {
            return;
        }
        for some in gone.first.as_slice().chunks(1).chain(gone.others.chunks(AT_ONCE)) {
            let mut evicted = Evicted::default();
            self.entries.write(|writer| {
                for Gone { slot, mark } in some {
                    // More than one only where keys that are not equal have the same bytes.
                    while let Some((token, ..)) = writer.value.candidates(mark >> 32).find(|(_, _, entry)| {
                        entry.value.as_decoded().is_some_and(|decoded| decoded.is_from(*slot, version_of(*mark)))
                    }) {
                        writer.value.remove(token, Cause::Explicit, &mut evicted);
                    }
                }
            });
            drop(evicted);
        }
    }

    /// `let_go`, where hits have been told to take the long way for it.
    #[inline(always)]
    pub(crate) fn let_go_if_due(&self, py: Python<'_>, shared: &Shared) {
        if shared.files.current().is_some_and(|file| file.shm.wakes()) {
            self.let_go(py, shared, None);
        }
    }
}
