//! The place of a cache: rights, links, names, other files in its place, deletion, parameters, small disks.

use super::*;
use std::os::unix::fs::{symlink, DirBuilderExt, PermissionsExt};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn refusal(o: &Options) -> Refusal {
    match SharedCache::open(o) {
        Err(OpenError::Refused { why, .. }) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn private_whatever_the_umask() {
    for umask in [0, 0o777, 0o027] {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 3);
        // SAFETY: the umask is the process's, so a child sets it, which only opens the cache and leaves by _exit.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::umask(umask);
                libc::_exit(i32::from(SharedCache::open(&o).is_err()));
            }
            let mut status = 0;
            assert_eq!((libc::waitpid(pid, &mut status, 0), status), (pid, 0));
        }
        assert_eq!((mode(&o.dir), mode(&o.dir.join("test.cache"))), (0o700, 0o600));
    }
}

#[test]
fn what_is_not_ours_alone_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let file = o.dir.join("test.cache");
    drop(open(&o));
    let fresh = || {
        let _ = std::fs::remove_file(&file);
        let _ = std::fs::remove_dir(&file);
    };
    // Wider rights.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(refusal(&o), Refusal::Mode(0o640));
    assert_eq!(mode(&file), 0o640);
    // A symbolic link, dangling or not.
    for target in ["/nonexistent", "/etc/passwd"] {
        fresh();
        symlink(target, &file).unwrap();
        assert_eq!(refusal(&o), Refusal::Symlink);
        assert_eq!(std::fs::read_link(&file).unwrap().to_str(), Some(target));
    }
    // A second name.
    fresh();
    drop(open(&o));
    std::fs::hard_link(&file, o.dir.join("other")).unwrap();
    assert_eq!(refusal(&o), Refusal::HardLinks(2));
    std::fs::remove_file(o.dir.join("other")).unwrap();
    // A directory, a FIFO.
    fresh();
    std::fs::DirBuilder::new().mode(0o600).create(&file).unwrap();
    assert_eq!(refusal(&o), Refusal::NotAFile);
    fresh();
    let name = std::ffi::CString::new(file.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated name.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(refusal(&o), Refusal::NotAFile);
    fresh();
    // The directory: wider, a link, a file.
    std::fs::set_permissions(&o.dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(refusal(&o), Refusal::Mode(0o755));
    std::fs::set_permissions(&o.dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let link = Options { dir: dir.path().join("link"), ..o.clone() };
    symlink(&o.dir, &link.dir).unwrap();
    assert_eq!(refusal(&link), Refusal::Symlink);
    let plain = Options { dir: dir.path().join("plain"), ..o.clone() };
    std::fs::write(&plain.dir, "x").unwrap();
    assert_eq!(refusal(&plain), Refusal::NotADirectory);
}

#[test]
fn another_users_file_is_refused() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can make another user's file");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let path = open(&o).path().to_owned();
    if let Err(e) = std::os::unix::fs::chown(&path, Some(12345), None) {
        println!("skipped: this root may not give files away ({e})");
        return;
    }
    assert_eq!(refusal(&o), Refusal::Owner(12345));
    std::os::unix::fs::chown(&o.dir, Some(12345), None).unwrap();
    assert_eq!(refusal(&o), Refusal::Owner(12345));
}

#[test]
fn names_stay_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(&dir, Strategy::Lru, 3);
    for bad in ["", ".", "..", "../x", "a/b", "/etc/x", "a\0b", ".hidden", &"x".repeat(MAX_NAME + 1), "ä"] {
        o.name = bad.into();
        assert!(matches!(SharedCache::open(&o), Err(OpenError::InvalidName(_))), "{bad:?}");
        o.name = safe_name(bad);
        open(&o);
    }
    let all: std::collections::HashSet<String> = ["a/b", "a_b", "a:b", "../a", "<lambda>"].map(safe_name).into();
    assert_eq!(all.len(), 5);
}

#[test]
fn other_parameters_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let mut all = vec![o.clone()];
    all.push(Options { max_size: 4, ..o.clone() });
    all.push(Options { strategy: Strategy::Lfu, ..o.clone() });
    all.push(Options { fingerprint: 9, ..o.clone() });
    all.push(Options { max_bytes: Some(5 << 20), ..o.clone() });
    let caches: Vec<_> = all.iter().map(open).collect();
    for (i, cache) in caches.iter().enumerate() {
        cache.set(b"k", &[i as u8], NEVER);
    }
    let mut buf = ReadBuf::new();
    for (i, o) in all.iter().enumerate() {
        open_isolated(o).get(b"k", &mut buf).unwrap();
        assert_eq!(buf.value(), [i as u8]);
    }
    // Another version's file is left alone; garbage is replaced, and whoever maps it keeps what it has.
    let first = caches[0].path().to_owned();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[8] ^= 0x40;
    drop(caches);
    std::fs::write(&first, &bytes).unwrap();
    let second = open(&o).path().to_owned();
    assert_ne!(second, first);
    assert_eq!(std::fs::read(&first).unwrap(), bytes);
    // (A file that is ours is used, whatever stands under the earlier name.)
    std::fs::write(&first, "garbage").unwrap();
    assert_eq!(open(&o).path(), second);
    std::fs::remove_file(&second).unwrap();
    let cache = open(&o);
    assert_eq!(cache.path(), first);
    assert!(cache.is_empty());
}

