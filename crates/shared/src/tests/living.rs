//! Who lives: real processes that end, stop, fork and become other programs with a lease and the writers' lock in their
//! hands, in both ways of holding an identity.

use super::processes::{process, sleep_as_another_program, stay, Process};
use super::*;
use crate::file::layout::*;
use crate::process::identity::{slot_of, Identity};
use crate::process::lock::CLEAR_TIMEOUT;
use crate::testing::{Refused, LOCKS};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(100);

/// Takes the lease of `k` and the writers' lock, for good, and says by whom.
pub(super) fn hold(cache: &SharedCache, say: &dyn Fn(u64)) {
    let Acquired::Leader(_) = cache.acquire(b"k", LONG, false) else { panic!("no lease to be had") };
    std::mem::forget(cache.table().lock(CLEAR_TIMEOUT).unwrap());
    say(cache.table().identity());
}

/// Whether an owner counts as dead, at once or, if it is to, in a moment: a program that is replaced closes its pipe some
/// steps before it lets go of its memory.
pub(super) fn is_dead(cache: &SharedCache, identity: Identity, lives: bool) -> bool {
    let since = Instant::now();
    while !lives && since.elapsed() < Duration::from_secs(5) && !cache.table().is_dead(identity) {
        std::thread::sleep(Duration::from_millis(1));
    }
    cache.table().is_dead(identity)
}

/// Whether others find the lease of `k` and the writers' lock free.
pub(super) fn is_free(cache: &SharedCache) -> bool {
    let since = Instant::now();
    let stored = computed(cache, b"s", b"1");
    let asked = cache.acquire(b"k", LONG, false);
    assert!(since.elapsed() < Duration::from_secs(5));
    match (stored, asked) {
        (Stored::Done(_), Acquired::Leader(lease)) => {
            cache.abandon(lease);
            true
        }
        (Stored::Busy, Acquired::Follower(_)) => false,
        other => panic!("{other:?}"),
    }
}

