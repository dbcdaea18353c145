//! The thread that each process with a remote cache has: it listens for the host if it is elected, and looks for the
//! election if it is not.
//!
//! It owns no Python object. It ends with its [`Coherence`] or with the process; nothing waits for it. It looks after the
//! file, and goes over to another one where that is lost. [`election`] says who
//! listens, [`session`] is from one consent to the next, [`feed`] one tracked connection of it, [`heartbeat`] what is
//! confirmed and when, [`pushes`] what the server tells; [`voice`] is how others know that this process computes.

mod election;
mod feed;
mod heartbeat;
mod pushes;
mod session;
mod voice;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use concurrency::signals::in_programs_threads;
use concurrency::{boottime, fork};

use self::election::Candidate;
use self::session::Ended;
use super::members::Members;
use super::words::{Tracking, Words};
use super::Coherence;
use crate::breaker::ProcessBreaker;
use crate::keys::Keys;
use crate::random;
use crate::route::Route;

/// What a process's thread works with: that of whoever starts it.
pub struct Settings {
    /// Connections are opened through it, and never given back to it.
    pub route: Route,
    pub keys: Keys,
    /// The process's breaker for this server, which the thread closes as soon as the server answers.
    pub breaker: Arc<ProcessBreaker>,
    /// The bound of a probe.
    pub timeout: Duration,
}

/// A server without tracking is asked again after this: it may have been replaced.
const UNTOLD: Duration = Duration::from_secs(5);
/// The longest sleep, after which the thread sees that its coherence has gone.
const NAP: Duration = Duration::from_millis(100);
/// The file is looked at so often.
const LOOKS: Duration = Duration::from_millis(250);
/// Where there is none, one is tried for so often.
const LACKS: Duration = Duration::from_secs(1);

pub(super) fn attend(coherence: &Arc<Coherence>, settings: &Arc<Settings>) {
    let (epoch, running) = (fork::epoch(), &coherence.running);
    // Relaxed: it orders nothing, the thread's own start does.
    let seen = running.load(Ordering::Relaxed);
    if seen == epoch || running.compare_exchange(seen, epoch, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    fork::watch();
    let thread = Thread {
        words: coherence.words_to_keep(),
        owner: Arc::downgrade(coherence),
        members: coherence.members().clone(),
        settings: settings.clone(),
        next_look: Cell::new(0),
        _running: Running { epoch, running: running.clone() },
    };
    // (If there is no thread to be had, `Running` says so, and the next use tries again.)
    let builder = std::thread::Builder::new().name("warp-listener".into());
    let _ = in_programs_threads(|| builder.spawn(move || thread.run()));
}

/// Says that the thread has ended, however it did.
struct Running {
    epoch: u64,
    running: Arc<AtomicU64>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.running.compare_exchange(self.epoch, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

struct Thread {
    words: Arc<Words>,
    owner: Weak<Coherence>,
    members: Arc<Members>,
    settings: Arc<Settings>,
    /// When the file is looked at again (boot clock).
    next_look: Cell<u64>,
    _running: Running,
}

impl Thread {
    /// Whether what it works for has gone, or has another file.
    fn is_over(&self) -> bool {
        self.look_after();
        self.owner.strong_count() == 0 || self.words.is_lost()
    }

    /// Looks at the file, if it is time to; or whether there is one by now.
    fn look_after(&self) {
        let now = boottime::now();
        if now < self.next_look.get() {
            return;
        }
        let pause = if self.words.memory.is_shared() { LOOKS } else { LACKS };
        self.next_look.set(now + pause.as_nanos() as u64);
        self.words.look_after();
        if let Some(owner) = self.owner.upgrade().filter(|owner| self.words.is_lost() || owner.lacks_file()) {
            owner.renew();
        }
    }

    fn run(mut self) {
        let mut candidate = Candidate::default();
        loop {
            if self.is_over() {
                let Some(owner) = self.owner.upgrade() else { return };
                // What was held is of the file before.
                candidate = Candidate::default();
                self.words = owner.words_to_keep();
                if self.words.is_lost() {
                    drop(owner);
                    std::thread::sleep(NAP);
                }
                continue;
            }
            self.speak();
            self.settings.route.look_around();
            let Some(role) = candidate.role(&self.words) else {
                self.probe();
                std::thread::sleep(between(50, 100));
                continue;
            };
            match session::run(&self, role) {
                Ended::Over => {}
                Ended::Replaced => candidate.step_back(),
                Ended::Untold => {
                    self.words.note_tracking(Tracking::Untold);
                    self.stay(UNTOLD);
                }
                Ended::Lost => self.stay(between(20, 70)),
            }
        }
    }

    /// Sleeps, and is seen meanwhile: nobody else would listen better.
    fn stay(&self, time: Duration) {
        let end = boottime::now() + time.as_nanos() as u64;
        while !self.is_over() {
            let now = boottime::now();
            self.words.note_seen(now);
            self.speak();
            self.settings.route.look_around();
            let left = Duration::from_nanos(end.saturating_sub(now));
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(NAP).min(self.words.staleness() / 4));
        }
    }

    /// Finds out for this process whether a server that was down answers again, so that no caller has to.
    fn probe(&self) {
        let Settings { route, breaker, timeout, .. } = &*self.settings;
        route.probe(breaker, *timeout);
    }
}

/// A time at random, in milliseconds, so that processes do not act together.
fn between(least: u64, most: u64) -> Duration {
    Duration::from_micros(least * 1000 + random::u64() % ((most - least) * 1000))
}
