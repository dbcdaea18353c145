//! A fault handler that turns somebody else's truncation of a mapped cache file into misses.
//!
//! We never truncate, and touch only what is reserved; but any process of the same user can `truncate` the file, and
//! the next access to a page that is gone raises SIGBUS. The handler replaces our mapping, from that page on, by zeros
//! of this process's own, marks the cache as poisoned, and the access is retried: it reads zeros, which mean "no entry"
//! all over the file. The pages before it stay shared, so that a lock held in the header can still be released.
//!
//! Mappings are told by *nodes* of a list that are never freed, so the handler may walk it at any moment, in any thread.
//! A node that is given to another mapping says so: its number is odd while it changes, and the handler believes only
//! what it read under one even number. (The mapping that a thread faults in does not change its node: it lives, and
//! grows by nodes of its own, or in place, when its former length is as true as its new one.)
//!
//! Limits, honestly: handlers are per process. Whoever installs one after us without calling the previous one (we call
//! ours first and hand on whatever is not ours; each `open` checks that ours is still there) brings the crash back. A
//! fault sent by `kill` is handed on, too.

#[cfg(not(loom))]
pub(crate) use handler::{install, room_below, Watch, Watched};

#[cfg(not(loom))]
mod handler {
    use concurrency::fork;
    use std::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicUsize, Ordering};
    use std::sync::Mutex;

    /// What the handler knows of one mapping.
    struct Node {
        /// Set before the node is in the list, never after.
        next: *const Node,
        /// A mapping has it.
        taken: AtomicBool,
        /// Odd while the others change.
        number: AtomicUsize,
        /// 0 = none.
        base: AtomicUsize,
        len: AtomicUsize,
        /// Where to say that it has fired: flags are never freed either.
        fired: AtomicPtr<AtomicBool>,
    }

    // SAFETY: `next` is never written once others can see the node; the rest are atomics.
    unsafe impl Sync for Node {}

    impl Node {
        /// By the one who has taken it.
        fn set(&self, base: usize, len: usize, fired: *mut AtomicBool) {
            let number = self.number.load(Ordering::Relaxed);
            self.number.store(number.wrapping_add(1), Ordering::Relaxed);
            // Release: whoever reads one of the three below as new finds, after its own fence, the odd number.
            fence(Ordering::Release);
            self.base.store(base, Ordering::Relaxed);
            self.len.store(len, Ordering::Relaxed);
            self.fired.store(fired, Ordering::Relaxed);
            // Release: pairs with the first load in `get`.
            self.number.store(number.wrapping_add(2), Ordering::Release);
        }

        /// A new node, taken, at the head of the list.
        fn add() -> &'static Node {
            let node = Box::leak(Box::new(Node {
                next: NODES.load(Ordering::Relaxed),
                taken: AtomicBool::new(true),
                number: AtomicUsize::new(0),
                base: AtomicUsize::new(0),
                len: AtomicUsize::new(0),
                fired: AtomicPtr::new(std::ptr::null_mut()),
            }));
            // Release: pairs with the acquire in `nodes`. (Nobody else can see the node before.)
            while let Err(first) =
                NODES.compare_exchange(node.next.cast_mut(), node, Ordering::Release, Ordering::Relaxed)
            {
                node.next = first;
            }
            node
        }

        /// Base, length and flag as they were at one moment; `None` while they change.
        fn get(&self) -> Option<(usize, usize, *mut AtomicBool)> {
            let number = self.number.load(Ordering::Acquire);
            let found = (
                self.base.load(Ordering::Relaxed),
                self.len.load(Ordering::Relaxed),
                self.fired.load(Ordering::Relaxed),
            );
            // Acquire: pairs with the fence in `set`.
            fence(Ordering::Acquire);
            (number.is_multiple_of(2) && self.number.load(Ordering::Relaxed) == number).then_some(found)
        }
    }

    /// The first node. Release-stored with each new one; pairs with the handler's acquire load.
    static NODES: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());
    static PAGE: AtomicUsize = AtomicUsize::new(4096);

    struct Nodes(*const Node);

    impl Iterator for Nodes {
        type Item = &'static Node;
        fn next(&mut self) -> Option<&'static Node> {
            // SAFETY: null, or a node, which is never freed.
            let node = unsafe { self.0.as_ref() }?;
            self.0 = node.next;
            Some(node)
        }
    }

    fn nodes() -> Nodes {
        Nodes(NODES.load(Ordering::Acquire))
    }

    /// Flags that no file has at present.
    static SPARE: Mutex<Vec<&'static AtomicBool>> = Mutex::new(Vec::new());

    /// The mappings of one file in this process: whether a fault was caught in any of them.
    pub(crate) struct Watched(&'static AtomicBool);

    impl Watched {
        pub(crate) fn new() -> Watched {
            // (A fork may have left it locked: then a new one is made, and later left lying.)
            let spare = SPARE.try_lock().ok().and_then(|mut spare| spare.pop());
            let flag = spare.unwrap_or_else(|| Box::leak(Box::new(AtomicBool::new(false))));
            flag.store(false, Ordering::Relaxed);
            Watched(flag)
        }

        #[inline]
        pub(crate) fn fired(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        /// Takes it for fired: what is mapped is of no more use.
        pub(crate) fn fire(&self) {
            self.0.store(true, Ordering::Relaxed);
        }

        /// Has faults in `base..base + len` caught.
        pub(crate) fn watch(&self, base: usize, len: usize) -> Watch {
            // Acquire: pairs with the release in `Watch::drop`, so that the changes of a node follow each other.
            let take =
                |node: &Node| node.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
            let node = nodes().find(|node| take(node)).unwrap_or_else(Node::add);
            node.set(base, len, std::ptr::from_ref(self.0).cast_mut());
            Watch(node)
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            if let Ok(mut spare) = SPARE.try_lock() {
                spare.push(self.0);
            }
        }
    }

    /// A mapping that is watched, until this is dropped.
    pub(crate) struct Watch(&'static Node);

    impl Watch {
        /// The mapping has grown where it is.
        #[cfg(target_os = "linux")]
        pub(crate) fn lengthen(&mut self, len: usize) {
            self.0.set(self.0.base.load(Ordering::Relaxed), len, self.0.fired.load(Ordering::Relaxed));
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.set(0, 0, std::ptr::null_mut());
            self.0.taken.store(false, Ordering::Release);
        }
    }

    /// An address below `end` from which on nothing of what is watched lies within `room`; 0 if none is found soon.
    pub(crate) fn room_below(end: usize, room: usize) -> usize {
        let mut from = end.saturating_sub(room);
        for _ in 0..1024 {
            let in_the_way = nodes()
                .filter_map(Node::get)
                .find(|(base, len, _)| *base != 0 && *base < from.saturating_add(room) && from < base + len);
            match in_the_way {
                None => return from,
                Some((base, ..)) => from = base.saturating_sub(room),
            }
        }
        0
    }

    extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; a fault's code is positive and has an
        // address.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        if code > 0 {
            let hit = nodes()
                .filter_map(Node::get)
                .find(|(base, len, _)| *base != 0 && address >= *base && address - base < *len);
            if let Some((base, len, fired)) = hit {
                let page = PAGE.load(Ordering::Relaxed);
                let from = address & !(page - 1);
                // All that is left of it, as more faults are to be expected; or where that is too much, this page.
                for end in [base + len, from + page] {
                    // SAFETY: from..end lies in a mapping of ours (page-aligned start), which is accessed as atomic
                    // words only, for which zeros are as good as any content. It is still there, as the thread that
                    // faults is about to read or write in it. mmap is a bare system call and leaves errno as it was on
                    // success.
                    let p = unsafe {
                        libc::mmap(
                            from as *mut libc::c_void,
                            end - from,
                            libc::PROT_READ | libc::PROT_WRITE,
                            libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED | libc::MAP_NORESERVE,
                            -1,
                            0,
                        )
                    };
                    if p != libc::MAP_FAILED {
                        // SAFETY: a flag is never freed.
                        unsafe { (*fired).store(true, Ordering::Relaxed) };
                        return;
                    }
                }
            }
        }
        hand_on(signal, info, context, code > 0);
    }

    /// A handler that ours has taken the place of. Never freed, and never changed once others can see it.
    struct Former {
        action: libc::sigaction,
        /// The one that it had taken the place of.
        before: *const Former,
    }
    /// The last of them. Release-stored; pairs with the acquire loads.
    static FORMER: AtomicPtr<Former> = AtomicPtr::new(std::ptr::null_mut());
    /// What a former handler is at, which may raise the signal again to have the one before it called (faulthandler
    /// does): the thread, and whom it was handed to.
    static HANDING: AtomicUsize = AtomicUsize::new(0);
    static HANDED: AtomicPtr<Former> = AtomicPtr::new(std::ptr::null_mut());

    /// Tells threads apart; async-signal-safe.
    fn thread() -> usize {
        #[cfg(target_os = "linux")]
        // SAFETY: a bare system call without arguments.
        let id = unsafe { libc::syscall(libc::SYS_gettid) } as usize;
        #[cfg(not(target_os = "linux"))]
        // SAFETY: no preconditions.
        let id = unsafe { libc::pthread_self() } as usize;
        id
    }

    fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, is_fault: bool) {
        let me = thread();
        let again = !is_fault && HANDING.load(Ordering::Relaxed) == me;
        // SAFETY: null, or a node, which is never freed; whoever was handed to is one.
        let next = match unsafe { HANDED.load(Ordering::Acquire).as_ref() } {
            Some(handed) if again => handed.before,
            _ => FORMER.load(Ordering::Acquire),
        };
        // SAFETY: `next` came out of `FORMER` or a node's `before`: null, or a node, which is never freed.
        let former = unsafe { next.as_ref() };
        HANDED.store(next.cast_mut(), Ordering::Release);
        HANDING.store(me, Ordering::Relaxed);
        match former.map_or(libc::SIG_DFL, |former| former.action.sa_sigaction) {
            // Somebody sent it, and it is to be ignored. (A fault cannot be.)
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // SAFETY: all-zero is a valid sigaction: the default disposition, under which the fault (or the raised
                // signal) comes again and ends the process.
                unsafe {
                    let default: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(signal, &default, std::ptr::null_mut());
                    if (*info).si_code <= 0 {
                        libc::raise(signal);
                    }
                }
            }
            handler if former.is_some_and(|former| former.action.sa_flags & libc::SA_SIGINFO != 0) => {
                // SAFETY: installed by somebody as an SA_SIGINFO handler, so it has this signature.
                let call: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(handler) };
                call(signal, info, context);
            }
            handler => {
                // SAFETY: installed by somebody as a plain handler, so it has this signature.
                let call: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
                call(signal);
            }
        }
        HANDING.store(0, Ordering::Relaxed);
    }

    /// Makes sure that the handler is in place. The last other one that was found there is the first to hand on to.
    pub(crate) fn install() {
        fork::exclusive(install_alone);
    }

    fn install_alone() {
        // SAFETY: sysconf has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
        let ours = on_fault as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        // SAFETY: `now` and `new` are valid sigactions (all-zero is one) that outlive the calls; `on_fault` is
        // async-signal-safe: atomics and bare system calls only.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, std::ptr::null(), &mut now) != 0 || now.sa_sigaction == ours {
                return;
            }
            let before = FORMER.load(Ordering::Relaxed);
            // A former handler that was put back in its place is not entered a second time: none is called twice.
            let known = before.as_ref().is_some_and(|former| former.action.sa_sigaction == now.sa_sigaction);
            if !known {
                FORMER.store(Box::leak(Box::new(Former { action: now, before })), Ordering::Release);
            }
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = ours;
            // NODEFER: a handler we hand on to may leave by longjmp, and the next fault must still be caught.
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut new.sa_mask);
            libc::sigaction(libc::SIGBUS, &new, std::ptr::null_mut());
        }
    }
}