/// What becomes of a process that has a lease and the writers' lock: `(what, then, does it live?)`.
type Fate = (&'static str, fn(&SharedCache, &dyn Fn(u64)), fn(&Process), bool);

fn nothing(_: &SharedCache, _: &dyn Fn(u64)) {}

fn close_all(_: &SharedCache, say: &dyn Fn(u64)) {
    // The pipe's end is told by its being free of other uses: say first.
    say(1);
    // SAFETY: what daemons do; the descriptors' owners are not used after.
    (3..1024).for_each(|fd| ignore(unsafe { libc::close(fd) }));
}

fn fork_and_be_killed(_: &SharedCache, say: &dyn Fn(u64)) {
    // SAFETY: the child only waits.
    if unsafe { libc::fork() } == 0 {
        stay();
    }
    say(1);
}

fn spawn_and_be_killed(_: &SharedCache, say: &dyn Fn(u64)) {
    #[allow(clippy::zombie_processes)] // nobody lives to wait for it
    std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    say(1);
}

const FATES: &[Fate] = &[
    ("lives", nothing, |_| (), true),
    ("is stopped", nothing, |p| p.signal(libc::SIGSTOP), true),
    ("has lost all descriptors", close_all, |p| ignore(p.word()), true),
    ("is killed, unreaped", nothing, Process::kill, false),
    (
        "is killed while stopped",
        nothing,
        |p| {
            p.signal(libc::SIGSTOP);
            p.kill();
        },
        false,
    ),
    (
        "lost all descriptors and is killed",
        close_all,
        |p| {
            p.word();
            p.kill();
        },
        false,
    ),
    (
        "left a fork behind",
        fork_and_be_killed,
        |p| {
            p.word();
            p.kill();
        },
        false,
    ),
    (
        "left a spawned program behind",
        spawn_and_be_killed,
        |p| {
            p.word();
            p.kill();
        },
        false,
    ),
    ("is another program", |_, _| sleep_as_another_program(), Process::wait_for_its_end, false),
    (
        "is another program, by another thread",
        |_, _| {
            std::thread::spawn(sleep_as_another_program);
            stay()
        },
        Process::wait_for_its_end,
        false,
    ),
    (
        "could not become another program",
        |_, say| {
            // SAFETY: as in `replace_program`.
            unsafe { libc::execv(c"/no/such/program".as_ptr(), [std::ptr::null()].as_ptr()) };
            say(1);
        },
        |p| ignore(p.word()),
        true,
    ),
    (
        "its first thread has ended",
        |_, say| {
            let main = std::thread::spawn(stay);
            say(1);
            // SAFETY: ends this thread alone; nothing of it is used any more.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
            drop(main);
        },
        |p| ignore(p.word()),
        true,
    ),
];

fn meet_each_fate(refused: Option<Refused>) {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    for (what, body, then, lives) in FATES {
        LOCKS.set(refused);
        let child = process(&o, |cache, say| {
            hold(cache, say);
            body(cache, say);
        });
        LOCKS.set(None);
        let other = open_isolated(&o);
        let identity = child.word();
        then(&child);
        assert_eq!(is_dead(&other, identity, *lives), !*lives, "{what}");
        assert_eq!(is_free(&other), !lives, "{what}");
        drop(child);
        assert!(is_free(&other), "{what}, then killed");
        assert!(slot_of(identity) < 4, "lines of the dead are used again");
    }
}

#[test]
fn who_holds_a_lease_and_the_writers_lock_and_lives() {
    meet_each_fate(None);
}

/// Where the system has no locks of open file descriptions.
#[test]
fn the_same_by_locks_of_the_processes_own() {
    meet_each_fate(Some(Refused::OfDescriptions(libc::EINVAL)));
}

/// Threads fork all the time, in a process that claims one identity after the other: no child holds any of them.
#[test]
fn forks_while_identities_are_claimed() {
    const CLAIMS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let child = process(&o, |_, say| {
        let done = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(move || {
                    for _ in 0..400 {
                        if done.load(std::sync::atomic::Ordering::Relaxed) {
                            break;
                        }
                        // SAFETY: the child only waits.
                        if unsafe { libc::fork() } == 0 {
                            stay();
                        }
                    }
                });
            }
            for _ in 0..CLAIMS {
                let cache = open_isolated(&o);
                say(cache.table().identity());
                std::mem::forget(cache);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        say(0);
    });
    let identities: Vec<Identity> = (0..CLAIMS).map(|_| child.word()).collect();
    assert_eq!(child.word(), 0);
    let other = open_isolated(&o);
    assert!(identities.iter().all(|identity| *identity != 0 && !other.table().is_dead(*identity)));
    child.kill();
    let held = identities.iter().filter(|identity| !other.table().is_dead(**identity)).count();
    assert_eq!(held, 0, "children hold what their parent had");
}

/// Three hundred lives of one process, each of which ends by becoming the next.
#[test]
fn a_program_that_becomes_itself() {
    const LIVES: u64 = 300;
    if let Ok(life) = std::env::var("WARP_LIFE") {
        let (dir, life) = life.split_once(' ').unwrap();
        let life: u64 = life.parse().unwrap();
        let cache =
            open_isolated(&Options { dir: dir.into(), ..options(&tempfile::tempdir().unwrap(), Strategy::Lru, 10) });
        let stored = cache.set(b"k", &life.to_le_bytes(), NEVER);
        cache.count(0, Event::Hit);
        if !matches!(stored, Stored::Done(_)) || life == LIVES {
            std::process::exit(if life == LIVES { 42 } else { 1 });
        }
        std::env::set_var("WARP_LIFE", format!("{dir} {}", life + 1));
        use std::os::unix::process::CommandExt;
        panic!("{}", std::process::Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec());
    }
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["tests::living::a_program_that_becomes_itself", "--exact", "--nocapture"])
        .env("WARP_LIFE", format!("{} 1", o.dir.display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
    let cache = open_isolated(&o);
    let mut buf = ReadBuf::new();
    cache.get(b"k", &mut buf).unwrap();
    assert_eq!((buf.value(), cache.info().hits), (&LIVES.to_le_bytes()[..], LIVES), "and their counts are kept");
    assert!(cache.table().region.get(ctl!(procs_high)) <= 3);
}

#[test]
fn no_descriptor_is_free_when_a_child_claims() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let child = process(&o, |cache, say| {
        let mut now: libc::rlimit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls are given a valid rlimit.
        unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut now);
            now.rlim_cur = 1;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &now), 0);
        }
        assert!(std::fs::File::open("/dev/null").is_err());
        let stored = cache.set(b"s", b"1", NEVER);
        assert!(matches!(stored, Stored::Done(_)) && cache.hindrance().is_none());
        hold(cache, say);
    });
    let other = open_isolated(&o);
    let identity = child.word();
    assert!(!other.table().is_dead(identity) && !is_free(&other));
    child.kill();
    assert!(is_free(&other));
}

