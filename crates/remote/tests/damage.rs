//! Damage to the coherence file of processes that use it, with real servers.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use remote::coherence::Coherence;
use support::host::{attended, with_readers, History, Reader, KEYS};
use support::member::Member;
use support::{late, open, until, with_each_server};

const SHORT: Duration = Duration::from_millis(400);

/// A process of a host, which listens until its parent ends it.
#[test]
fn member() {
    let (Ok(dir), Ok(url)) = (std::env::var("WARP_MEMBER_DIR"), std::env::var("WARP_MEMBER_URL")) else { return };
    let _host = attended(Some(Path::new(&dir)), &url, SHORT);
    println!("\nlistening");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// The file of a directory, if there is one.
fn file(dir: &Path) -> Option<std::path::PathBuf> {
    fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some())
}

/// Whether a process has the file that is in a directory mapped.
fn has_mapped(process: u64, dir: &Path) -> bool {
    let inode = file(dir).and_then(|file| fs::metadata(file).ok()).map(|found| found.ino().to_string());
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    inode.is_some_and(|inode| maps.lines().any(|line| line.split_whitespace().nth(4) == Some(&inode)))
}

fn is_listened_to(host: &Coherence) -> bool {
    host.is_shared() && !host.words().is_lost() && host.words().record().beat.is_some()
}

#[test]
fn processes_go_over_to_another_file_and_nothing_is_older_than_the_bound() {
    let damage: [fn(&Path); 7] = [
        |file| File::options().write(true).open(file).unwrap().set_len(0).unwrap(),
        |file| File::options().write(true).open(file).unwrap().set_len(4096).unwrap(),
        |file| fs::write(file, vec![0; fs::metadata(file).unwrap().len() as usize]).unwrap(),
        |file| fs::write(file, vec![0xa5; fs::metadata(file).unwrap().len() as usize]).unwrap(),
        |file| fs::remove_file(file).unwrap(),
        |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
            std::thread::sleep(SHORT);
            fs::remove_dir(file).unwrap();
        },
        |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
    ];
    with_each_server(&[], |server| {
        let whole = tempfile::tempdir().unwrap();
        let dir = whole.path().join("files");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        let member = Member::start(&dir, &server.url(), SHORT);
        let host = attended(Some(&dir), &server.url(), SHORT);
        let (history, mut writer) = (History::default(), open(&server.url(), late()).unwrap());
        let bound = SHORT.as_nanos() as u64;
        let readers = (0..2).map(|_| Reader::new(&host, &server.url(), bound)).collect();
        let seen = with_readers(readers, &history, |_| {
            let mut write = || (0..KEYS).for_each(|i| history.write(&mut writer, i));
            for damage in damage {
                until("somebody listens", || is_listened_to(&host) && file(&dir).is_some());
                let before = host.words().epoch();
                damage(&file(&dir).unwrap());
                until("both have one file", || {
                    write();
                    let us = u64::from(std::process::id());
                    has_mapped(us, &dir) && has_mapped(member.pid(), &dir) && host.words().epoch() != before
                });
                until("somebody listens again", || {
                    write();
                    is_listened_to(&host)
                });
            }
        });
        assert!(seen.lateness.into_inner() < bound);
    });
}
