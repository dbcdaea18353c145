//! What a user changes: values that are set, invalidations, clears. Each takes effect when the server has it; then, and also if
//! it did not answer, the stripes here are raised, so that nothing older is valid near.

use std::fmt;

use redis::{Pipeline, Value};

use super::call::{Scope, StampKey};
use super::stamps::{outlive, Stamps};
use super::trip::{bytes, number, sound, spared, Must};
use super::{Call, Draft, Failure, Tier};
use crate::coherence::Stripe;
use crate::envelope::{Kind, Unstorable};
use crate::error::{Code, Error};

/// Why a value was not put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The server cannot hold it: the older value is still there, and is to be invalidated.
    Unstorable(Unstorable),
    /// The server did not acknowledge it.
    Failed(Failure),
    /// What lies there cannot be read, so it cannot be told whether it is to stay.
    Unreadable,
    /// Others have changed the key again and again.
    Contended,
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Unstorable(why) => why.fmt(f),
            PutError::Failed(why) => why.fmt(f),
            PutError::Unreadable => f.write_str("what the server has under this key cannot be read here"),
            PutError::Contended => f.write_str("the key is changed by others all the time"),
        }
    }
}

impl std::error::Error for PutError {}

/// Raises stripes when it is dropped, and that of all changes made on this host: whatever became of a write.
pub(super) struct Raise<'a> {
    tier: &'a Tier,
    stripes: Vec<Stripe>,
}

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        // (Where nothing is replaced, nothing is changed.)
        if !self.stripes.is_empty() {
            self.stripes.push(self.tier.here);
            self.tier.coherence.words().raise(&self.stripes);
        }
    }
}

