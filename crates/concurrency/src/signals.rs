//! Lengthening files without being killed by a limit for their size.
//!
//! Who goes over the limit for the size of a file (`ulimit -f`) is killed by SIGXFSZ, unless that
//! signal is ignored or caught, which Python sees to and a program that embeds it need not. A check of the limit before
//! the call would be no help: another thread may lower it in between. So whatever lengthens a file runs with the signal
//! blocked in its own thread ([`unharmed`]): the kernel sends it to the very thread that went over the limit, and leaves
//! it pending there, where it is taken back. The program's own disposition is never touched, and the call fails with
//! EFBIG.

/// Runs what may lengthen a file; the signal that this may cause is taken back.
#[cfg(unix)]
pub fn unharmed<R>(f: impl FnOnce() -> R) -> R {
    struct Blocked {
        only: libc::sigset_t,
        former: libc::sigset_t,
        /// It was pending before, so it is not ours.
        theirs: bool,
    }

    fn pending() -> bool {
        // SAFETY: all-zero is a valid set, which outlives the calls.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigpending(&mut set) == 0 && libc::sigismember(&set, libc::SIGXFSZ) == 1
        }
    }

    // (Also where `f` unwinds.)
    impl Drop for Blocked {
        fn drop(&mut self) {
            if !self.theirs && pending() {
                // SAFETY: a valid set; it is pending and blocked in this thread, so nobody waits. A process-wide one
                // can have come to be in between; it means the same.
                unsafe {
                    #[cfg(target_os = "linux")]
                    {
                        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                        libc::sigtimedwait(&self.only, std::ptr::null_mut(), &now);
                    }
                    #[cfg(not(target_os = "linux"))]
                    libc::sigwait(&self.only, &mut 0);
                }
            }
            // SAFETY: the set is the one that the thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.former, std::ptr::null_mut()) };
        }
    }

    // SAFETY: all-zero sets are valid and outlive the calls.
    let blocked = unsafe {
        let mut only: libc::sigset_t = std::mem::zeroed();
        let mut former: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut only);
        libc::sigaddset(&mut only, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, &only, &mut former);
        let theirs = libc::sigismember(&former, libc::SIGXFSZ) == 1 && pending();
        Blocked { only, former, theirs }
    };
    let result = f();
    drop(blocked);
    result
}

/// Runs what starts a thread of ours: it inherits that all signals are blocked but those that its own faults cause, so that
/// the program's handlers run in the program's threads, and their calls are interrupted as they would be without us.
#[cfg(unix)]
pub fn in_programs_threads<R>(f: impl FnOnce() -> R) -> R {
    struct Former(libc::sigset_t);
    impl Drop for Former {
        fn drop(&mut self) {
            // SAFETY: the set is the one that the thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: all-zero sets are valid and outlive the calls.
    let former = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut former: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        for fault in [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            libc::sigdelset(&mut all, fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut former);
        Former(former)
    };
    let result = f();
    drop(former);
    result
}

/// (Only there is a limit that is enforced by a signal.)
#[cfg(not(unix))]
pub fn unharmed<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// (Only there do threads take a process's signals.)
#[cfg(not(unix))]
pub fn in_programs_threads<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(all(test, unix, not(loom)))]
mod tests {
    use super::*;

    /// Whether the calling thread has the signal blocked.
    fn blocks(signal: libc::c_int) -> bool {
        // SAFETY: an all-zero set is valid and outlives the calls; without a new set the mask is only read.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            libc::sigismember(&set, signal) == 1
        }
    }

    #[test]
    fn a_thread_of_ours_takes_no_signal_but_those_of_its_faults() {
        let before = [libc::SIGINT, libc::SIGALRM, libc::SIGBUS].map(blocks);
        let thread =
            in_programs_threads(|| std::thread::spawn(|| [libc::SIGINT, libc::SIGALRM, libc::SIGBUS].map(blocks)));
        assert_eq!(thread.join().unwrap(), [true, true, false]);
        assert_eq!([libc::SIGINT, libc::SIGALRM, libc::SIGBUS].map(blocks), before);
    }
}
