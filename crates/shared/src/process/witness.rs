//! What a pid tells about a process: the second witness, where locks do not decide alone.
//!
//! A pid names a process only together with the namespace it counts in, the time at which the process started, and the
//! program that it runs: pids repeat, and `exec` changes neither pid nor start. What the system does not tell is 0 and
//! compared with nothing.

use crate::file::system::exists;
#[cfg(target_os = "macos")]
use crate::file::system::started;

/// What tells one user of a pid from the next one, or 0s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birth {
    /// When the process started, in units of the system's own.
    pub(crate) started: u64,
    /// Where the stack of the program begins, which is another place after each `exec` (where addresses are random).
    pub(crate) program: u64,
}

const UNKNOWN: Birth = Birth { started: 0, program: 0 };

impl Birth {
    /// Whether both can be of one and the same life.
    pub(crate) fn may_be(self, other: Birth) -> bool {
        let agree = |a: u64, b: u64| a == 0 || b == 0 || a == b;
        agree(self.started, other.started) && agree(self.program, other.program)
    }
}

/// `None` = there is no such process, or it has ended and waits for its parent to look.
#[cfg(target_os = "linux")]
pub(crate) fn birth(pid: u64) -> Option<Birth> {
    let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { return exists(pid).then_some(UNKNOWN) };
    // The command's name, in parentheses, may contain anything; the fields follow its last one.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace().collect();
    // As proc(5) numbers them; the first is the third.
    let field = |n: usize| fields.get(n - 3).and_then(|field| field.parse().ok()).unwrap_or(0);
    let threads = field(20);
    // A process whose first thread has ended looks like one that has ended itself.
    if matches!(fields.first(), None | Some(&("Z" | "X"))) && threads < 2 {
        return None;
    }
    Some(Birth { started: field(22), program: field(28) })
}

#[cfg(target_os = "macos")]
pub(crate) fn birth(pid: u64) -> Option<Birth> {
    match started(pid) {
        Some(started) => Some(Birth { started, program: 0 }),
        None => exists(pid).then_some(UNKNOWN),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn birth(pid: u64) -> Option<Birth> {
    exists(pid).then_some(UNKNOWN)
}

/// Names the set of pids that this process's pid belongs to; 0 = unknown.
pub(crate) fn pid_namespace() -> u64 {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        // A /proc of another namespace would answer for another process of the same number.
        let mine =
            std::fs::read_link("/proc/self").is_ok_and(|pid| pid.as_os_str() == &*std::process::id().to_string());
        if !mine {
            return 0;
        }
        std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
    }
    #[cfg(not(target_os = "linux"))]
    1
}
