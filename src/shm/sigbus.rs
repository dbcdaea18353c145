//! A fault handler that turns somebody else's truncation of a mapped cache file into misses.
//!
//! We never truncate, and touch only what is reserved; but any process of the same user can `truncate` the file, and
//! the next access to a page that is gone raises SIGBUS. The handler replaces our mapping, from that page on, by zeros
//! of this process's own, marks the cache as poisoned, and the access is retried: it reads zeros, which mean "no entry"
//! all over the file. The pages before it stay shared, so that a lock held in the header can still be released.
//!
//! Limits, honestly: handlers are per process. Whoever installs one after us without calling the previous one (we call
//! ours first and hand on whatever is not ours; each `open` checks that ours is still there) brings the crash back. A
//! fault sent by `kill` is handed on, too.

#[cfg(not(loom))]
pub(crate) use handler::{install, watch, Watch};

#[cfg(not(loom))]
mod handler {
    use crate::shm::fork;
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Mappings watched at most; more go unwatched.
    const MAX: usize = 1024;

    struct Entry {
        /// 0 = free. Release-stored after `len`; pairs with the handler's acquire load.
        base: AtomicUsize,
        len: AtomicUsize,
        fired: AtomicBool,
    }

    static TABLE: [Entry; MAX] =
        [const { Entry { base: AtomicUsize::new(0), len: AtomicUsize::new(0), fired: AtomicBool::new(false) } }; MAX];
    static PAGE: AtomicUsize = AtomicUsize::new(4096);

    struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);
    // SAFETY: written before `PREVIOUS_SET` is release-stored, once, under `fork::exclusive`; read only after an
    // acquire load of it.
    unsafe impl Sync for Previous {}
    static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));
    static PREVIOUS_SET: AtomicBool = AtomicBool::new(false);

    /// A row of the table, freed when dropped.
    pub(crate) struct Watch(usize);

    impl Watch {
        pub(crate) fn fired(&self) -> bool {
            TABLE[self.0].fired.load(Ordering::Relaxed)
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            TABLE[self.0].base.store(0, Ordering::Release);
        }
    }

    pub(crate) fn watch(base: usize, len: usize) -> Option<Watch> {
        fork::exclusive(|| {
            let free = TABLE.iter().position(|e| e.base.load(Ordering::Relaxed) == 0)?;
            let entry = &TABLE[free];
            entry.len.store(len, Ordering::Relaxed);
            entry.fired.store(false, Ordering::Relaxed);
            entry.base.store(base, Ordering::Release);
            Some(Watch(free))
        })
    }

    extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; a fault's code is positive and has an
        // address.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        if code > 0 {
            for entry in &TABLE {
                let base = entry.base.load(Ordering::Acquire);
                if base == 0 || address < base || address - base >= entry.len.load(Ordering::Relaxed) {
                    continue;
                }
                let page = PAGE.load(Ordering::Relaxed);
                let from = address & !(page - 1);
                let end = base + entry.len.load(Ordering::Relaxed);
                // SAFETY: from..end lies in a mapping of ours (page-aligned start), which is accessed as atomic words
                // only, for which zeros are as good as any content. mmap is a bare system call and leaves errno as it
                // was on success.
                let p = unsafe {
                    libc::mmap(
                        from as *mut libc::c_void,
                        end - from,
                        libc::PROT_READ | libc::PROT_WRITE,
                        libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED,
                        -1,
                        0,
                    )
                };
                if p != libc::MAP_FAILED {
                    entry.fired.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
        hand_on(signal, info, context);
    }

    fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let previous = if PREVIOUS_SET.load(Ordering::Acquire) {
            // SAFETY: initialised and never written again once PREVIOUS_SET is seen.
            unsafe { (*PREVIOUS.0.get()).assume_init() }
        } else {
            // SAFETY: all-zero is a valid sigaction: the default disposition.
            unsafe { std::mem::zeroed() }
        };
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // SAFETY: as above; the default disposition, and the fault (or the raised signal) comes again and ends
                // the process.
                unsafe {
                    let default: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(signal, &default, std::ptr::null_mut());
                    if (*info).si_code <= 0 {
                        libc::raise(signal);
                    }
                }
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
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
    }

    /// Makes sure that the handler is in place. The first handler found is the one to hand on to.
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
            if !PREVIOUS_SET.load(Ordering::Acquire) {
                (*PREVIOUS.0.get()).write(now);
                PREVIOUS_SET.store(true, Ordering::Release);
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
