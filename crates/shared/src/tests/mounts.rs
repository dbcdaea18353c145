//! Who lives where the system has other file systems mounted than is usual, or none.

use super::living::{hold, is_dead, is_free};
use super::processes::{process, sleep_as_another_program};
use super::*;
use crate::file::layout::*;
use crate::process::identity::slot_of;
use std::mem::offset_of;

/// Runs a test in a child that may mount what it likes; `None` = it may not.
fn with_mounts(o: &Options, mounts: impl Fn() -> bool, body: impl FnOnce()) -> Option<()> {
    // (The handle of the child's own is made elsewhere and of no use.)
    let mut child = process(o, |_, _| {
        // SAFETY: plain system calls; concerns this process alone.
        let alone = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
        };
        if !alone || !mounts() {
            // SAFETY: leaves at once.
            unsafe { libc::_exit(77) };
        }
        body();
        // SAFETY: leaves at once.
        unsafe { libc::_exit(0) };
    });
    let status = child.status();
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 77 {
        println!("skipped: this system does not let us mount");
        return None;
    }
    assert_eq!(status, 0, "the child has failed");
    Some(())
}

/// A file system that maps another file than the one that was opened: a mapping holds no lock there.
#[test]
fn a_file_system_that_maps_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display().to_string();
    let mounts = || {
        ["lower", "upper", "work", "merged"].iter().for_each(|n| std::fs::create_dir_all(dir.path().join(n)).unwrap());
        // The layers lie on a file system of their own: not each one can be a layer.
        let [layers, target] = [place.clone(), format!("{place}/merged")].map(|p| std::ffi::CString::new(p).unwrap());
        let given = format!("lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work");
        let given = std::ffi::CString::new(given).unwrap();
        // SAFETY: NUL-terminated strings that outlive the calls.
        unsafe {
            let tmpfs = c"tmpfs".as_ptr();
            libc::mount(tmpfs, layers.as_ptr(), tmpfs, 0, std::ptr::null()) == 0
                && ["lower", "upper", "work", "merged"]
                    .iter()
                    .all(|name| std::fs::create_dir_all(format!("{place}/{name}")).is_ok())
                && libc::mount(c"overlay".as_ptr(), target.as_ptr(), c"overlay".as_ptr(), 0, given.as_ptr().cast()) == 0
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    with_mounts(&options(&elsewhere, Strategy::Lru, 10), mounts, || {
        let o = Options { dir: dir.path().join("merged/caches"), ..options(&elsewhere, Strategy::Lru, 10) };
        let child = process(&o, hold);
        let other = open_isolated(&o);
        assert!(!other.table().is_dead(child.word()) && !is_free(&other));
        child.kill();
        assert!(is_free(&other));
        let child = process(&o, |cache, say| {
            hold(cache, say);
            sleep_as_another_program();
        });
        let identity = child.word();
        child.wait_for_its_end();
        assert!(is_dead(&other, identity, false) && is_free(&other));
    });
}

/// Without /proc a file is opened anew by its name, and without its name the process's own locks do.
#[test]
fn without_proc_and_without_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let gone = || {
        // SAFETY: a NUL-terminated string.
        unsafe {
            libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) == 0 && !std::path::Path::new("/proc/self").exists()
        }
    };
    with_mounts(&o, gone, || {
        for (is_renamed, witness) in [(false, 0), (true, 1)] {
            let cache = open_isolated(&o);
            if is_renamed {
                std::fs::rename(cache.path(), cache.path().with_extension("old")).unwrap();
            }
            assert!(matches!(cache.set(b"s", b"1", NEVER), Stored::Done(_)));
            let line = proc_at(slot_of(cache.table().identity()));
            assert_eq!(cache.table().region.get(line + offset_of!(Proc, witness) as u64), witness);
        }
    });
}
