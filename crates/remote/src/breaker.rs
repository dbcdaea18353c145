//! The circuit breaker: when a server is not asked, because it did not answer.
//!
//! A failed connect, or three timeouts in a row, opens it. While it is open nobody waits for the server but one *probe* at
//! a time: after 0.1 s, then 0.2 s, 0.4 s … 5 s, each shortened by a random part so that processes do not probe together.
//! Any answer closes it. What must reach the server (invalidations, `set`, clears) asks for no admission: its answer
//! closes the breaker, its failure while the breaker is open changes nothing.
//!
//! [`Breaker`] is a state machine to which the time is told; [`ProcessBreaker`] is the one that a process's threads share.

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use concurrency::{boottime, clock, fork};

use crate::error::{Code, Error};
use crate::random;
use crate::refusal::Refusal;

/// Timeouts in a row that open it.
pub const TIMEOUTS: u32 = 3;
/// The wait before the first probe.
pub const FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a probe.
pub const LONGEST: Duration = Duration::from_secs(5);
/// A probe that has said nothing for so long has died with its thread.
pub const PROBE_LIFE: Duration = Duration::from_secs(10);

/// Whether to ask the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As usual.
    Pass,
    /// As the one who finds out whether it answers again; the number of the probe.
    Probe(u64),
    /// No.
    Deny,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or none that got through the handshake.
    Connect,
    /// No answer in time on a connection that stood.
    Timeout,
}

#[derive(Debug)]
enum State {
    Closed {
        /// In a row.
        timeouts: u32,
    },
    Open {
        /// Failed probes so far.
        failures: u32,
        /// When the next probe may begin.
        next: Instant,
        /// The probe on its way: its number, and when it began.
        probe: Option<(u64, Instant)>,
    },
}

#[derive(Debug)]
pub struct Breaker {
    state: State,
    probes: u64,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { state: State::Closed { timeouts: 0 }, probes: 0 }
    }
}

impl Breaker {
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether a caller may ask the server now. Who gets [`Admission::Probe`] tells how it went.
    pub fn admit(&mut self, now: Instant) -> Admission {
        let State::Open { next, probe, .. } = &mut self.state else { return Admission::Pass };
        let running = probe.is_some_and(|(_, since)| now.saturating_duration_since(since) < PROBE_LIFE);
        if running || now < *next {
            return Admission::Deny;
        }
        self.probes += 1;
        *probe = Some((self.probes, now));
        Admission::Probe(self.probes)
    }

    /// The server answered, be it with an error.
    pub fn answered(&mut self) {
        self.state = State::Closed { timeouts: 0 };
    }

    /// An attempt failed; `random` decides how long until the next probe.
    pub fn failed(&mut self, admission: Admission, failure: Failure, now: Instant, random: u64) {
        let failures = match (&mut self.state, failure) {
            (State::Closed { timeouts }, Failure::Timeout) if *timeouts + 1 < TIMEOUTS => {
                *timeouts += 1;
                return;
            }
            (State::Closed { .. }, _) => 0,
            (State::Open { failures, probe: Some((number, _)), .. }, _) if admission == Admission::Probe(*number) => {
                failures.saturating_add(1)
            }
            // It began before the breaker opened, or had to be tried: nothing new.
            (State::Open { .. }, _) => return,
        };
        self.state = State::Open { failures, next: now + pause(failures, random), probe: None };
    }

    /// Until when nobody may ask; `None`: somebody may now.
    fn denied_until(&self) -> Option<Instant> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open { probe: Some((_, since)), .. } => Some(*since + PROBE_LIFE),
            State::Open { next, .. } => Some(*next),
        }
    }

    /// A probe ended before anything was asked: another one may begin.
    pub fn abandoned(&mut self, admission: Admission) {
        if let State::Open { probe, .. } = &mut self.state {
            if probe.is_some_and(|(number, _)| admission == Admission::Probe(number)) {
                *probe = None;
            }
        }
    }
}

/// The wait before a probe after so many have failed: doubled each time up to [`LONGEST`], less up to a quarter of it.
fn pause(failures: u32, random: u64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    let part = (random >> 32) as u32 as f64 / f64::from(u32::MAX);
    whole.mul_f64(1.0 - part / 4.0)
}

/// The breaker that all threads of a process share. A fork's child begins with a closed one.
#[derive(Debug, Default)]
pub struct ProcessBreaker {
    /// With the count of forks. Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    state: Mutex<(u64, Breaker)>,
    /// The boot clock until which nobody may ask, in the process of this count of forks; 0: somebody may. Relaxed: who reads
    /// half of two states asks the state itself, or is denied for as long as one of them would have denied it.
    denied: AtomicU64,
    denied_in: AtomicU64,
    /// The last [`Refusal`]; 0: none.
    refusal: AtomicU8,
    /// That of the last value that was not stored: that reads are served does not mend it.
    unkept: AtomicU8,
    /// What was refused last. Locked within `fork::exclusive` only.
    refused: Mutex<Option<Error>>,
}

