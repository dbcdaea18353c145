//! Another process of a host: the test's own program, started again.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions};

/// A process that runs this binary's test `member`.
pub struct Member {
    child: Child,
    /// Its output, into which it writes until it ends.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    pub fn start(dir: &Path, url: &str, staleness: Duration) -> Member {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "member", "--nocapture"])
            .env("WARP_MEMBER_DIR", dir)
            .env("WARP_MEMBER_URL", url)
            .env("WARP_MEMBER_STALENESS", staleness.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "listening"));
        Member { child, _lines: lines }
    }

    pub fn pid(&self) -> u64 {
        u64::from(self.child.id())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        if signal == Signal::STOP {
            let status = waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap().unwrap().1;
            assert!(status.stopped());
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
