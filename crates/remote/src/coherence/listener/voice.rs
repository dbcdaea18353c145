//! What this process computes, said on the server each second, so that nobody takes its leases for dead.
//!
//! Only while a computation has taken longer than a second there is a thread for it: the listener's own must not wait for
//! an answer, and most computations are over before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use concurrency::signals::in_programs_threads;
use redis::{Pipeline, Value};

use super::super::members::{Members, Said};
use super::{Settings, Thread};
use crate::deadline::Deadline;

const EACH: Duration = Duration::from_secs(1);
/// How long what was said stands, in milliseconds.
const STANDS: u64 = 3000;

impl Thread {
    /// Sees to it that a thread says what this process has computed for long. Cheap where there is nothing to say.
    pub(super) fn speak(&self) {
        if !self.members.begin_saying() {
            return;
        }
        let voice = Voice { members: self.members.clone(), settings: self.settings.clone() };
        let builder = std::thread::Builder::new().name("warp-voice".into());
        if in_programs_threads(|| builder.spawn(move || voice.run())).is_err() {
            // The next turn tries again.
            self.members.fall_silent();
        }
    }
}

struct Voice {
    members: Arc<Members>,
    settings: Arc<Settings>,
}

impl Voice {
    fn run(self) {
        while let Some(said) = self.members.to_say() {
            let began = Instant::now();
            self.say(&said);
            std::thread::sleep(EACH.saturating_sub(began.elapsed()));
        }
    }

    /// One that the server does not hear is said again in a second.
    fn say(&self, said: &Said) -> Option<Value> {
        let Settings { route, keys, breaker, timeout, .. } = &*self.settings;
        if breaker.is_open() {
            return None;
        }
        let deadline = Deadline::after(*timeout);
        let mut set = Pipeline::new();
        set.cmd("SET").arg(keys.member(&said.id)).arg(said.tokens.concat()).arg("PX").arg(STANDS);
        route.take(false, deadline).ok()?.run(&set, deadline).ok()?.pop()
    }
}
