//! Death at every instruction: a child process is single-stepped (ptrace) through an operation; whenever an instruction
//! has changed the file, the file is copied and a survivor must cope with the copy, exactly as in `every_store`, but
//! for the machine code as compiled.

use super::every_store::{content, prepared, survive, value, write_copy, Case};
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
        // SAFETY: as above.
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
    let mut last = std::fs::read(&path).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let mut now = Vec::new();
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
        now.clear();
        std::io::Seek::rewind(&mut &file).unwrap();
        std::io::Read::read_to_end(&mut &file, &mut now).unwrap();
        if now != last {
            states += 1;
            survive(&now, &dir.path().join("copy"), &case);
            std::mem::swap(&mut last, &mut now);
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