impl Tier {
    pub(super) fn raise(&self, stripes: impl Iterator<Item = Stripe>) -> Raise<'_> {
        Raise { tier: self, stripes: stripes.collect() }
    }

    /// Puts a value over whatever is there; who computes the key cannot store any more.
    ///
    /// # Errors
    /// See [`PutError`].
    pub fn put(&self, call: &Call, draft: Draft<'_>) -> Result<(), PutError> {
        let length = draft.body.len();
        self.put_many(&[(call, draft)]).pop().expect("an answer for each value").map_err(|why| match why {
            PutError::Failed(Failure::Refused(code)) if code.is_of_length() => {
                PutError::Unstorable(Unstorable::Length(length))
            }
            why => why,
        })
    }

    /// The same for many, in two trips.
    pub fn put_many(&self, puts: &[(&Call, Draft<'_>)]) -> Vec<Result<(), PutError>> {
        let _raise = self.raise(puts.iter().map(|(call, _)| call.stripe()));
        let put = self.visit(Must::Try, |trip| {
            let calls: Vec<&Call> = puts.iter().map(|put| put.0).collect();
            let (stamps, renewals) = Stamps::make(trip, &Stamps::keys(&calls))?;
            let named: Vec<_> = calls.iter().map(|call| stamps.of(call).unwrap_or_default()).collect();
            let puts_named = puts.iter().zip(&named);
            outlive(trip, puts_named.map(|((call, draft), stamps)| (*call, &stamps[..], draft.lifetime)))?;
            let mut commands = Pipeline::new();
            renewals.iter().for_each(|renewal| renewal.ask(&mut commands));
            let mut answers: Vec<Option<PutError>> = Vec::with_capacity(puts.len());
            for (call, draft) in puts {
                let token = self.coherence.members().token();
                let Some(named) = stamps.of(call) else {
                    let code = stamps.refused(call, &[]).cloned().unwrap_or_else(|| Code::new("WRONGTYPE"));
                    answers.push(Some(PutError::Failed(Failure::Refused(code))));
                    continue;
                };
                answers.push(match self.seal(call, token, &named, draft) {
                    Ok(sealed) => {
                        // As of an invalidation: who refreshes has begun before it.
                        commands.cmd("DEL").arg(&call.keys.refresh);
                        let set = commands.cmd("SET").arg(&call.keys.value).arg(sealed.bytes);
                        set.arg("PX").arg(sealed.life);
                        None
                    }
                    Err(why) => Some(PutError::Unstorable(why)),
                });
            }
            let mut replies = trip.run(&commands)?.into_iter().skip(renewals.len());
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let answer = |answer: Option<PutError>| match answer {
                Some(why) => Err(why),
                None => match (number(next()), sound(next())) {
                    (Ok(_), Ok(Value::Okay)) => Ok(()),
                    (Ok(_), Ok(_)) => Err(PutError::Failed(Failure::Unanswered(Error::Protocol("an answer to SET")))),
                    (Err(error), _) | (_, Err(error)) => Err(PutError::Failed(Failure::of(error))),
                },
            };
            let answers: Vec<_> = answers.into_iter().map(answer).collect();
            trip.note_unread(answers.iter().find_map(|answer| match answer {
                Err(PutError::Failed(Failure::Refused(code))) => Some(code.clone()),
                _ => None,
            }));
            Ok(answers)
        });
        put.unwrap_or_else(|why| puts.iter().map(|_| Err(PutError::Failed(why.clone()))).collect())
    }

    /// Removes the value of a call, or the lease of who computes it; whether there was a value or an exception.
    ///
    /// # Errors
    /// The server did not acknowledge it; it may still take effect.
    pub fn invalidate(&self, call: &Call) -> Result<bool, Failure> {
        self.invalidate_many(&[call]).map(|mut there| there.pop().unwrap_or(false))
    }

    /// The same for many, in one trip.
    ///
    /// # Errors
    /// As [`Tier::invalidate`]: none of them may be taken for done.
    pub fn invalidate_many(&self, calls: &[&Call]) -> Result<Vec<bool>, Failure> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let _raise = self.raise(calls.iter().map(|call| call.stripe()));
        self.visit(Must::Try, |trip| {
            let mut commands = Pipeline::new();
            for call in calls {
                commands.cmd("GETRANGE").arg(&call.keys.value).arg(0).arg(0);
                // (One by one: of two keys in a slot that moves, one is perhaps there by now.) The refresh's lease first: one
                // that is taken after it is of a computation that has begun after it.
                commands.cmd("DEL").arg(&call.keys.refresh).cmd("DEL").arg(&call.keys.value);
            }
            let mut replies = trip.run(&commands)?.into_iter();
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let mut there = Vec::with_capacity(calls.len());
            for _ in calls {
                // (A key of another kind has no first byte, and goes too.)
                let first = spared(bytes(next()))?;
                number(next())?;
                let removed = number(next())?;
                let was_value = match first {
                    Ok(first) => first.and_then(|first| first.first().copied()).and_then(Kind::of),
                    // Who may not look takes what was there for a value.
                    Err(code) if code.missing().is_some() => Some(Kind::Value),
                    Err(_) => None,
                };
                there.push(removed > 0 && was_value.is_some_and(|kind| kind != Kind::Lease));
            }
            Ok(there)
        })
    }

    /// Voids all values with any of these tags, in every scope of the namespace, and keeps those that are computed from being
    /// stored so that they count.
    ///
    /// # Errors
    /// As [`Tier::invalidate`].
    pub fn invalidate_tags(&self, tags: &[StampKey]) -> Result<(), Failure> {
        self.renew_stamps(&tags.iter().collect::<Vec<_>>())
    }

    /// Voids all values of a scope, likewise.
    ///
    /// # Errors
    /// As [`Tier::invalidate`].
    pub fn clear(&self, scope: &Scope) -> Result<(), Failure> {
        self.clear_all(&[scope])
    }

    /// Voids all values of several scopes, in one trip.
    ///
    /// # Errors
    /// As [`Tier::invalidate`].
    pub fn clear_all(&self, scopes: &[&Scope]) -> Result<(), Failure> {
        self.renew_stamps(&scopes.iter().map(|scope| &scope.generation).collect::<Vec<_>>())
    }

    fn renew_stamps(&self, keys: &[&StampKey]) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let _raise = self.raise(keys.iter().map(|key| key.stripe));
        self.visit(Must::Try, |trip| {
            let mut commands = Pipeline::new();
            keys.iter().for_each(|key| {
                commands.cmd("DEL").arg(&key.key);
            });
            trip.run(&commands)?.into_iter().try_for_each(|reply| number(reply).map(drop))
        })
    }
}
