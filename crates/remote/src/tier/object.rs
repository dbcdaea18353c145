//! What a cache object changes by comparison. Unlike a function's values these are answers of their own, so what the server
//! did not say is an error.

use redis::{Pipeline, Value};

use super::compare::{self, Change};
use super::lease::ROUNDS;
use super::read::{glance, Judged};
use super::stamps::Stamps;
use super::store::Sealed;
use super::trip::{sound, Must, Trip};
use super::{Call, Draft, Failure, Found, PutError, Tier};
use crate::error::Error;

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
    pub fn read(&self, call: &Call) -> Result<Option<Box<Found>>, PutError> {
        let glances = self.visit(Must::Try, |trip| Ok(glance(trip, &[call])?.0)).map_err(PutError::Failed)?;
        match glances.into_iter().next().map(|glance| glance.judged) {
            Some(Judged::Found(found)) => Ok(Some(found)),
            Some(Judged::Unreadable(_) | Judged::Other) => Err(PutError::Unreadable),
            _ => Ok(None),
        }
    }

    /// Puts a value where there is none; whether it did. Who computes the key is no value.
    ///
    /// # Errors
    /// See [`PutError`]; one that was not acknowledged may still take effect.
    pub fn add(&self, call: &Call, draft: Draft<'_>) -> Result<bool, PutError> {
        let _raise = self.raise([call.stripe()].into_iter());
        for _ in 0..ROUNDS {
            match self.visit(Must::Try, |trip| self.try_to_add(trip, call, &draft)).map_err(PutError::Failed)? {
                Added::Yes => return Ok(true),
                Added::No => return Ok(false),
                Added::Error(why) => return Err(why),
                Added::Again => {}
            }
        }
        Err(PutError::Contended)
    }

    fn try_to_add(&self, trip: &mut Trip<'_>, call: &Call, draft: &Draft<'_>) -> Result<Added, Error> {
        let (mut glances, mut stamps) = glance(trip, &[call])?;
        let Some(glance) = glances.pop() else { return Err(Error::Protocol("no answer")) };
        let old = match glance.judged {
            Judged::Found(_) => return Ok(Added::No),
            Judged::Unreadable(_) | Judged::Other => return Ok(Added::Error(PutError::Unreadable)),
            Judged::Lease { .. } | Judged::Void => Some(glance.sealed),
            Judged::Absent => None,
        };
        if stamps.of(call).is_none() {
            stamps = Stamps::make(trip, &Stamps::keys(&[call]))?.0;
        }
        let Some(stamps) = stamps.of(call) else { return Ok(Added::Again) };
        let sealed = match self.seal(call, self.coherence.members().token(), &stamps, draft) {
            Ok(sealed) => sealed,
            Err(why) => return Ok(Added::Error(PutError::Unstorable(why))),
        };
        let key = &call.keys.value[..];
        let done = match &old {
            Some(old) => replace(trip, key, old, &sealed)?,
            None => {
                let mut commands = Pipeline::new();
                commands.cmd("SET").arg(key).arg(&sealed.bytes).arg("NX").arg("PX").arg(sealed.life);
                sound(trip.run(&commands)?.pop().unwrap_or(Value::Nil))? == Value::Okay
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
        let _raise = self.raise([call.stripe()].into_iter());
        let token = self.coherence.members().token();
        let sealed = self.seal(call, token, &found.stamps, &draft).map_err(PutError::Unstorable)?;
        let replaced = |trip: &mut Trip<'_>| replace(trip, &call.keys.value, &found.sealed, &sealed);
        self.visit(Must::Try, replaced).map_err(PutError::Failed)
    }

    /// Removes a value that was found, if it is still there; whether it was.
    ///
    /// # Errors
    /// The server did not acknowledge it; it may still take effect.
    pub fn discard(&self, call: &Call, found: &Found) -> Result<bool, Failure> {
        let _raise = self.raise([call.stripe()].into_iter());
        let change = || Change::Remove { key: &call.keys.value, old: &found.sealed };
        self.visit(Must::Try, |trip| one(trip, change()))
    }
}

fn replace(trip: &mut Trip<'_>, key: &[u8], old: &[u8], new: &Sealed) -> Result<bool, Error> {
    one(trip, Change::Replace { key, old, new: &new.bytes, life: new.life })
}

fn one(trip: &mut Trip<'_>, change: Change<'_>) -> Result<bool, Error> {
    compare::make(trip, &[change])?.pop().unwrap_or(Ok(false)).map_err(Error::Refused)
}
