//! A computation of a missed call, and what of its result or exception goes into the file.
//!
//! Ring 3.

use super::{Call, Course, Loaded, Loading};
use crate::backend::shared::access::{Put, StoreCondition};
use crate::backend::shared::computing::Computing;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::function::control::Verdict;
use shared::{Lease, Skip, Tags as FileTags};

/// A computation whose result is to be stored, while it runs.
pub(super) struct Storing {
    hold: StoreCondition,
    /// How its tags stood.
    noted: FileTags,
    computing: Option<Computing>,
}

impl Call<'_> {
    /// Begins a computation whose result is to be stored.
    #[inline(never)]
    pub(super) fn begin_storing(&mut self, lease: Option<Lease>) -> Loading {
        let py = self.arguments.py();
        let shm = &self.request.file.shm;
        let began = || StoreCondition::since(&self.cached.state, shm.begin(self.request.hash));
        let hold = lease.map_or_else(began, StoreCondition::Lease);
        // Until the result is stored: pickling it may come here again.
        let computing = matches!(hold, StoreCondition::Lease(_)).then(|| Computing::begin(self.request.hash));
        if self.work_out_tags().is_err() {
            hold.give_up(py, &self.request.file.shm, true);
            return Loading::Over(Loaded::Failed);
        }
        let noted = self.request.shared.noted(py, self.tags());
        Loading::Compute(Course::Store(Box::new(Storing { hold, noted, computing })))
    }

    /// The end of a computation.
    #[inline(never)]
    pub(super) fn end(&mut self, course: Course, result: Option<PyRef>) -> Loaded {
        match (course, result) {
            (Course::Store(storing), result) => self.store(*storing, result),
            (Course::Beside, Some(result)) => {
                self.request.shared.count_skip(Some(self.request.file), Skip::Superseded);
                Loaded::Value(result, None)
            }
            (Course::Beside, None) => Loaded::Failed,
        }
    }

    /// Stores what came of it.
    fn store(&mut self, storing: Storing, result: Option<PyRef>) -> Loaded {
        let Storing { hold, noted, computing: _computing } = storing;
        let (py, shm) = (self.arguments.py(), &self.request.file.shm);
        let Some(result) = result else {
            return self.failed(hold, noted);
        };
        let mut of_result = None;
        if let Some(control) = &self.cached.state.control {
            match control.appraise(result.lend(py), self.tags().to_vec()) {
                Ok(Verdict::Store(terms)) => {
                    self.request.set_terms(control.keeping(&terms, noted));
                    of_result = Some(terms);
                }
                Ok(Verdict::Drop) => {
                    self.request.drop_older(hold, &noted);
                    self.request.encode_for_waiters(result.lend(py));
                    return Loaded::Value(result, None);
                }
                Err(ErrSet) => {
                    hold.give_up(py, shm, true);
                    exceptions::drop_beside(py, result);
                    return Loaded::Failed;
                }
            }
        }
        let value = result.lend(py);
        let stored = of_result.as_ref().map_or(value, |terms| terms.stored(value));
        match self.request.store(stored, hold) {
            Ok(Put::Stored(kept, skipped)) => {
                self.skipped = skipped.or(self.skipped.take());
                Loaded::Value(result, kept)
            }
            Ok(Put::Skipped(skipped)) => {
                self.skipped = Some(skipped);
                Loaded::Value(result, None)
            }
            Err(ErrSet) => {
                // What is raised takes the result's place; it must not meet the end of the result.
                exceptions::drop_beside(py, result);
                Loaded::Failed
            }
        }
    }

    /// The end of a computation that raised: an old value may serve, the exception may be stored.
    #[cold]
    fn failed(&mut self, hold: StoreCondition, noted: FileTags) -> Loaded {
        let py = self.arguments.py();
        let (state, shm) = (&self.cached.state, &self.request.file.shm);
        let Some(control) = state.control.as_ref().filter(|_| exceptions::is_set_shareable(py)) else {
            hold.give_up(py, shm, true);
            return Loaded::Failed;
        };
        let Some(raised) = exceptions::take(py) else {
            hold.give_up(py, shm, false);
            return Loaded::Failed;
        };
        match self.request.spare() {
            Ok(Some(value)) => {
                hold.give_up(py, shm, false);
                state.count_stale_hit();
                self.is_stale = true;
                return Loaded::Value(value, None);
            }
            Ok(None) => (),
            Err(ErrSet) => {
                hold.give_up(py, shm, true);
                return Loaded::Failed;
            }
        }
        match control.store_exception(py, &raised, self.tags().to_vec()) {
            None => hold.give_up(py, shm, false),
            Some(Ok(terms)) => {
                self.request.set_terms(control.keeping(&terms, noted));
                if let Some(shared) = terms.value.as_owned() {
                    match self.request.store_raised(shared, hold) {
                        Ok(skipped) => self.skipped = skipped.or(self.skipped.take()),
                        Err(ErrSet) => return Loaded::Failed,
                    }
                }
            }
            // Interrupted: that is what this caller is to have.
            Some(Err(ErrSet)) => {
                hold.give_up(py, shm, true);
                return Loaded::Failed;
            }
        }
        exceptions::set(py, raised);
        Loaded::Failed
    }
}
