//! Heartbeats: by what push which moment is confirmed.
//!
//! A heartbeat is a write to a key of the listener's own, and the push of that key says that all pushes before it have
//! come. What it confirms is the clock *before it was sent*. So each has a key of its own, and is taken once: a key that
//! expires is told of again, and confirms nothing.
//!
//! **A full server** refuses writes, but not new lifetimes. So a session makes a *reserve* of keys with a long life, and when
//! a heartbeat is refused, goes on with `PEXPIRE` of these in turn. One of them is used again only when both its push and
//! its reply have come; and what it confirms, it does so when both have, the reply saying that the key was there: a push
//! alone could be that of its eviction.

use std::collections::VecDeque;

/// Heartbeats whose time is kept; and keys of the reserve. Numbers below are the reserve's.
pub(super) const KEPT: u64 = 16;
/// While heartbeats are refused, one in so many is tried all the same.
const RETRY: u64 = 8;

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A write of the key with this number, with a short life.
    Beat(u64),
    /// A write of a key of the reserve, with a long life.
    Reserve(u64),
    /// A new long life for a key of the reserve.
    Extend(u64),
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    /// The key was not there.
    Absent,
    /// An error.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    None,
    /// It is there, and nothing of it is under way.
    Idle,
    /// Something was sent (at a moment that counts, or 0), and not both its push and its reply have come.
    Sent {
        at: u64,
        told: bool,
        answered: bool,
    },
}

pub(super) struct Beats {
    /// Of the last ones, number and the clock before it was sent; 0 = taken.
    kept: [(u64, u64); KEPT as usize],
    next: u64,
    reserve: [Reserve; KEPT as usize],
    turn: u64,
    refused: bool,
    owed: VecDeque<Command>,
}

impl Beats {
    pub(super) fn new() -> Beats {
        Beats {
            kept: [(0, 0); KEPT as usize],
            next: KEPT,
            reserve: [Reserve::None; KEPT as usize],
            turn: 0,
            refused: false,
            owed: VecDeque::new(),
        }
    }

    /// What to send at the next turn; [`Beats::sent`] is to be told of each, in order.
    pub(super) fn turn(&mut self) -> Vec<Command> {
        self.turn += 1;
        let mut commands = Vec::new();
        if !self.refused || self.turn % RETRY == 0 {
            commands.push(Command::Beat(self.next));
        }
        if self.refused {
            let idle = (0..KEPT).map(|i| (self.turn + i) % KEPT).find(|k| self.reserve[*k as usize] == Reserve::Idle);
            commands.extend(idle.map(Command::Extend));
        }
        commands
    }

    /// The keys that the reserve lacks.
    pub(super) fn missing(&self) -> Vec<Command> {
        (0..KEPT).filter(|k| self.reserve[*k as usize] == Reserve::None).map(Command::Reserve).collect()
    }

    /// It is being sent; `now` is the clock before.
    pub(super) fn sent(&mut self, command: Command, now: u64) {
        self.owed.push_back(command);
        match command {
            Command::Beat(number) => {
                self.kept[(number % KEPT) as usize] = (number, now);
                self.next = number + 1;
            }
            Command::Reserve(k) => self.reserve[k as usize] = Reserve::Sent { at: 0, told: false, answered: false },
            Command::Extend(k) => self.reserve[k as usize] = Reserve::Sent { at: now, told: false, answered: false },
        }
    }

    /// All keys are gone: the reserve is to be made again.
    pub(super) fn flushed(&mut self) {
        self.reserve = [Reserve::None; KEPT as usize];
    }

    /// The server told of a key: the moment that this confirms.
    pub(super) fn told(&mut self, number: u64) -> Option<u64> {
        if number >= KEPT {
            let (kept, at) = &mut self.kept[(number % KEPT) as usize];
            return if *kept == number { Some(std::mem::take(at)).filter(|at| *at != 0) } else { None };
        }
        let reserve = &mut self.reserve[number as usize];
        let Reserve::Sent { at, answered, .. } = *reserve else { return None };
        *reserve = if answered { Reserve::Idle } else { Reserve::Sent { at, told: true, answered } };
        (answered && at != 0).then_some(at)
    }

