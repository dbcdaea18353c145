//! Whether a file that this process has open still is the one that its path names.
//!
//! Somebody may remove, rename or replace a file while processes have it open, and whoever comes then makes or finds another
//! one under its name. Nothing tells those who have the old one, so they look: the backend at misses, stores and clears,
//! once a second at most, and always at a clear. Who finds a file that has no name any more says so in it (`Control::moved`)
//! and voids what it holds, so that the others who have it open look at their next call.

use crate::file::header::random_generation;
use crate::file::layout::ctl;
use crate::table::Table;
use core::sync::atomic::Ordering;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// What a path names, with what it starts from: a process that has another root since cannot tell.
type Named = Option<(u64, u64)>;

fn root() -> Named {
    std::fs::symlink_metadata("/").ok().map(|root| (root.dev(), root.ino()))
}

/// The root of the paths of this process's tables.
static ROOT: OnceLock<Named> = OnceLock::new();

/// Notes where paths begin, when the first file is opened.
pub(crate) fn note_root() {
    ROOT.get_or_init(root);
}

fn has_its_root() -> bool {
    ROOT.get().is_some_and(|before| *before == root())
}

/// Which file a path names, if any.
fn what_names(path: &Path) -> std::io::Result<Named> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a path names another file than this one, or none. What cannot be known is no reason to leave the file.
pub(crate) fn is_elsewhere(path: &Path, file: Named) -> bool {
    what_names(path).is_ok_and(|named| named != file) && has_its_root()
}

impl Table {
    /// Whether the path names another file, or none. What cannot be known is no reason to leave the file.
    pub(crate) fn is_astray(&self, path: &Path) -> bool {
        let seen = self.region.get(ctl!(moved));
        match what_names(path) {
            Err(_) => false,
            Ok(named) if named == self.region.file() => {
                if seen != 0 {
                    // Damage, or it has its name again. Not if somebody says so once more meanwhile.
                    let _ = self.region.cas(ctl!(moved), seen, 0, Ordering::Relaxed);
                }
                false
            }
            Ok(_) => has_its_root(),
        }
    }

    /// This process leaves the file. Where it has no name any more, nothing that it holds is found again, and everybody who
    /// has it open is told to look.
    pub(crate) fn forsake(&self) {
        if self.region.has_no_name() {
            self.region.set(ctl!(moved), crate::process::clock::boot_now() | 1);
            // Release: pairs with the acquire in `generation`. Who finds all void looks why.
            self.region.store(ctl!(generation), random_generation(), Ordering::Release);
        }
        self.region.give_up();
    }
}
