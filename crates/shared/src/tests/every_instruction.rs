//! Death at every instruction: a child process is single-stepped (ptrace) through an operation; whenever an instruction
//! has changed the file, the file is copied and a survivor must cope with the copy, exactly as in `every_store`, but
//! for the machine code as compiled.

use super::death::{content, prepared, survive, value, write_copy, Case};
use super::*;
use crate::Strategy;

/// Waits for the child's next stop; false once it has ended.
fn stopped(pid: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: our own child.
    let r = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(r, pid);
    if libc::WIFEXITED(status) {
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child has failed");
    }
    libc::WIFSTOPPED(status)
}

/// The file as it is while the child stands still.
struct View(*mut libc::c_void, usize);

impl View {
    fn new(path: &std::path::Path) -> View {
        let file = std::fs::File::open(path).unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: a new mapping, only read, of a file that keeps its length.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        View(at, length)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped until it is dropped; who changes the file is stopped whenever this is looked at.
        unsafe { std::slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: `new` has mapped it, and nothing borrows it any more.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

/// Where the kernel's own code lies that reads the clocks.
fn vdso() -> std::ops::Range<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let bounds = line.and_then(|line| line.split(' ').next()?.split_once('-'));
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    bounds.map_or(0..0, |(first, end)| number(first)..number(end))
}

/// Has a stopped child that has just entered the code that reads a clock return from it: that code changes no file, and begins
/// again whenever the clock's base changes meanwhile, so a child that is stepped through it may stay there for long.
#[cfg(target_arch = "x86_64")]
fn leave(pid: libc::pid_t, clock: &std::ops::Range<u64>) {
    const BREAKPOINT: i64 = 0xcc;
    let register = |number: libc::c_int| number as usize * 8;
    // SAFETY: our own stopped child; registers by their number in its record, words of its own stack and code.
    unsafe {
        let peek = |request, at: usize| libc::ptrace(request, pid, at, 0);
        let at = peek(libc::PTRACE_PEEKUSER, register(libc::RIP)) as u64;
        if !clock.contains(&at) {
            return;
        }
        // (It has been called this instant: where it returns to is on top of the stack.)
        let top = peek(libc::PTRACE_PEEKUSER, register(libc::RSP)) as usize;
        let back = peek(libc::PTRACE_PEEKDATA, top) as usize;
        let code = peek(libc::PTRACE_PEEKTEXT, back);
        assert_eq!(libc::ptrace(libc::PTRACE_POKETEXT, pid, back, (code & !0xff) | BREAKPOINT), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_CONT, pid, 0, 0), 0);
        let mut status = 0;
        libc::waitpid(pid, &mut status, 0);
        assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP, "in a clock: {status:#x}");
        assert_eq!(peek(libc::PTRACE_PEEKUSER, register(libc::RIP)) as usize, back + 1);
        assert_eq!(libc::ptrace(libc::PTRACE_POKETEXT, pid, back, code), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_POKEUSER, pid, register(libc::RIP), back), 0);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn leave(_: libc::pid_t, _: &std::ops::Range<u64>) {}

/// Steps a child through `operation`; how many instructions, and how many different states of the file.
fn step_through(options: &Options, keys: &[Vec<u8>], operation: impl Fn(&SharedCache)) -> Option<(u64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let start = std::fs::read(options.dir.join("test.cache")).unwrap();
    let mut case = Case {
        options: options.clone(),
        before: Default::default(),
        after: Default::default(),
        keys: keys.to_vec(),
        nested_every: 0,
    };
    let at = |name: &str| Options { dir: write_copy(&start, &dir.path().join(name)).dir, ..options.clone() };
    let rehearsal = open_isolated(&at("rehearsal"));
    case.before = content(&rehearsal, keys);
    operation(&rehearsal);
    case.after = content(&rehearsal, keys);
    drop(rehearsal);
    let stage = at("stage");
    let cache = open_isolated(&stage);
    let path = cache.path().to_owned();
    // SAFETY: the child touches the cache only, and leaves by _exit. (No other thread of this process holds what it
    // needs: its allocator is put in order by the C library.)
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // A slot of its own first; what claiming does is the kernel's byte-range lock's matter.
        cache.after_fork_child();
        // SAFETY: plain system calls, which concern the child alone; nothing of it is used after `_exit`.
        unsafe {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                libc::_exit(77);
            }
            libc::raise(libc::SIGSTOP);
            operation(&cache);
            libc::raise(libc::SIGSTOP);
            libc::_exit(0);
        }
    }
    let mut status = 0;
    // SAFETY: our own child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    if !libc::WIFSTOPPED(status) {
        println!("skipped: this system does not let a process be traced");
        return None;
    }
    let (mut steps, mut states) = (0, 0);
    let view = View::new(&path);
    let mut last = view.bytes().to_vec();
    let clock = vdso();
    loop {
        // SAFETY: our own stopped child.
        let r = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, pid, 0, 0) };
        assert_eq!(r, 0);
        let mut status = 0;
        // SAFETY: our own child.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        assert!(libc::WIFSTOPPED(status), "ended in the middle: {status:#x}");
        steps += 1;
        if libc::WSTOPSIG(status) == libc::SIGSTOP {
            break;
        }
        leave(pid, &clock);
        if view.bytes() != last {
            states += 1;
            last.copy_from_slice(view.bytes());
            survive(&last, &dir.path().join("copy"), &case);
        }
    }
    // SAFETY: our own stopped child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    while stopped(pid) {}
    survive(&last, &dir.path().join("copy"), &case);
    Some((steps, states))
}

