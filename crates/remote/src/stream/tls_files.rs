//! Whether the files that an address names for TLS are still those that were read.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::url::Tls;

/// What one file looks like from outside: device, inode, size, and when it was written and changed.
type Look = (u64, u64, u64, (i64, i64), (i64, i64));

/// What all of them look like; a file that is not there looks like none.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Looks {
    files: [Option<Look>; 3],
    /// Of a directory: each file in it, in the order of names.
    directory: Vec<(OsString, Option<Look>)>,
}

fn look(metadata: &Metadata) -> Look {
    let written = (metadata.mtime(), metadata.mtime_nsec());
    (metadata.dev(), metadata.ino(), metadata.size(), written, (metadata.ctime(), metadata.ctime_nsec()))
}

fn look_at(path: &Path) -> Option<Look> {
    // (A link is followed: what it leads to is what is read.)
    fs::metadata(path).ok().as_ref().map(look)
}

impl Looks {
    /// To be taken before the files are read: one that changes meanwhile is read again.
    pub(super) fn of(tls: &Tls) -> Looks {
        let files = [&tls.ca_file, &tls.certificate, &tls.key].map(|path| path.as_deref().and_then(look_at));
        let entries = tls.ca_directory.as_ref().and_then(|directory| fs::read_dir(directory).ok());
        let mut directory: Vec<_> =
            entries.into_iter().flatten().flatten().map(|entry| (entry.file_name(), look_at(&entry.path()))).collect();
        directory.sort();
        Looks { files, directory }
    }
}
