//! Files of one size, and the lock that ends with its process.

#[cfg(target_os = "linux")]
use crate::file::mapping::fixed::HEAD;
use crate::file::mapping::fixed::{Content, FixedFile, Shape};
use std::io::Read;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt;
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

/// Those of the folder that nobody has open.
#[cfg(target_os = "linux")]
fn unused(dir: &Path, remove: bool) -> usize {
    let is_one = |head: &[u64; HEAD]| head[1] == 1;
    FixedFile::remove_unused(&dir.join("files"), |name| name.ends_with("fixed"), is_one, remove).unwrap().len()
}

#[test]
#[cfg(target_os = "linux")]
fn only_what_nobody_has_open_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    assert_eq!(unused(dir.path(), true), 0);
    drop(one);
    assert_eq!(unused(dir.path(), true), 0, "one of two has it open");
    // One who was killed before it shared the lock, and one of whom nothing but the listener's is known.
    let held = other.try_hold().unwrap();
    drop(other);
    assert_eq!(unused(dir.path(), true), 0, "somebody listens");
    drop(held);
    let path = dir.path().join("files").join("fixed");
    assert_eq!((unused(dir.path(), false), path.exists()), (1, true));
    std::fs::write(path.with_file_name("no-fixed"), [0; 4096]).unwrap();
    std::fs::write(path.with_file_name("short-fixed"), []).unwrap();
    for name in ["no-fixed", "short-fixed"] {
        std::fs::set_permissions(path.with_file_name(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::os::unix::fs::symlink(&path, path.with_file_name("link-fixed")).unwrap();
    assert_eq!((unused(dir.path(), true), path.exists()), (1, false));
    assert_eq!(std::fs::read_dir(dir.path().join("files")).unwrap().count(), 3, "what is no such file stays");
}

#[test]
#[cfg(target_os = "linux")]
fn who_opens_it_as_it_is_removed_has_one_with_a_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| (0..300).map(|_| unused(dir.path(), true)).sum::<usize>());
        while !remover.is_finished() {
            let file = open(dir.path());
            // (It is in use by now, so its name stays.)
            assert_eq!(FixedFile::identify(&dir.path().join("files"), "fixed"), file.id());
        }
        remover.join().unwrap();
    });
}
