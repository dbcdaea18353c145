//! Tags' and generations' stamps: reading them, and making those that are absent.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::call::{StampKey, MOST_LIFE};
use super::trip::{bytes, number, sound, spared, Trip};
use super::Call;
use crate::envelope::Stamp;
use crate::error::{Code, Error};
use crate::random;

/// What the server has under keys of stamps, as read in one trip.
#[derive(Default)]
pub(super) struct Stamps {
    known: HashMap<Vec<u8>, Option<[u8; 16]>>,
    /// What it said of those that it did not give.
    refused: HashMap<Vec<u8>, Code>,
}

/// A stamp of another length is nobody's, and equals none.
fn stamp(bytes: Option<Vec<u8>>) -> Option<[u8; 16]> {
    bytes.and_then(|bytes| bytes.try_into().ok())
}

impl Stamps {
    /// The keys of these calls, each once.
    pub(super) fn keys<'a>(calls: &[&'a Call]) -> Vec<(&'a StampKey, u64)> {
        let mut keys: Vec<(&StampKey, u64)> = Vec::new();
        for call in calls {
            let life = u64::try_from(call.scope.life.as_millis()).unwrap_or(u64::MAX);
            for key in &call.stamps {
                match keys.iter_mut().find(|known| known.0.key == key.key) {
                    Some(known) => known.1 = known.1.max(life),
                    None => keys.push((key, life)),
                }
            }
        }
        keys
    }

    /// Adds the command that reads a key.
    pub(super) fn ask(commands: &mut Pipeline, key: &StampKey) {
        commands.cmd("GET").arg(&key.key);
    }

    pub(super) fn note(&mut self, key: &StampKey, reply: Value) -> Result<(), Error> {
        match spared(bytes(reply))? {
            Ok(found) => _ = self.known.insert(key.key.clone(), stamp(found)),
            Err(code) => _ = self.refused.insert(key.key.clone(), code),
        }
        Ok(())
    }

    /// What the server said of a call's stamps, or of further ones, if it did not give them.
    pub(super) fn refused<'a>(&'a self, call: &'a Call, more: &'a [StampKey]) -> Option<&'a Code> {
        call.stamps.iter().chain(more).find_map(|key| self.refused.get(&key.key))
    }

    /// Whether a key has been read.
    pub(super) fn has(&self, key: &StampKey) -> bool {
        self.known.contains_key(&key.key)
    }

    pub(super) fn get(&self, key: &StampKey) -> Option<[u8; 16]> {
        self.known.get(&key.key).copied().flatten()
    }

    /// Makes those that are absent, and reads all anew; the keys that are to be renewed, with their life in milliseconds.
    pub(super) fn make(trip: &mut Trip<'_>, keys: &[(&StampKey, u64)]) -> Result<(Stamps, Vec<Renewal>), Error> {
        let mut commands = Pipeline::new();
        for (key, life) in keys {
            let mut new = [0; 16];
            random::fill(&mut new);
            commands.cmd("SET").arg(&key.key).arg(&new).arg("NX").arg("PX").arg(*life);
            Stamps::ask(&mut commands, key);
            commands.cmd("PTTL").arg(&key.key);
        }
        let mut replies = trip.run(&commands)?.into_iter();
        let (mut stamps, mut renewals) = (Stamps::default(), Vec::new());
        for (key, life) in keys {
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let made = spared(sound(next()))?;
            stamps.note(key, next())?;
            if let (Err(code), None) = (made, stamps.get(key)) {
                stamps.refused.insert(key.key.clone(), code);
            }
            if let Ok(left) = spared(number(next()))? {
                Renewal::note(&mut renewals, key, *life, left);
            }
        }
        Ok((stamps, renewals))
    }

    /// Those of a call, for an envelope; `None` if one is absent.
    pub(super) fn of(&self, call: &Call) -> Option<Vec<Stamp<'static>>> {
        call.stamps.iter().map(|key| Some(Stamp { tag: key.tag.clone().into(), stamp: self.get(key)? })).collect()
    }

    /// Whether all that an envelope names are what the server has. One without its function's generation is nobody's.
    pub(super) fn count(&self, call: &Call, named: &[Stamp<'_>]) -> bool {
        named.iter().any(|stamp| stamp.tag.is_empty())
            && named.iter().all(|stamp| match self.key(call, &stamp.tag) {
                Some(present) => present == stamp.stamp,
                None => false,
            })
    }

    fn key(&self, call: &Call, tag: &str) -> Option<[u8; 16]> {
        match call.stamps.iter().find(|key| key.tag == tag) {
            Some(key) => self.get(key),
            None => self.get(&StampKey::of_tag(&call.scope.keys, tag)),
        }
    }

    /// The keys of a call's own stamps, and of the tags that an envelope names beside.
    pub(super) fn named(call: &Call, named: &[Stamp<'_>]) -> Vec<StampKey> {
        let others = named.iter().filter(|stamp| call.stamps.iter().all(|key| key.tag != stamp.tag));
        let others = others.map(|stamp| StampKey::of_tag(&call.scope.keys, &stamp.tag));
        call.stamps.iter().cloned().chain(others).collect()
    }

    /// The keys of tags that an envelope names and nobody has read.
    pub(super) fn unknown(&self, call: &Call, named: &[Stamp<'_>]) -> Vec<StampKey> {
        let named = named.iter().filter(|stamp| !stamp.tag.is_empty());
        let named = named.filter(|stamp| call.stamps.iter().all(|key| key.tag != stamp.tag));
        let keys = named.map(|stamp| StampKey::of_tag(&call.scope.keys, &stamp.tag));
        keys.filter(|key| !self.has(key)).collect()
    }
}

/// A stamp's key whose life is half over.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    pub(super) key: Vec<u8>,
    /// In milliseconds.
    pub(super) life: u64,
}

impl Renewal {
    /// Adds a key, if less than half of its life is left (milliseconds).
    pub(super) fn note(renewals: &mut Vec<Renewal>, key: &StampKey, life: u64, left: i64) {
        if left < (life / 2) as i64 && renewals.iter().all(|renewal| renewal.key != key.key) {
            renewals.push(Renewal { key: key.key.clone(), life });
        }
    }

    pub(super) fn ask(&self, commands: &mut Pipeline) {
        commands.cmd("PEXPIRE").arg(&self.key).arg(self.life);
    }
}

/// Has stamps live at least as long as values that name them, whose lifetime is longer than those for which their scope makes
/// stamps. (Without a word where that is not so, as with functions.)
pub(super) fn outlive<'a>(
    trip: &mut Trip<'_>,
    values: impl Iterator<Item = (&'a Call, &'a [Stamp<'static>], Duration)>,
) -> Result<(), Error> {
    let mut needs: Vec<(Vec<u8>, u64)> = Vec::new();
    for (call, stamps, lifetime) in values.filter(|(call, _, lifetime)| *lifetime > call.scope.life / 2) {
        let life = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        for stamp in stamps {
            let key = if stamp.tag.is_empty() {
                call.scope.generation.key.clone()
            } else {
                StampKey::of_tag(&call.scope.keys, &stamp.tag).key
            };
            match needs.iter_mut().find(|need| need.0 == key) {
                Some(need) => need.1 = need.1.max(life),
                None => needs.push((key, life)),
            }
        }
    }
    let (mut look, mut renew) = (Pipeline::new(), Pipeline::new());
    for (key, _) in &needs {
        look.cmd("PTTL").arg(key);
    }
    for ((key, life), left) in needs.iter().zip(trip.run(&look)?) {
        if number(left)? < i64::try_from(*life).unwrap_or(i64::MAX) {
            renew.cmd("PEXPIRE").arg(key).arg(life.saturating_mul(2).min(MOST_LIFE.as_millis() as u64));
        }
    }
    trip.run(&renew).map(drop)
}
