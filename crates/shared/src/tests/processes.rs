//! Children of a test: processes of their own that hold something of the cache and meet their fates.

use super::*;
use std::os::fd::{FromRawFd, OwnedFd};

/// A child of this process, killed with whatever it has started when dropped.
pub(crate) struct Process {
    pid: libc::pid_t,
    said: std::fs::File,
    reaped: bool,
}

/// Forks a process that has a handle of its own. It says things (identities, say) to its parent as words of 64 bits; where
/// `body` returns, it stays as it is.
pub(crate) fn process(o: &Options, body: impl FnOnce(&SharedCache, &dyn Fn(u64))) -> Process {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors, which nobody else owns.
    let (from, to) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    // SAFETY: the child uses the cache and plain system calls, and is killed or leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: plain system calls. The alarm ends a child whose parent has failed.
        unsafe {
            libc::setpgid(0, 0);
            libc::alarm(60);
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let cache = open_isolated(o);
            let out = std::mem::ManuallyDrop::new(std::fs::File::from(to));
            let say = |word: u64| std::io::Write::write_all(&mut &*out, &word.to_ne_bytes()).unwrap();
            body(&cache, &say);
            stay();
        }));
        // SAFETY: `_exit` may be called at any moment; nothing of the child's is used after it.
        unsafe { libc::_exit(1 + i32::from(done.is_err())) };
    }
    Process { pid, said: std::fs::File::from(from), reaped: false }
}

pub(crate) fn stay() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

impl Process {
    pub(crate) fn word(&self) -> u64 {
        let mut bytes = [0; 8];
        std::io::Read::read_exact(&mut &self.said, &mut bytes).expect("the child says a word");
        u64::from_ne_bytes(bytes)
    }

    /// Has ended or become another program: the pipe's other end is closed.
    pub(crate) fn wait_for_its_end(&self) {
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut &self.said, &mut rest).unwrap();
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: our own, unreaped child.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Kills it and does not wait for it: it stays a zombie.
    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
        // SAFETY: all-zero is a valid siginfo, which the call writes to; it leaves the child unreaped.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            assert_eq!(libc::waitid(libc::P_PID, self.pid as u32, &mut info, libc::WEXITED | libc::WNOWAIT), 0);
        }
    }

    pub(crate) fn status(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: our own, unreaped child.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        self.reaped = true;
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: the child made itself the leader of a group, to which only what it has started belongs.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            if !self.reaped {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, &mut 0, 0);
            }
        }
    }
}

pub(crate) fn replace_program(program: &str, argument: &str) {
    let [program, argument] = [program, argument].map(|text| std::ffi::CString::new(text).unwrap());
    let arguments = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
    // SAFETY: NUL-terminated strings in a list that ends with a null pointer. It returns only if it fails.
    unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
    panic!("no {program:?}");
}

pub(crate) fn sleep_as_another_program() {
    replace_program("/bin/sleep", "60");
}