    /// The next reply came: to which number, the moment that this confirms, and whether another turn is due at once. `None`:
    /// nothing was asked.
    pub(super) fn replied(&mut self, reply: Reply) -> Option<(u64, Option<u64>, bool)> {
        match self.owed.pop_front()? {
            Command::Beat(number) => {
                let due = reply == Reply::Refused && !self.refused;
                self.refused = reply == Reply::Refused;
                Some((number, None, due))
            }
            Command::Reserve(k) | Command::Extend(k) => {
                let reserve = &mut self.reserve[k as usize];
                let mut confirmed = None;
                *reserve = match *reserve {
                    Reserve::Sent { at, told: true, .. } if reply == Reply::Done => {
                        confirmed = Some(at).filter(|at| *at != 0);
                        Reserve::Idle
                    }
                    Reserve::Sent { at, told: false, .. } if reply == Reply::Done => {
                        Reserve::Sent { at, told: false, answered: true }
                    }
                    _ => Reserve::None,
                };
                Some((k, confirmed, false))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(beats: &mut Beats, now: u64) -> Command {
        let commands = beats.turn();
        assert_eq!(commands.len(), 1);
        beats.sent(commands[0], now);
        commands[0]
    }

    #[test]
    fn the_push_of_a_heartbeat_confirms_the_clock_before_it_and_only_once() {
        let mut beats = Beats::new();
        assert_eq!([beat(&mut beats, 100), beat(&mut beats, 200)], [Command::Beat(16), Command::Beat(17)]);
        assert_eq!(beats.told(18), None, "nobody has sent it");
        assert_eq!(beats.replied(Reply::Done), Some((16, None, false)), "a reply confirms nothing");
        assert_eq!(beats.told(16), Some(100));
        assert_eq!(beats.told(16), None, "its expiry");
        assert_eq!(beats.told(17), Some(200));
        for now in 3..=18 {
            beat(&mut beats, now * 100);
        }
        assert_eq!(beats.told(33), Some(1800));
        beat(&mut beats, 1900);
        beat(&mut beats, 2000);
        assert_eq!(beats.told(19), None, "too old to be known");
    }

    #[test]
    fn a_full_server_is_beaten_by_lifetimes_and_both_push_and_reply_count() {
        let mut beats = Beats::new();
        assert_eq!(beats.missing().len(), 16);
        for k in 0..2 {
            beats.sent(Command::Reserve(k), 1);
            assert_eq!(beats.told(k), None);
            assert_eq!(beats.replied(Reply::Done), Some((k, None, false)));
        }
        assert_eq!(beats.missing().len(), 14);
        beat(&mut beats, 50);
        assert_eq!(beats.replied(Reply::Refused), Some((16, None, true)), "another way, at once");
        let Command::Extend(k) = beat(&mut beats, 100) else { panic!() };
        let Command::Extend(other) = beat(&mut beats, 200) else { panic!() };
        assert_ne!(k, other);
        assert!(beats.turn().is_empty(), "both are under way");
        assert_eq!(beats.told(k), None);
        assert_eq!(beats.replied(Reply::Done), Some((k, Some(100), false)));
        assert_eq!(beats.told(k), None, "again");
        // It was evicted, and told of for that.
        assert_eq!(beats.told(other), None);
        assert_eq!(beats.replied(Reply::Absent), Some((other, None, false)));
        assert_eq!(beats.missing().len(), 15);
        // The reply may also come first.
        let Command::Extend(again) = beat(&mut beats, 300) else { panic!() };
        assert_eq!((again, beats.replied(Reply::Done)), (k, Some((k, None, false))));
        assert_eq!(beats.told(k), Some(300));
        while !beats.turn().contains(&Command::Beat(17)) {}
        beats.sent(Command::Beat(17), 400);
        assert_eq!(beats.replied(Reply::Done), Some((17, None, false)));
        assert_eq!(beats.turn(), [Command::Beat(18)]);
    }
}
