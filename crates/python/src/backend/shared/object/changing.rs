//! Changes of a cache object's entry if it is still the one that was seen, under the file's lock.
//!
//! Ring 3.

use std::borrow::Cow;

use super::super::buffers::Buffers;
use super::super::Shared;
use super::checks::refuse_value;
use super::{decode, in_file, unavailable, AT_ONCE, LONG};
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::codec::{self, Encoded};
use crate::function::deadline::Keeping;
use crate::function::state::CacheState;
use crate::function::CachedFunction;
use crate::key::View;
use crate::object::exchange::{Entry, Expected, Swap, Swapped};
use ::shared::{Busy, Change, Kind, Present, Sought, Stored as InFile, Terms, NEVER};

impl Shared {
    /// Changes a key's entry as `decide` says, under the file's lock: whether what was to be stored is. It may be asked several
    /// times (the cache was cleared meanwhile, or the lock could not be had at once); its last answer counts, so it says
    /// its outcome anew each time. It is told the present moment.
    fn change<'b>(
        &self,
        state: &CacheState,
        view: &View<'_>,
        decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'b>,
    ) -> Result<bool, ErrSet> {
        let py = view.py();
        let mut decide =
            |present: Option<Present<'_>>, now: u64| decide(present.filter(|there| self.serves(now, &there.hit)), now);
        let mut changed = self.change_in_file(view, &mut decide)?;
        if matches!(changed, Err(Hindered::Lost)) {
            // There may be another file by now.
            changed = self.change_in_file(view, &mut decide)?;
        }
        state.let_go(py, self, None);
        match changed {
            Ok(None | Some(InFile::Done(_))) => Ok(true),
            Ok(Some(_)) => Ok(false),
            Err(_) => Err(unavailable(py)),
        }
    }

    /// `change` in the file that is open.
    fn change_in_file<'b>(
        &self,
        view: &View<'_>,
        decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'b>,
    ) -> Result<Result<Option<InFile>, Hindered>, ErrSet> {
        let py = view.py();
        let Ok(mut request) = self.access(view)? else { return Err(unavailable(py)) };
        let (shm, hash) = (&request.file.shm, request.hash);
        let Buffers { key, read, .. } = &mut *request.buffers;
        let sought = Sought { key, hash, absent_since: None };
        let mut changed = shm.change(&sought, read, AT_ONCE, decide);
        if matches!(changed, Err(Busy)) && !shm.poisoned() {
            changed = in_file(py, || shm.change(&sought, read, LONG, decide));
        }
        Ok(changed.map_err(|Busy| if shm.poisoned() { Hindered::Lost } else { Hindered::Busy }))
    }

    /// A key's entry, as a use: its value, and the entry. `Ok(None)` where there is none; one whose value this process cannot
    /// read (of a class that it does not have) is dropped, as nobody could change it otherwise.
    pub(crate) fn see_object(&self, state: &CacheState, view: &View<'_>) -> Result<Option<(PyRef, Entry)>, ErrSet> {
        while let Some((value, entry)) = self.see_readable(view)? {
            if let Some(value) = value {
                return Ok(Some((value, entry)));
            }
            let unreadable = Condition::of(&Expected::Entry(&entry));
            let mut is_gone = false;
            self.change(state, view, &mut |present, _| {
                is_gone = unreadable.is(present.as_ref());
                if is_gone {
                    Change::Remove
                } else {
                    Change::Nothing
                }
            })?;
            if is_gone {
                break;
            }
        }
        Ok(None)
    }

    /// A key's entry, as a use, with its value if that can be read.
    fn see_readable(&self, view: &View<'_>) -> Result<Option<(Option<PyRef>, Entry)>, ErrSet> {
        let py = view.py();
        let Ok(mut request) = self.access(view)? else { return Err(unavailable(py)) };
        request.file.forget_last();
        let buffers = &mut *request.buffers;
        let hit = request.file.shm.get(&buffers.key, &mut buffers.read);
        let Some(hit) = hit.filter(|hit| self.serves(request.file.shm.now(), hit)) else {
            return Ok(None);
        };
        let value = decode(py, buffers.read.value())?;
        Ok(Some((value, Entry::File(hit.slot, hit.word, hit.generation))))
    }

    /// Stores a value if the key's entry is the expected one; see `CacheObject::swap`.
    pub(crate) fn swap_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        swap: Swap<'_>,
    ) -> Result<Swapped, ErrSet> {
        let py = view.py();
        let Swap { value, wish, keeps, expected } = swap;
        self.check_key(view)?;
        let renews = wish.ttl.is_some();
        let (stored, keeping) = self.admit(cached, value, wish)?;
        let mut bytes = Vec::new();
        match codec::encode_value(stored.lend(py), &mut bytes) {
            Ok(_) => (),
            Err(Encoded::Failed) => return Err(ErrSet),
            Err(_) => return Err(refuse_value(value)),
        }
        let expected = Condition::of(expected);
        let mut swapped = Swapped::Changed;
        let fits = self.change(&cached.state, view, &mut |present, now| {
            swapped = Swapped::Changed;
            if !expected.is(present.as_ref()) {
                return Change::Nothing;
            }
            swapped = Swapped::Stored;
            let terms = keeping.terms(now);
            let terms = match present.filter(|_| keeps) {
                Some(present) if renews => Terms { fresh: terms.fresh, end: terms.end, ..present.terms },
                Some(present) => present.terms,
                None => terms,
            };
            match expected {
                Condition::Entry(..) => Change::Exchange(Cow::Borrowed(&bytes), terms),
                Condition::Anything | Condition::Absent => Change::Store(Some(Cow::Borrowed(&bytes)), terms),
            }
        })?;
        if swapped == Swapped::Stored {
            cached.forget_flights(view)?;
        }
        Ok(if fits { swapped } else { Swapped::Unfit })
    }

    /// Takes a key's entry out if it is the expected one: the bytes of its value.
    pub(crate) fn take_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        expected: &Expected<'_>,
    ) -> Result<Option<Vec<u8>>, ErrSet> {
        let expected = Condition::of(expected);
        let mut taken = None;
        self.change(&cached.state, view, &mut |present, _| {
            taken = None;
            if !expected.is(present.as_ref()) {
                return Change::Nothing;
            }
            taken = present.map(|present| present.value.to_vec());
            Change::Remove
        })?;
        Ok(taken)
    }

    /// Gives a key's entry another lifetime: the bytes of its value. See `CacheState::renew_entry`.
    pub(crate) fn renew_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        ttl: Option<u64>,
        if_it_ends: bool,
    ) -> Result<Option<Vec<u8>>, ErrSet> {
        let (ttl, window) = match &cached.state.control {
            Some(control) => control.span(ttl),
            None => (ttl, 0),
        };
        let new = Keeping { ttl, window, kind: Kind::Value, tags: Default::default() };
        let mut found = None;
        self.change(&cached.state, view, &mut |present, now| {
            found = present.map(|present| present.value.to_vec());
            let Some(present) = present else { return Change::Nothing };
            if if_it_ends && present.terms.end == NEVER {
                return Change::Nothing;
            }
            let new = new.terms(now);
            Change::Store(None, Terms { fresh: new.fresh, end: new.end, ..present.terms })
        })?;
        Ok(found)
    }

    /// Adds to an int that is small enough for a word; `Ok(None)` where it is not, or no int.
    pub(crate) fn add_to_object(
        &self,
        cached: &CachedFunction,
        view: &View<'_>,
        delta: i64,
        default: Option<i64>,
        ttl: Option<Option<u64>>,
    ) -> Result<Sum, ErrSet> {
        // A small int weighs what any other does: nobody is asked.
        let ttl = ttl.unwrap_or_else(|| self.ttl.map(|ttl| ttl.as_nanos() as u64));
        let (span, window) = match &cached.state.control {
            Some(control) => control.span(ttl),
            None => (ttl, 0),
        };
        let new = Keeping { ttl: span, window, kind: Kind::Value, tags: Default::default() };
        let mut sum = Sum::Other;
        let fits = self.change(&cached.state, view, &mut |present, now| {
            sum = Sum::Other;
            let (old, terms) = match &present {
                Some(present) => (codec::small_int(present.value), present.terms),
                None if default.is_none() => {
                    sum = Sum::Absent;
                    return Change::Nothing;
                }
                None => (default, new.terms(now)),
            };
            match old.and_then(|old| old.checked_add(delta)) {
                Some(new) => {
                    sum = Sum::Is(new);
                    Change::Store(Some(Cow::Owned(codec::int_bytes(new))), terms)
                }
                None => Change::Nothing,
            }
        })?;
        if matches!(sum, Sum::Is(_)) {
            cached.forget_flights(view)?;
            if !fits {
                return Err(unavailable(view.py()));
            }
        }
        Ok(sum)
    }
}

/// Why nothing was done.
enum Hindered {
    /// The lock could not be had.
    Busy,
    /// The file is of no use to this process any more.
    Lost,
}

/// What adding to an int came to.
pub(crate) enum Sum {
    Is(i64),
    /// There is none, and no default.
    Absent,
    /// It is no int, or too long a one.
    Other,
}

/// [`Expected`], without what is Python's.
enum Condition {
    Anything,
    Absent,
    Entry(u64, u64, u64),
}

impl Condition {
    fn of(expected: &Expected<'_>) -> Self {
        match expected {
            Expected::Anything => Condition::Anything,
            Expected::Entry(Entry::File(slot, word, generation)) => Condition::Entry(*slot, *word, *generation),
            Expected::Absent | Expected::Entry(_) => Condition::Absent,
        }
    }

    fn is(&self, present: Option<&Present<'_>>) -> bool {
        match (self, present) {
            (Condition::Anything, _) | (Condition::Absent, None) => true,
            (Condition::Entry(slot, word, generation), Some(Present { hit, .. })) => {
                (hit.slot, hit.word, hit.generation) == (*slot, *word, *generation)
            }
            _ => false,
        }
    }
}
