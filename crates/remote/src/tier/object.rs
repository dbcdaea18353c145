//! What a cache object changes by comparison. Unlike a function's values these are answers of their own, so what the server
//! did not say is an error.

use redis::{Pipeline, Value};

use super::compare::{self, Change, Outcome};
use super::lease::ROUNDS;
use super::read::{glance, Glance, Judged};
use super::stamps::{outlive, Stamps};
use super::trip::{number, sound, Must, Trip};
use super::{Call, Draft, Failure, Found, PutError, Tier};
use crate::error::Error;

/// What the server has for one call, or why that is not known.
pub type Read = Result<Option<Box<Found>>, PutError>;

/// What one attempt to add a value has come to.
enum Added {
    Yes,
    No,
    Error(PutError),
    /// Somebody was faster.
    Again,
}

impl Tier {
    /// What the server has for a call; unlike [`Tier::peek`] it says what failed.
    ///
    /// # Errors
    /// The server did not answer, or what it has cannot be read.
    pub fn read(&self, call: &Call) -> Read {
        let glances = self.visit(Must::Try, |trip| Ok(glance(trip, &[call])?.0)).map_err(PutError::Failed)?;
        glances.into_iter().next().map_or(Ok(None), value)
    }

    /// The same for many in one trip, where a failure does no harm: a server that is known not to answer is not asked.
    ///
    /// # Errors
    /// The server did not answer.
    pub fn read_many(&self, calls: &[&Call]) -> Result<Vec<Read>, Failure> {
        let glances = self.visit(Must::May, |trip| Ok(glance(trip, calls)?.0))?;
        Ok(glances.into_iter().map(value).collect())
    }

    /// Takes out what the server has for many calls, values or leases, in two trips: the values that there were. What could not
    /// be read goes, too.
    ///
    /// # Errors
    /// The server did not acknowledge it, or others have changed a key again and again; it may still take effect.
    pub fn take_many(&self, calls: &[&Call]) -> Result<Vec<Option<Box<Found>>>, PutError> {
        let _raise = self.raise(calls.iter().map(|call| call.stripe()));
        let mut taken: Vec<Option<Option<Box<Found>>>> = calls.iter().map(|_| None).collect();
        for _ in 0..MOST_ROUNDS {
            let open: Vec<usize> = (0..calls.len()).filter(|i| taken[*i].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<&Call> = open.iter().map(|i| calls[*i]).collect();
            let (glances, outcomes) = self.visit(Must::Try, |trip| take(trip, &asked)).map_err(PutError::Failed)?;
            for ((i, glance), outcome) in open.into_iter().zip(glances).zip(outcomes) {
                if outcome.map_err(|code| PutError::Failed(Failure::Refused(code)))? {
                    taken[i] = Some(value(glance).unwrap_or(None));
                }
            }
        }
        taken.into_iter().collect::<Option<_>>().ok_or(PutError::Contended)
    }

    /// Puts a value where there is none that `counts`; whether it did. Who computes the key is no value.
    ///
    /// # Errors
    /// See [`PutError`]; one that was not acknowledged may still take effect.
    pub fn add(&self, call: &Call, draft: Draft<'_>, counts: impl Fn(&Found) -> bool) -> Result<bool, PutError> {
        let _raise = self.raise([call.stripe()].into_iter());
        for _ in 0..ROUNDS {
            match self
                .visit(Must::Try, |trip| self.try_to_add(trip, call, &draft, &counts))
                .map_err(PutError::Failed)?
            {
                Added::Yes => return Ok(true),
                Added::No => return Ok(false),
                Added::Error(why) => return Err(why),
                Added::Again => {}
            }
        }
        Err(PutError::Contended)
    }

    fn try_to_add(
        &self,
        trip: &mut Trip<'_>,
        call: &Call,
        draft: &Draft<'_>,
        counts: impl Fn(&Found) -> bool,
    ) -> Result<Added, Error> {
        let (mut glances, mut stamps) = glance(trip, &[call])?;
        let Some(glance) = glances.pop() else { return Err(Error::Protocol("no answer")) };
        let old = match glance.judged {
            Judged::Found(found) if counts(&found) => return Ok(Added::No),
            Judged::Found(found) => Some(found.sealed),
            Judged::Unreadable(_) | Judged::Other => return Ok(Added::Error(PutError::Unreadable)),
            Judged::Refused(code) => return Err(Error::Refused(code)),
            Judged::Lease { .. } | Judged::Void => Some(glance.sealed),
            Judged::Absent => None,
        };
        if stamps.of(call).is_none() {
            stamps = Stamps::make(trip, &Stamps::keys(&[call]))?.0;
        }
        let Some(stamps) = stamps.of(call) else { return Ok(Added::Again) };
        outlive(trip, [(call, &stamps[..], draft.lifetime)].into_iter())?;
        let sealed = match self.seal(call, self.coherence.members().token(), &stamps, draft) {
            Ok(sealed) => sealed,
            Err(why) => return Ok(Added::Error(PutError::Unstorable(why))),
        };
        let (key, lease_key) = (&call.keys.value[..], &call.keys.refresh[..]);
        let done = match &old {
            Some(old) => {
                let (life, fences) = (Some(sealed.life), Some(lease_key));
                one(trip, Change::Replace { key, old, new: &sealed.bytes, life, fences })?
            }
            None => {
                let mut commands = Pipeline::new();
                commands.cmd("DEL").arg(lease_key);
                commands.cmd("SET").arg(key).arg(&sealed.bytes).arg("NX").arg("PX").arg(sealed.life);
                let mut replies = trip.run(&commands)?.into_iter();
                let mut next = || replies.next().unwrap_or(Value::Nil);
                number(next())?;
                sound(next())? == Value::Okay
            }
        };
        Ok(if done { Added::Yes } else { Added::Again })
    }

    /// Puts a value in the place of one that was found, with its tags, if that is still there; whether it was. With its own
    /// body and another lifetime: a `touch`.
    ///
    /// # Errors
    /// As [`Tier::add`].
    pub fn replace(&self, call: &Call, found: &Found, draft: Draft<'_>) -> Result<bool, PutError> {
        self.exchange(call, found, &draft, false)
    }

    /// The same with the lifetime that it has, of which not a moment is lost or won: another body for a counter. The draft's
    /// lifetimes do not count.
    ///
    /// # Errors
    /// As [`Tier::add`].
    pub fn replace_body(&self, call: &Call, found: &Found, draft: Draft<'_>) -> Result<bool, PutError> {
        let draft = Draft { lifetime: found.lifetime, fresh: found.fresh, ..draft };
        self.exchange(call, found, &draft, true)
    }

    fn exchange(&self, call: &Call, found: &Found, draft: &Draft<'_>, keeps_life: bool) -> Result<bool, PutError> {
        let _raise = self.raise([call.stripe()].into_iter());
        let token = self.coherence.members().token();
        let sealed = self.seal(call, token, &found.stamps, draft).map_err(PutError::Unstorable)?;
        let exchanged = |trip: &mut Trip<'_>| {
            if !keeps_life {
                outlive(trip, [(call, &found.stamps[..], draft.lifetime)].into_iter())?;
            }
            let (key, fences) = (&call.keys.value[..], Some(&call.keys.refresh[..]));
            let life = (!keeps_life).then_some(sealed.life);
            one(trip, Change::Replace { key, old: &found.sealed, new: &sealed.bytes, life, fences })
        };
        self.visit(Must::Try, exchanged).map_err(PutError::Failed)
    }

