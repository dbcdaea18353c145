//! Files of one size, and the lock that ends with its process.

use crate::file::mapping::fixed::{Content, FixedFile, Shape};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;

const SHAPE: Shape = Shape { words: 512, halves: 1024 };

fn content() -> Content {
    Content { words: (0..512).collect(), halves: (0..1024).collect() }
}

/// As another process has it: nothing is shared but the file.
fn open(dir: &Path) -> FixedFile {
    FixedFile::open(&dir.join("files"), "fixed", SHAPE, content, |head| head[1] == 1).unwrap()
}

#[test]
fn all_who_open_it_share_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    assert_eq!((one.id(), one.is_shared(), one.is_truncated()), (other.id(), true, false));
    assert_eq!((one.word(511).load(Ordering::Relaxed), one.half(1023).load(Ordering::Relaxed)), (511, 1023));
    one.word(3).store(7, Ordering::Relaxed);
    one.half(0).store(8, Ordering::Relaxed);
    assert_eq!((other.word(3).load(Ordering::Relaxed), other.half(0).load(Ordering::Relaxed)), (7, 8));
    // One that is of no use is replaced, and left to who has it.
    one.word(1).store(0, Ordering::Relaxed);
    let new = open(dir.path());
    assert!(new.id() != one.id() && new.word(3).load(Ordering::Relaxed) == 3);
    let private = FixedFile::private(SHAPE, &content()).unwrap();
    assert!(!private.is_shared() && private.half(5).load(Ordering::Relaxed) == 5);
}

#[test]
fn one_process_has_the_lock_and_no_fork_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    let held = one.try_hold().unwrap().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child drops what it has inherited, waits for the pipe's end and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop((writer, held));
        let _ = reader.read(&mut [0]);
        // SAFETY: ends this process, which is the test's.
        unsafe { libc::_exit(0) }
    }
    #[cfg(target_os = "linux")]
    assert!(other.try_hold().unwrap().is_none(), "the child has let go of what is its parent's");
    drop(held);
    let again = other.try_hold().unwrap();
    assert!(again.is_some(), "the child keeps it");
    drop((writer, reader));
    let mut status = 0;
    // SAFETY: waits for the child of this process.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    #[cfg(target_os = "linux")]
    assert!(one.try_hold().unwrap().is_none());
    drop(again);
    assert!(one.try_hold().unwrap().is_some());
}