/// What is new of entries with a head, of leases and of time to idle.
#[test]
fn operations_on_heads_stepped_through() {
    const TAG: u64 = 7;
    let (mut steps, mut states) = (0, 0);
    let dir = tempfile::tempdir().unwrap();
    let (mut o, keys) = prepared(&dir, Strategy::Lru, 4, 0);
    std::fs::remove_file(o.dir.join("test.cache")).unwrap();
    o.idle = Some(std::time::Duration::from_secs(1000));
    let cache = open_isolated(&o);
    let ttl = std::time::Duration::from_secs(10);
    let terms = |c: &SharedCache| Terms { fresh: 1, tags: c.tags(&[TAG, 8]), ..NEVER.into() };
    let put = |c: &SharedCache, k: usize, version: u8| ignore(c.set(&keys[k], &value(&keys[k], version), terms(c)));
    put(&cache, 0, 1);
    put(&cache, 1, 1);
    cache.set(&keys[2], &value(&keys[2], 1), NEVER);
    let acquire = |c: &SharedCache, k: usize, purpose: Purpose| match c.acquire_to(
        purpose,
        &keys[k],
        &c.tags(&[TAG, 8]),
        ttl,
        purpose == Purpose::Anew,
    ) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    let refresh = |c: &SharedCache| acquire(c, 1, Purpose::Refresh);
    let large = vec![1; 1 << 20];
    let operations: [&dyn Fn(&SharedCache); 14] = [
        &|c| put(c, 3, 2),
        &|c| put(c, 1, 5),
        &|c| c.invalidate_tags(&[TAG]).unwrap(),
        &|c| ignore(c.invalidate(&keys[1])),
        &|c| ignore(c.set(&keys[1], &large, NEVER)),
        &|c| ignore(c.insert(&keys[1], &value(&keys[1], 6), terms(c), c.begin(c.hash(&keys[1])))),
        &|c| ignore(c.complete(refresh(c), &keys[1], &value(&keys[1], 6), terms(c))),
        &|c| c.complete_without(refresh(c)),
        &|c| c.refresh_failed(refresh(c)),
        &|c| ignore(c.complete(acquire(c, 2, Purpose::Anew), &keys[2], &value(&keys[2], 6), terms(c))),
        &|c| c.abandon(acquire(c, 3, Purpose::Miss)),
        &|c| c.leave(acquire(c, 3, Purpose::Miss)),
        &|c| ignore(c.get(&keys[0], &mut ReadBuf::new())),
        &|c| c.table().void_all().unwrap(),
    ];
    for operation in operations {
        let Some((n, m)) = step_through(&o, &keys, operation) else { return };
        steps += n;
        states += m;
    }
    println!("{steps} instructions, {states} states");
}

#[test]
fn operations_stepped_through() {
    let (mut steps, mut states) = (0, 0);
    let lru = [(Strategy::Lru, 3), (Strategy::Lru, 4)];
    for (strategy, fill) in
        lru.into_iter().chain([Strategy::Sieve, Strategy::S3Fifo, Strategy::TinyLfu].map(|s| (s, 4)))
    {
        let dir = tempfile::tempdir().unwrap();
        let (o, keys) = prepared(&dir, strategy, 4, fill);
        if strategy.has_queues() {
            // So that whoever evicts has something to move.
            let cache = open_isolated(&o);
            keys[..2].iter().for_each(|k| (0..2).for_each(|_| ignore(cache.get(k, &mut ReadBuf::new()))));
        }
        let new = fill as usize;
        let terms = |c: &SharedCache| Terms { fresh: 1, tags: c.tags(&[7]), ..NEVER.into() };
        let operations: [&dyn Fn(&SharedCache); 6] = [
            &|c| ignore(c.set(&keys[new], &value(&keys[new], 2), NEVER)),
            &|c| ignore(c.set(&keys[1], &value(&keys[1], 5), NEVER)),
            &|c| ignore(c.invalidate(&keys[1])),
            &|c| ignore(c.set(&keys[2], &value(&keys[2], 3), terms(c))),
            &|c| c.invalidate_tags(&[7]).unwrap(),
            &|c| c.clear(),
        ];
        for operation in operations {
            let Some((n, m)) = step_through(&o, &keys, operation) else { return };
            steps += n;
            states += m;
        }
        // The repairer: the file is left locked by a dead process.
        open_isolated(&o).table().lock(std::time::Duration::from_secs(1)).map(std::mem::forget).unwrap();
        if let Some((n, m)) = step_through(&o, &keys, |c| ignore(c.invalidate(b"no such key"))) {
            steps += n;
            states += m;
        }
    }
    println!("{steps} instructions, {states} states");
}
