//! A missed call that leads: its slot and its flight have what comes of it.
//!
//! Ring 3.

use std::sync::Arc;

use super::{Call, Course, Loaded, Loading};
use crate::capi::reference::PyRef;
use crate::function::running::{Beyond, Noted};
use crate::function::single_flight::Reserved;
use crate::function::slot_value::{SharedFlight, Value};
use concurrency::inflight::Outcome;

/// A computation that leads, while it runs.
pub(super) struct Leading<'a> {
    reserved: Option<Reserved>,
    flight: Option<SharedFlight>,
    running: Noted<'a>,
    course: Course,
}

impl<'a> Call<'a> {
    /// Begins as the leader of a key: what came of it already, or what is to be computed.
    #[inline(never)]
    pub(super) fn begin_leading(
        &mut self,
        reserved: Option<Reserved>,
        mut flight: Option<SharedFlight>,
    ) -> Result<Box<Leading<'a>>, Option<PyRef>> {
        let (py, cached) = (self.arguments.py(), self.cached);
        if self.work_out_tags().is_err() {
            cached.state.settle_failure(py, reserved, flight);
            return Err(None);
        }
        // Before anything is looked for in the file.
        let in_file = reserved.map(|_| Beyond::InFile(self.in_file()));
        let running = cached.state.running.note(reserved, self.tags(), in_file);
        match self.load(|| cached.state.free_waiters(reserved, &mut flight)) {
            Loading::Over(loaded) => Err(self.settle(reserved, flight, loaded)),
            Loading::Compute(course) => Ok(Box::new(Leading { reserved, flight, running, course })),
        }
    }

    /// Ends what `begin_leading` has begun, with what the function has returned.
    #[inline(never)]
    #[allow(clippy::boxed_local)] // as it stands in a frame that is to be small
    pub(super) fn end_leading(&mut self, leading: Box<Leading<'a>>, result: Option<PyRef>) -> Option<PyRef> {
        let Leading { reserved, flight, running: _running, course } = *leading;
        let loaded = self.end(course, result);
        self.settle(reserved, flight, loaded)
    }

    fn settle(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>, loaded: Loaded) -> Option<PyRef> {
        let (py, state) = (self.arguments.py(), &self.cached.state);
        match loaded {
            Loaded::Value(value, kept) => {
                let immutable = kept.as_ref().map(|kept| kept.is_immutable());
                self.note = kept.as_ref().map(|kept| kept.note(self.hash));
                state.settle(reserved, flight, kept.map(Value::decoded), || match immutable {
                    Some(true) => Outcome::Value(Arc::new(value.clone_ref(py))),
                    // What each caller must have for its own, those who waited get from the decoded level.
                    Some(false) => Outcome::Abandoned,
                    None if self.is_stale => Outcome::Stale(Box::new(self.request.outcome(value.lend(py)))),
                    None => self.request.outcome(value.lend(py)),
                });
                Some(value)
            }
            Loaded::Failed => {
                state.settle_failure(py, reserved, flight);
                None
            }
        }
    }
}