/// A word of one copy of the header says nothing against the other, while somebody has the file open.
#[test]
fn one_copy_of_the_header_is_enough() {
    use crate::file::layout::{HEADER_AT, HEADER_COPY_AT};
    for (header, word) in
        [HEADER_AT, HEADER_COPY_AT].into_iter().flat_map(|header| (0..13).map(move |word| (header, word)))
    {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 3);
        let cache = open(&o);
        cache.set(b"k", b"v", NEVER);
        let before = std::fs::read(cache.path()).unwrap();
        let region = &cache.table().region;
        region.set(header + 8 * word, region.get(header + 8 * word) ^ 0x40_0000);
        let other = open_isolated(&o);
        let found = other.get(b"k", &mut ReadBuf::new()).is_some();
        assert!(found && other.path() == cache.path(), "{header} {word}");
        other.clear();
        assert_eq!(before[..512], std::fs::read(cache.path()).unwrap()[..512]);
    }
}

#[test]
fn deleted_in_use_begins_a_new_world() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let old = open(&o);
    old.set(b"k", b"old", NEVER);
    std::fs::remove_file(old.path()).unwrap();
    let new = open(&o);
    let mut buf = ReadBuf::new();
    assert!(new.get(b"k", &mut buf).is_none());
    new.set(b"k", b"new", NEVER);
    assert!(old.get(b"k", &mut buf).is_some() && buf.value() == b"old");
    assert!(matches!(old.set(b"l", b"still works", NEVER), Stored::Done(_)));
    assert!(open(&o).get(b"k", &mut buf).is_some() && buf.value() == b"new");
}

#[test]
fn a_reboot_empties_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let cache = open(&o);
    cache.set(b"k", b"v", NEVER);
    let path = cache.path().to_owned();
    drop(cache);
    // Another boot id, with a right checksum.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[24] ^= 1;
    let words: Vec<u64> = bytes[..96].chunks(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap())).collect();
    let sum = crate::hash::checksum(
        crate::file::layout::MAGIC,
        &words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>(),
    );
    bytes[96..104].copy_from_slice(&sum.to_ne_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let cache = open(&o);
    assert!(cache.is_empty() && cache.path() == path);
}

#[cfg(target_os = "linux")]
#[test]
fn two_hundred_caches_and_no_descriptor_left() {
    let dir = tempfile::tempdir().unwrap();
    let caches: Vec<_> =
        (0..200).map(|i| open(&Options { name: format!("c{i}"), ..options(&dir, Strategy::Lru, 10) })).collect();
    caches.iter().for_each(|c| assert!(matches!(c.set(b"k", b"v", NEVER), Stored::Done(_))));
    assert_eq!(descriptors_in(&dir), 200);
    drop(caches);
    assert_eq!(descriptors_in(&dir), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn tiny_file_systems() {
    for megabytes in [1u64, 8, 64] {
        let dir = tempfile::tempdir().unwrap();
        let c = |s: &str| std::ffi::CString::new(s).unwrap();
        let (target, kind, data) = (c(dir.path().to_str().unwrap()), c("tmpfs"), c(&format!("size={megabytes}m")));
        // SAFETY: NUL-terminated strings.
        if unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast()) } != 0 {
            println!("skipped: mounting a tmpfs needs root ({})", std::io::Error::last_os_error());
            return;
        }
        struct Mounted(std::ffi::CString);
        impl Drop for Mounted {
            fn drop(&mut self) {
                // SAFETY: NUL-terminated.
                unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
            }
        }
        let _mounted = Mounted(target);
        let mut buf = ReadBuf::new();
        // max_bytes larger than the disk: growth fails, entries give way.
        let mut o = options(&dir, Strategy::Lru, 0);
        o.max_bytes = Some(256 << 20);
        let cache = open(&o);
        let value = |k: u64| vec![k as u8; (k * 7919 % 60_000) as usize];
        for k in 0..40 * megabytes {
            if let Stored::Done(_) = cache.set(&k.to_le_bytes(), &value(k), NEVER) {
                assert!(cache.get(&k.to_le_bytes(), &mut buf).is_some());
                assert_eq!(buf.value(), value(k));
            }
        }
        assert!(cache.len() > 5 && cache.info().repairs == 0, "{:?}", cache.info());
        // The rest taken by somebody else: a new cache says so, the old one goes on.
        let _ = std::fs::write(dir.path().join("filler"), vec![0; (megabytes as usize) << 20]);
        o.name = "second".into();
        assert!(matches!(SharedCache::open(&o), Err(OpenError::NoSpace { .. })));
        assert!(matches!(cache.set(b"k", b"v", NEVER), Stored::Done(_)));
        // By default, a quarter of what is free.
        std::fs::remove_file(dir.path().join("filler")).unwrap();
        cache.clear();
        o = Options { name: "third".into(), max_bytes: None, ..o };
        if let Ok(cache) = SharedCache::open(&o) {
            assert!(cache.info().max_bytes <= megabytes << 18);
        }
    }
}