    /// Keeps computations of a call that began before from being stored; a value stays.
    ///
    /// # Errors
    /// As [`Tier::discard`].
    pub fn fence(&self, call: &Call) -> Result<(), Failure> {
        let _raise = self.raise([call.stripe()].into_iter());
        self.visit(Must::Try, |trip| {
            let glance = glance(trip, &[call])?.0.pop();
            match glance.filter(|glance| !matches!(glance.judged, Judged::Found(_))) {
                Some(glance) => one(trip, taking(call, &glance)).map(drop),
                None => Ok(()),
            }
        })
    }

    /// Removes a value that was found, if it is still there; whether it was.
    ///
    /// # Errors
    /// The server did not acknowledge it; it may still take effect.
    pub fn discard(&self, call: &Call, found: &Found) -> Result<bool, Failure> {
        let _raise = self.raise([call.stripe()].into_iter());
        let (key, lease_key) = (&call.keys.value[..], &call.keys.refresh[..]);
        self.visit(Must::Try, |trip| one(trip, Change::Take { key, lease_key, old: &found.sealed }))
    }
}

/// How often what is taken out is looked at anew, because somebody was faster.
const MOST_ROUNDS: usize = 100;

fn take(trip: &mut Trip<'_>, calls: &[&Call]) -> Result<(Vec<Glance>, Vec<Outcome>), Error> {
    let glances = glance(trip, calls)?.0;
    let changes: Vec<Change<'_>> = calls.iter().zip(&glances).map(|(call, glance)| taking(call, glance)).collect();
    let outcomes = compare::make(trip, &changes)?;
    Ok((glances, outcomes))
}

fn taking<'a>(call: &'a Call, glance: &'a Glance) -> Change<'a> {
    let old = match &glance.judged {
        Judged::Found(found) => &found.sealed,
        _ => &glance.sealed,
    };
    Change::Take { key: &call.keys.value, lease_key: &call.keys.refresh, old }
}

/// The value that was read.
fn value(glance: Glance) -> Read {
    match glance.judged {
        Judged::Found(found) => Ok(Some(found)),
        Judged::Unreadable(_) | Judged::Other => Err(PutError::Unreadable),
        Judged::Refused(code) => Err(PutError::Failed(Failure::Refused(code))),
        Judged::Lease { .. } | Judged::Void | Judged::Absent => Ok(None),
    }
}

pub(super) fn one(trip: &mut Trip<'_>, change: Change<'_>) -> Result<bool, Error> {
    compare::make(trip, &[change])?.pop().unwrap_or(Ok(false)).map_err(Error::Refused)
}