impl ProcessBreaker {
    fn with<R>(&self, f: impl FnOnce(&mut Breaker) -> R) -> R {
        fork::exclusive(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 != fork::epoch() {
                *state = (fork::epoch(), Breaker::default());
            }
            let result = f(&mut state.1);
            self.note_denied(&state.1);
            result
        })
    }

    fn note_denied(&self, breaker: &Breaker) {
        let until = breaker.denied_until().map_or(0, |until| {
            let left = until.saturating_duration_since(Instant::now());
            boottime::now().saturating_add(left.as_nanos() as u64)
        });
        if until != 0 || self.denied.load(Ordering::Relaxed) != 0 {
            self.denied.store(until, Ordering::Relaxed);
            self.denied_in.store(fork::epoch(), Ordering::Relaxed);
        }
    }

    /// Whether [`admit`](Self::admit) would deny it: for who has another way then. One load where the server answers.
    #[inline]
    pub fn is_denied(&self) -> bool {
        let until = self.denied.load(Ordering::Relaxed);
        until != 0 && self.denied_in.load(Ordering::Relaxed) == fork::epoch() && clock::now() < until
    }

    /// Notes what the server has refused.
    pub fn note(&self, error: &Error) {
        if let Some(refusal) = Refusal::of(error) {
            let kept = if refusal.is_of_writes() { &self.unkept } else { &self.refusal };
            self.note_at(kept, refusal, error);
        }
    }

    fn note_at(&self, kept: &AtomicU8, refusal: Refusal, error: &Error) {
        let error = Some(error.clone());
        let former = self.with_refused(|kept| std::mem::replace(kept, error));
        drop(former);
        kept.store(refusal as u8, Ordering::Relaxed);
    }

    /// The server has done what it was asked: what it refused before is mended.
    pub fn served(&self) {
        if self.refusal.load(Ordering::Relaxed) != 0 {
            self.refusal.store(0, Ordering::Relaxed);
        }
    }

    /// Notes whether the server has stored a value; `Some`: what it said where it has not.
    pub fn note_stored(&self, refused: Option<&Code>) {
        match refused {
            Some(code) => {
                let error = Error::Refused(code.clone());
                if let Some(refusal) = Refusal::of(&error) {
                    self.note_at(&self.unkept, refusal, &error);
                }
            }
            None if self.unkept.load(Ordering::Relaxed) != 0 => self.unkept.store(0, Ordering::Relaxed),
            None => {}
        }
    }

    fn with_refused<R>(&self, f: impl FnOnce(&mut Option<Error>) -> R) -> R {
        fork::exclusive(|| f(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What the server has refused last.
    pub fn refused(&self) -> Option<Error> {
        self.with_refused(|kept| kept.clone())
    }

    /// What it has refused last.
    pub fn refusal(&self) -> Option<Refusal> {
        let noted = [&self.refusal, &self.unkept].map(|kept| kept.load(Ordering::Relaxed));
        noted.into_iter().find_map(Refusal::numbered)
    }

    /// See [`Breaker::admit`].
    pub fn admit(&self) -> Admission {
        self.with(|breaker| if breaker.is_open() { breaker.admit(Instant::now()) } else { Admission::Pass })
    }

    /// See [`Breaker::answered`].
    pub fn answered(&self) {
        self.with(Breaker::answered);
    }

    /// See [`Breaker::failed`].
    pub fn failed(&self, admission: Admission, failure: Failure) {
        let random = random::u64();
        self.with(|breaker| breaker.failed(admission, failure, Instant::now(), random));
    }

    /// See [`Breaker::abandoned`].
    pub fn abandoned(&self, admission: Admission) {
        self.with(|breaker| breaker.abandoned(admission));
    }

    pub fn is_open(&self) -> bool {
        self.with(|breaker| breaker.is_open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use proptest::prelude::*;

    /// Of an open breaker: failed probes, the last failure that counted, the probe under way.
    type Open = (u32, Instant, Option<(Admission, Instant)>);

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Admit,
        /// What one of those under way tells: which, and how it went.
        Tell(usize, Option<Failure>),
        Forced(Option<Failure>),
        Abandon(usize),
    }

    fn outcome() -> impl Strategy<Value = Option<Failure>> {
        prop_oneof![Just(None), Just(Some(Failure::Connect)), Just(Some(Failure::Timeout))]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..7000u64).prop_map(Step::Wait),
            Just(Step::Admit),
            Just(Step::Admit),
            (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Tell(which, outcome)),
            outcome().prop_map(Step::Forced),
            any::<usize>().prop_map(Step::Abandon),
        ]
    }

    proptest! {
        /// Against what is promised, said in another way: from the history of answers and failures.
        #[test]
        fn it_opens_and_probes_as_promised(steps in prop::collection::vec(step(), 0..200), random: u64) {
            let mut breaker = Breaker::default();
            let mut now = Instant::now();
            let mut under_way: Vec<Admission> = Vec::new();
            let mut timeouts = 0;
            let mut open: Option<Open> = None;
            for step in steps {
                let told = match step {
                    Step::Wait(milliseconds) => {
                        now += Duration::from_millis(milliseconds);
                        None
                    }
                    Step::Admit => {
                        let is_denied = breaker.denied_until().is_some_and(|until| now < until);
                        let admission = breaker.admit(now);
                        prop_assert_eq!(admission == Admission::Deny, is_denied);
                        match (&mut open, admission) {
                            (None, admission) => prop_assert_eq!(admission, Admission::Pass),
                            (Some((failures, since, probe)), Admission::Probe(_)) => {
                                let whole = (FIRST * 2u32.pow((*failures).min(10))).min(LONGEST);
                                prop_assert!(now - *since >= whole.mul_f64(0.74), "too early");
                                prop_assert!(probe.is_none_or(|(_, began)| now - began >= PROBE_LIFE), "two probes");
                                *probe = Some((admission, now));
                            }
                            (Some((failures, since, probe)), Admission::Deny) => {
                                let whole = (FIRST * 2u32.pow((*failures).min(10))).min(LONGEST);
                                let running = probe.is_some_and(|(_, began)| now - began < PROBE_LIFE);
                                prop_assert!(running || now - *since < whole, "no probe although it is time");
                            }
                            (Some(_), Admission::Pass) => prop_assert!(false, "passed an open breaker"),
                        }
                        if admission != Admission::Deny {
                            under_way.push(admission);
                        }
                        None
                    }
                    Step::Tell(which, outcome) if !under_way.is_empty() => {
                        Some((under_way.swap_remove(which % under_way.len()), outcome))
                    }
                    Step::Forced(outcome) => Some((Admission::Pass, outcome)),
                    Step::Abandon(which) if !under_way.is_empty() => {
                        let admission = under_way.swap_remove(which % under_way.len());
                        breaker.abandoned(admission);
                        if let Some((_, _, probe)) = &mut open {
                            *probe = probe.filter(|(of, _)| *of != admission);
                        }
                        None
                    }
                    Step::Tell(..) | Step::Abandon(_) => None,
                };
                match told {
                    None => {}
                    Some((_, None)) => {
                        breaker.answered();
                        (open, timeouts) = (None, 0);
                    }
                    Some((admission, Some(failure))) => {
                        breaker.failed(admission, failure, now, random);
                        timeouts += u32::from(failure == Failure::Timeout);
                        open = match open {
                            None if failure == Failure::Connect || timeouts == TIMEOUTS => Some((0, now, None)),
                            Some((failures, _, Some((probe, _)))) if probe == admission => Some((failures + 1, now, None)),
                            same => same,
                        };
                    }
                }
                prop_assert_eq!(breaker.is_open(), open.is_some());
            }
        }

        #[test]
        fn pauses_double_up_to_the_longest_and_are_shortened_by_a_quarter_at_most(failures: u32, random: u64) {
            let whole = FIRST.saturating_mul(1u32 << failures.min(10)).min(LONGEST);
            let pause = pause(failures, random);
            prop_assert!(pause <= whole && pause >= whole.mul_f64(0.7499));
        }
    }

    #[test]
    fn threads_of_a_process_share_one_and_only_one_of_them_probes() {
        let breaker = ProcessBreaker::default();
        assert_eq!(breaker.admit(), Admission::Pass);
        assert!(!breaker.is_denied());
        breaker.failed(Admission::Pass, Failure::Connect);
        assert!(breaker.is_open());
        while breaker.admit() == Admission::Deny {
            std::thread::yield_now();
        }
        let admitted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| breaker.admit())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(admitted, [Admission::Deny; 4]);
        assert!(breaker.is_denied());
        breaker.answered();
        assert!(!breaker.is_denied());
        assert_eq!(breaker.admit(), Admission::Pass);
    }

    #[test]
    fn what_the_user_can_mend_is_noted() {
        let breaker = ProcessBreaker::default();
        for unmended in [Error::Timeout, Error::Closed, Error::Refused(Code::new("TRYAGAIN"))] {
            breaker.note(&unmended);
        }
        assert_eq!(breaker.refusal(), None);
        for (code, refusal) in [("NOAUTH", Refusal::Login), ("NOPERM", Refusal::Rights), ("MOVED", Refusal::Cluster)] {
            breaker.note(&Error::Refused(Code::new(code)));
            assert_eq!(breaker.refusal(), Some(refusal));
        }
        // What is read does not mend what is not written.
        breaker.note(&Error::Refused(Code::new("OOM")));
        breaker.served();
        assert_eq!(breaker.refusal(), Some(Refusal::Memory));
        assert_eq!(breaker.refused(), Some(Error::Refused(Code::new("OOM"))));
        breaker.note_stored(None);
        assert_eq!(breaker.refusal(), None);
    }
}
