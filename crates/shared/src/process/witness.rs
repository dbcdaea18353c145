//! What a pid tells about a process: the second witness, where locks do not decide alone.
//!
//! A pid names a process only together with the namespace it counts in, the time at which the process started, and the
//! program that it runs: pids repeat, and `exec` changes neither pid nor start. What the system does not tell is 0 and
//! compared with nothing.

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
    // SAFETY: all-zero is a valid proc_bsdinfo; the kernel writes at most `size` bytes into it.
    let (info, n) = unsafe {
        let mut info: libc::proc_bsdinfo = std::mem::zeroed();
        let size = std::mem::size_of::<libc::proc_bsdinfo>() as libc::c_int;
        let n = libc::proc_pidinfo(pid as libc::c_int, libc::PROC_PIDTBSDINFO, 0, (&raw mut info).cast(), size);
        (info, n)
    };
    match n {
        1.. => Some(Birth { started: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec, program: 0 }),
        _ => exists(pid).then_some(UNKNOWN),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn birth(pid: u64) -> Option<Birth> {
    exists(pid).then_some(UNKNOWN)
}

fn exists(pid: u64) -> bool {
    // SAFETY: signal 0 only asks. (Pid 0 would ask for our own group, and is nobody's.)
    let r = unsafe { libc::kill(pid as libc::pid_t, 0) };
    pid != 0 && (r == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH))
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
