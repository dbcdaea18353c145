//! The cache of this process alone.
//!
//! Ring 3.

mod controlled;

pub(super) use self::controlled::begin_controlled;
pub(crate) use self::controlled::ControlledMemory;

use pyo3::prelude::*;

use super::registry::{Choosable, Registered};
use super::{AnyBackend, Backend, Begun, Counters, HitPath, OfServer, Remote, SharedLease, TakeHit, Told};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::reference::PyRef;
use crate::function::call::Vectorcall;
use crate::function::computation::Computation;
use crate::function::control::Wish;
use crate::function::control_checks::TagSource;
use crate::function::entry_points::EntryPoints;
use crate::function::fast_lookup::FastLookup;
use crate::function::fence::Began;
use crate::function::lookup::Found;
use crate::function::option_table::Options;
use crate::function::refreshing::Followed;
use crate::function::reply::Reply;
use crate::function::single_flight::{Miss, Reserved};
use crate::function::slim::{self, Led, Start};
use crate::function::slot_value::{SharedFlight, Value};
use crate::function::state::{CacheState, Put};
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use engine::cache::{Evicted, Expires, Features};
use engine::policy::Kind;

/// What this process has: an entry's value is in its slot, and the order hears of each use.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What the user calls the cache.
    name: Option<Box<str>>,
}

impl Memory {
    pub fn named(name: Option<&str>) -> Self {
        Memory { name: name.map(Box::from) }
    }
}

impl TakeHit for Memory {}

impl HitPath for Memory {
    type Hit = Memory;
    type Miss<'a> = Calling<'a>;

    const STARTS: bool = true;

    #[inline(always)]
    fn start<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Start<Led> {
        slim::start(cached, Calling { cached, arguments }, arguments, view, hot)
    }

    #[inline(always)]
    fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Begun<Calling<'a>> {
        let calling = Calling { cached, arguments };
        if cached.state.single_flight {
            // What reserves the slot looks as well.
            return Begun::Miss(calling, None, None);
        }
        match cached.state.after(view, hot) {
            Found::Value(object) => Begun::Done(Some(object)),
            Found::Failed => Begun::Done(None),
            Found::Restless => Begun::Done(cached.compute(arguments)),
            // Without single-flight there are no computations on record, and without control nothing else.
            found => {
                drop(found);
                Begun::Miss(calling, None, None)
            }
        }
    }
}

impl Backend for Memory {
    fn given_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn bounds(&self, options: &Options) -> (Kind, Option<usize>, Features) {
        let varied =
            options.ttl.of.is_some() || options.jitter != 0.0 || options.cache_exceptions.is_some() || options.tti != 0;
        // What a server has was not stored now.
        let varied = varied || options.remote.is_given();
        let features = Features {
            expires: match options.ttl.is_given() {
                _ if varied => Expires::Varied,
                true => Expires::OneLifetime,
                false => Expires::No,
            },
            idle: (options.tti != 0).then_some(options.tti),
            max_weight: options.max_weight,
            tagged: !matches!(options.tags, TagSource::None),
        };
        (options.strategy, options.max_size.map(|n| n.max(1)), features)
    }

    fn count_miss(&self, _: Python<'_>, state: &CacheState) {
        state.entries.read(|reader| reader.miss());
    }

    fn set(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>) -> bool {
        cached.state.put(view, Value::ready(value.to_owned()), Put::Always)
    }

    fn put(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>, wish: Wish) -> bool {
        let has_tags = wish.tags.as_ref().is_some_and(|tags| !tags.is_empty());
        if cached.state.know_more(wish.ttl.is_some_and(|ttl| ttl.is_some()), has_tags) {
            cached.enter_anew();
        }
        cached.state.set_under_control(view, value, wish)
    }

