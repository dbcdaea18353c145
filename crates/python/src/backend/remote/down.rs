//! A call whose server is known not to answer: it computes, and keeps the result near for a while.
//!
//! Ring 3. The short way: the key has no bytes made of it, the interpreter is not left, nothing is encoded. What is kept does not
//! depend on the value's own key, which is not known here, but on whatever processes of this host change
//! ([`Tier::here`](remote::tier::Tier::here)); so one cover serves many calls. Not for a cache with a file of the host,
//! whose processes wait for each other by the key's bytes, nor for one with `stale_if_error`, whose values serve for longer
//! than others change.

use std::sync::{Arc, Mutex, PoisonError};

use super::bring::Brought;
use super::call::RemoteCalling;
use super::near::Covered;
use super::opened::Opened;
use super::values::covered_terms;
use super::Remote;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::control::{Tags, Terms, Verdict};
use crate::function::single_flight::Reserved;
use crate::function::slot_value::{Refresh, SharedFlight, Special, Value};
use concurrency::clock;
use concurrency::inflight::Outcome;

/// The cover of what is computed while the server does not answer. The lock is a leaf, of attached threads.
#[derive(Default)]
pub(super) struct Down(Mutex<Option<Arc<Covered>>>);

/// One cover serves for this part of the staleness.
const PART: u64 = 16;

impl Down {
    /// One from before now, which holds.
    fn cover(&self, opened: &Opened) -> Arc<Covered> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let least = clock::now().saturating_add(opened.staleness - opened.staleness / PART);
        if let Some(covered) = kept.as_ref().filter(|covered| covered.until() >= least && covered.holds()) {
            return Arc::clone(covered);
        }
        let (cover, stripe) = opened.tier.here();
        let covered = Covered::new(opened, cover, &[stripe]);
        let former = kept.replace(Arc::clone(&covered));
        drop(kept);
        drop(former);
        // Whoever listens finds out when the server answers again.
        opened.tier.attend();
        covered
    }
}

impl Remote {
    /// Under what a call's result is kept that goes the short way; `None`: it asks the server.
    #[inline]
    pub(super) fn down(&self, opened: &Opened) -> Option<Arc<Covered>> {
        if !opened.tier.is_denied() || self.host.is_some() || self.spare != 0 {
            return None;
        }
        // What the server refuses is said on the long way.
        if self.untold_refusal(opened).is_some() {
            return None;
        }
        Some(self.down.cover(opened))
    }
}

impl RemoteCalling<'_> {
    /// Computes for this process alone, and settles what was reserved, where nobody is asked about the result. `Err`: what
    /// is left to be settled of a computation that raised.
    pub(super) fn lead_here(
        &mut self,
        reserved: Option<Reserved>,
        flight: &Option<SharedFlight>,
        covered: Arc<Covered>,
    ) -> Result<PyRef, Brought> {
        let py = self.arguments.py();
        self.remote.count_down();
        let Some(result) = self.cached.compute(self.arguments) else {
            return Err(self.failed_here(&Tags::new(), covered));
        };
        let object = result.clone_ref(py);
        let special = Special { object, is_exception: false, refresh: Refresh::default(), covered: Some(covered) };
        let outcome = || Outcome::Value(Arc::new(result.clone_ref(py)));
        self.cached.state.settle(reserved, flight.clone(), Some(Value::special(Box::new(special))), outcome);
        Ok(result)
    }

    /// Computes for this process alone.
    pub(super) fn compute_here(&mut self, tags: &Tags, covered: Arc<Covered>) -> Brought {
        self.remote.count_down();
        match self.cached.compute(self.arguments) {
            Some(result) => match self.keep_here(&result, tags, covered) {
                Ok(terms) => Brought::Value(result, terms),
                Err(ErrSet) => {
                    exceptions::drop_beside(self.arguments.py(), result);
                    Brought::Failed
                }
            },
            None => self.failed_here(tags, covered),
        }
    }

    fn keep_here(&self, result: &PyRef, tags: &Tags, covered: Arc<Covered>) -> Result<Option<Terms>, ErrSet> {
        let py = self.arguments.py();
        let Some(control) = &self.cached.state.control else { return Ok(None) };
        match control.appraise(result.lend(py), tags.clone())? {
            Verdict::Store(terms) => covered_terms(py, control, terms, || covered),
            Verdict::Drop => Ok(None),
        }
    }

    #[cold]
    fn failed_here(&self, tags: &Tags, covered: Arc<Covered>) -> Brought {
        let py = self.arguments.py();
        let (Some(control), Some(raised)) = (&self.cached.state.control, exceptions::take(py)) else {
            return Brought::Failed;
        };
        if !exceptions::is_shareable(py, &raised) {
            exceptions::set(py, raised);
            return Brought::Failed;
        }
        // An old value that serves goes before it.
        let stored = if self.spare.is_none() { control.store_exception(py, &raised, tags.clone()) } else { None };
        let kept = match stored {
            None => Ok(None),
            Some(terms) => terms.and_then(|terms| covered_terms(py, control, terms, || covered)),
        };
        match kept {
            Ok(kept) => {
                exceptions::set(py, raised);
                Brought::Raised(kept)
            }
            Err(ErrSet) => Brought::Failed,
        }
    }
}