/// A server that opens its caches as root and gives its rights up: its file is one that it could not open again.
#[test]
fn a_child_that_gives_up_its_rights() {
    // SAFETY: asks.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root has rights to give up");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let child = process(&o, |cache, say| {
        // SAFETY: plain system calls; concern this process alone.
        let done = unsafe { libc::setgid(65_534) == 0 && libc::setuid(65_534) == 0 };
        assert!(done && std::fs::File::open(cache.path()).is_err());
        assert!(matches!(cache.set(b"s", b"1", NEVER), Stored::Done(_)));
        hold(cache, say);
    });
    let other = open_isolated(&o);
    assert!(!other.table().is_dead(child.word()) && !is_free(&other));
    child.kill();
    assert!(is_free(&other));
}

#[test]
fn without_any_locks_there_is_a_reason_and_no_wait() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    for error in [libc::ENOLCK, libc::EINVAL, libc::ENOSYS, libc::EPERM] {
        open_isolated(&o).set(b"there", b"1", NEVER);
        LOCKS.set(Some(Refused::All(error)));
        let (cache, since) = (open_isolated(&o), Instant::now());
        assert_eq!(computed(&cache, b"k", b"1"), Stored::Busy);
        assert!(matches!(cache.acquire(b"k", LONG, false), Acquired::Alone));
        assert!(cache.get(b"there", &mut ReadBuf::new()).is_some());
        // Both need the lock, and void all without it.
        assert_eq!(cache.invalidate(b"there"), Ok(true));
        assert!(cache.get(b"there", &mut ReadBuf::new()).is_none());
        assert_eq!(cache.set(b"k", b"1", NEVER), Stored::Busy);
        assert_eq!(cache.hindrance(), Some(Hindrance::Locks(error)));
        assert!(cache.hindrance().unwrap().to_string().contains("WARP_CACHE_DIR"));
        assert!(since.elapsed() < Duration::from_secs(5));
        LOCKS.set(None);
        if error == libc::ENOLCK {
            std::thread::sleep(Duration::from_millis(1100));
            assert!(matches!(cache.set(b"k", b"1", NEVER), Stored::Done(_)), "it is tried again");
            assert_eq!(cache.hindrance(), None);
        }
    }
}

/// Handles of one file in one process do not stand in each other's way, whichever of them goes first.
#[test]
fn handles_of_one_file_in_one_process() {
    for refused in [None, Some(Refused::OfDescriptions(libc::EINVAL))] {
        LOCKS.set(refused);
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 10);
        let (a, b, c) = (open_isolated(&o), open_isolated(&o), open_isolated(&o));
        let all = [&a, &b, &c].map(|handle| handle.table().identity());
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert!(all.iter().all(|identity| !c.table().is_dead(*identity) && !a.table().is_dead(*identity)));
        drop(a);
        assert_eq!(all.map(|identity| b.table().is_dead(identity)), [true, false, false]);
        assert_eq!(all.map(|identity| c.table().is_dead(identity)), [true, false, false]);
        let (one, two) = (open(&o), open(&o));
        assert_eq!(one.table().identity(), two.table().identity());
        drop(one);
        assert!(!c.table().is_dead(two.table().identity()));
        LOCKS.set(None);
    }
}

/// Somebody else's lock on the whole file hides the locks of identities; then the pid tells.
#[test]
fn somebody_locks_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let child = process(&o, hold);
    let other = open_isolated(&o);
    let identity = child.word();
    other.table().identity();
    // (No other lock of the first bytes.)
    let locker = process(&options(&tempfile::tempdir().unwrap(), Strategy::Lru, 10), |_, say| {
        let file = std::fs::File::options().write(true).open(other.path()).unwrap();
        // SAFETY: all-zero is a valid `flock`, and means the whole file, to whatever length.
        let mut whole: libc::flock = unsafe { std::mem::zeroed() };
        whole.l_type = libc::F_RDLCK as _;
        // SAFETY: the command reads a valid `flock` that outlives the call.
        say(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &whole) } as u64);
        stay();
    });
    locker.word();
    assert!(!other.table().is_dead(identity) && !is_free(&other));
    child.kill();
    assert!(is_free(&other));
}