    fn store<'py>(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Computation,
        _lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        let mode = Put::IfAbsentSince(computation.began);
        let tags = computation.tags.clone();
        let put = |view: &View<'_>| cached.state.put_result(view, value.into(), tags, mode);
        if ticket.get().with_view(ticket.py(), put) {
            Ok(None)
        } else {
            Err(PyErr::fetch(ticket.py()))
        }
    }

    fn began(&self, state: &CacheState, view: &View<'_>) -> Began {
        state.began(view.hash)
    }

    fn is_current(&self, state: &CacheState, view: &View<'_>, computation: &Computation) -> bool {
        state.began_with(view.hash, &computation.tags) == computation.began
    }

    fn counters(&self, _: Python<'_>, state: &CacheState) -> Counters {
        let now = state.now();
        let mut evicted = Evicted::default();
        let counters = state.entries.write(|writer| {
            let (hits, misses) = writer.counters();
            let cache = writer.value;
            cache.expire(now, &mut evicted);
            let (evictions, expirations) = (cache.evictions(), cache.expirations());
            let (size, weight) = (cache.len(), cache.weight());
            let totals = state.load_counters.totals();
            let of_server = OfServer::default();
            Counters { hits, misses, size, evictions, expirations, weight, totals, of_server, of_file: None }
        });
        state.release(evicted);
        counters
    }
}

impl Registered for Memory {
    type Held = Memory;

    fn entry<E: EntryPoints, R: Reply>(&self, cached: &CachedFunction) -> Vectorcall {
        let is_controlled = cached.state.control.is_some();
        match (cached.state.is_idle_bound, cached.state.copies) {
            (false, false) if !is_controlled => E::storing::<Memory, R>(cached),
            (false, false) => E::storing::<ControlledMemory<false, false>, R>(cached),
            (true, false) => E::storing::<ControlledMemory<true, false>, R>(cached),
            (false, true) => E::storing::<ControlledMemory<false, true>, R>(cached),
            (true, true) => E::storing::<ControlledMemory<true, true>, R>(cached),
        }
    }
}

impl Choosable for Memory {
    const NAME: &'static str = "memory";
    const REFUSED: &'static [&'static str] = &[];
    const HAS_OBJECTS: bool = true;

    fn open(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<AnyBackend> {
        Ok(if options.remote.is_given() {
            AnyBackend::Remote(Remote::new(function, options, name, false)?)
        } else {
            AnyBackend::Memory(Memory::named(name))
        })
    }
}

/// A miss of a function whose values live in this process: the wrapped function is called, and that is all.
pub(crate) struct Calling<'a> {
    cached: &'a CachedFunction,
    arguments: &'a Arguments<'a>,
}

impl Miss for Calling<'_> {
    #[inline(always)]
    fn follow(&mut self, view: &View<'_>, reserved: Reserved) -> Option<Option<PyRef>> {
        follow(self.cached, view, reserved)
    }

    #[inline(always)]
    fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Option<PyRef> {
        let (py, state) = (self.arguments.py(), &self.cached.state);
        let result = self.cached.compute(self.arguments);
        state.settle_result(py, reserved, flight, result.as_ref());
        result
    }

    // Not inlined: it would swell the frame of misses that do not come here.
    #[inline(never)]
    fn bring_alone(&mut self, view: &View<'_>, hot: FastLookup) -> Option<PyRef> {
        let began = self.cached.state.began(view.hash);
        let result = self.cached.compute(self.arguments)?;
        self.cached.state.store(view, result.lend(view.py()), hot, began).then_some(result)
    }

    #[inline(always)]
    fn compute(&mut self) -> Option<PyRef> {
        self.cached.compute(self.arguments)
    }

    fn bring_beside(&mut self, view: &View<'_>) -> Option<PyRef> {
        let state = &self.cached.state;
        let began = state.began(view.hash);
        let result = self.cached.compute(self.arguments)?;
        let value = Value::ready(result.clone_ref(view.py()));
        state.put(view, value, Put::IfAbsentSince(began)).then_some(result)
    }
}

/// What a refresh of a missing key brings, where one is under way that this call may wait for.
#[inline(always)]
fn follow(cached: &CachedFunction, view: &View<'_>, reserved: Reserved) -> Option<Option<PyRef>> {
    cached.state.refreshes.get(view.py())?;
    match cached.follow_refresh(view, reserved, |_| None) {
        Followed::Result(result) => Some(result),
        Followed::Nothing | Followed::Over | Followed::Refused | Followed::Late => None,
    }
}
