//! The thread that each process with a remote cache has: it listens for the host if it is elected, and looks for the
//! election if it is not.
//!
//! It owns no Python object. It ends with its [`Coherence`] (or when that is of no more use), or with the process;
//! nothing waits for it. [`election`] says who
//! listens, [`session`] is from one consent to the next, [`feed`] one tracked connection of it, [`heartbeat`] what is
//! confirmed and when, [`pushes`] what the server tells; [`voice`] is how others know that this process computes.

mod election;
mod feed;
mod heartbeat;
mod pushes;
mod session;
mod voice;

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

pub(super) fn attend(coherence: &Arc<Coherence>, settings: &Arc<Settings>) {
    let (epoch, running) = (fork::epoch(), &coherence.running);
    // Relaxed: it orders nothing, the thread's own start does.
    let seen = running.load(Ordering::Relaxed);
    if seen == epoch || running.compare_exchange(seen, epoch, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    fork::watch();
    let thread = Thread {
        words: coherence.words().clone(),
        owner: Arc::downgrade(coherence),
        members: coherence.members().clone(),
        settings: settings.clone(),
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
    _running: Running,
}

impl Thread {
    fn is_over(&self) -> bool {
        self.owner.strong_count() == 0 || self.words.is_lost()
    }

    fn run(self) {
        let mut candidate = Candidate::default();
        while !self.is_over() {
            self.speak();
            self.settings.route.look_around();
            let Some(role) = candidate.role(&self.words) else {
                self.probe();
                std::thread::sleep(between(50, 100));
                continue;
            };
            match session::run(&self, role) {
                Ended::Over => return,
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
