//! The computations under way that can be fenced by more than what takes their slot out of the index: by a tag, or in a shared
//! file by another process.
//!
//! Ring 3. There are as many as threads compute at a time. An invalidation of a tag takes the slots of its computations out
//! of the index (`with_any`). What another process does is seen by who finds such a slot (`any_in_file`), and does the same
//! before it waits. A slot that was taken over has what was noted of the one before, too: its waiters may be given what
//! that one computes.

use std::sync::Arc;

use super::control::Tags;
use super::single_flight::Reserved;
use crate::backend::{Covered, Flying};
use crate::capi::sharing::{Brief, Leaf};

/// How the fences of a shared file stood before a computation, or its look for the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFile {
    /// The address of the file.
    pub file: usize,
    /// Of the key, in the file.
    pub hash: u64,
    pub began: shared::Began,
    pub tags: shared::Tags,
}

#[derive(Clone, Debug)]
struct Record {
    /// Of whoever noted it: the slot may be another computation's before that is ended.
    note: u64,
    reserved: Reserved,
    tags: Tags,
    fences: Option<Beyond>,
}

/// The fences that are not of this process.
#[derive(Clone, Debug)]
pub(crate) enum Beyond {
    InFile(InFile),
    OnServer(Arc<Flying>),
    /// While the server does not answer: of what any process of the host changes there.
    OnHost(Arc<Covered>),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Running(Leaf<Records>);

#[derive(Default)]
struct Records {
    all: Vec<Record>,
    /// The notes made so far.
    notes: u64,
}

// SAFETY: who computes, waits or invalidates is attached, and nothing that is done here calls into Python.
unsafe impl Brief for Records {}

/// The number of a note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoteId(u64);

/// A note; it ends when this is dropped.
pub(crate) struct Noted<'a>(&'a Running, Option<NoteId>);

impl Records {
    fn next(&mut self) -> u64 {
        self.notes += 1;
        self.notes
    }

    fn of(&self, reserved: Reserved) -> impl Iterator<Item = &Record> {
        self.all.iter().filter(move |record| record.reserved == reserved)
    }
}

impl Running {
    /// Notes a computation that begins. What is given to those who wait for it must have been found after that.
    pub fn note(&self, reserved: Option<Reserved>, tags: &[String], fences: Option<Beyond>) -> Noted<'_> {
        let reserved = reserved.filter(|_| !tags.is_empty() || fences.is_some());
        let note = reserved.map(|reserved| {
            let tags = tags.to_vec();
            self.0.with(|records| {
                let note = records.next();
                records.all.push(Record { note, reserved, tags, fences });
                NoteId(note)
            })
        });
        Noted(self, note)
    }

    /// Notes of a slot what is noted of another one, whose computation has the same waiters. To be ended by
    /// [`ends`](Self::ends).
    pub fn inherit(&self, from: Reserved, to: Reserved) -> NoteId {
        self.0.with(|records| {
            let note = records.next();
            let of_both: Vec<_> = records.of(from).cloned().collect();
            records.all.extend(of_both.into_iter().map(|record| Record { note, reserved: to, ..record }));
            NoteId(note)
        })
    }

    /// Whose drop ends a note.
    pub fn ends(&self, note: Option<NoteId>) -> Noted<'_> {
        Noted(self, note)
    }

    /// The slots of the computations that have one of the tags.
    pub fn with_any(&self, tags: &[String]) -> Vec<Reserved> {
        let concerned = |record: &&Record| record.tags.iter().any(|tag| tags.contains(tag));
        self.0.with(|records| records.all.iter().filter(concerned).map(|record| record.reserved).collect())
    }

    /// Whether this holds of a computation in that slot.
    pub fn any_in_file(&self, reserved: Reserved, holds: impl Fn(&InFile) -> bool) -> bool {
        let is_one = |record: &Record| matches!(&record.fences, Some(Beyond::InFile(in_file)) if holds(in_file));
        self.0.with(|records| records.of(reserved).any(is_one))
    }

    /// Whether something was changed on this host since a computation in that slot began without the server.
    pub fn is_void_on_host(&self, reserved: Reserved) -> bool {
        let is_one = |record: &Record| matches!(&record.fences, Some(Beyond::OnHost(covered)) if !covered.holds());
        self.0.with(|records| records.of(reserved).any(is_one))
    }

    /// What is known of the computations in that slot at a server.
    pub fn on_server(&self, reserved: Reserved) -> Vec<Arc<Flying>> {
        let flying = |record: &Record| match &record.fences {
            Some(Beyond::OnServer(flying)) => Some(Arc::clone(flying)),
            _ => None,
        };
        self.0.with(|records| records.of(reserved).filter_map(flying).collect())
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(NoteId(note)) = self.1 {
            self.0 .0.with(|records| match &records.all[..] {
                // As a rule one thread computes, and one computation has one record.
                [only] if only.note == note => records.all.clear(),
                _ => records.all.retain(|record| record.note != note),
            });
        }
    }
}
