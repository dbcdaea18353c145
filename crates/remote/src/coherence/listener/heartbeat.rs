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

/// Heartbeats whose time is kept; and keys of the reserve.
pub(super) const KEPT: usize = 16;
/// While heartbeats are refused, one in so many is tried all the same.
const RETRY: u64 = 8;

/// What to send, with the number of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A write of a new key, with a short life.
    Beat(u64),
    /// A write of a new key, with a long life.
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

/// A key of the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reserve {
    number: u64,
    /// The clock before it was sent, if what is under way is to confirm it.
    sent: Option<u64>,
    told: bool,
    answered: bool,
}

impl Reserve {
    /// Whether nothing of it is under way.
    fn is_idle(&self) -> bool {
        self.told && self.answered
    }

    /// What is confirmed now that both have come.
    fn confirmed(&mut self) -> Option<u64> {
        if self.is_idle() {
            self.sent.take()
        } else {
            None
        }
    }
}

pub(super) struct Beats {
    /// Of the last heartbeats, the clock before each was sent; taken by its push.
    kept: [(u64, Option<u64>); KEPT],
    /// The number of the next new key: no two ever have the same, so no push is taken for another key's.
    next: u64,
    reserve: Vec<Reserve>,
    turn: u64,
    refused: bool,
    owed: VecDeque<Command>,
}

impl Beats {
    pub(super) fn new() -> Beats {
        let (kept, reserve, owed) = ([(0, None); KEPT], Vec::new(), VecDeque::new());
        Beats { kept, next: 1, reserve, turn: 0, refused: false, owed }
    }

    /// What to send at the next turn; [`Beats::sent`] is to be told of each, in order.
    pub(super) fn turn(&mut self) -> Vec<Command> {
        self.turn += 1;
        let mut commands = Vec::new();
        if !self.refused || self.turn.is_multiple_of(RETRY) {
            commands.push(Command::Beat(self.next));
            self.next += 1;
        }
        if self.refused {
            // The one that has been idle for longest.
            if let Some(at) = self.reserve.iter().position(Reserve::is_idle) {
                let used = self.reserve.remove(at);
                self.reserve.push(used);
                commands.push(Command::Extend(used.number));
            }
        }
        commands
    }

    /// New keys for what the reserve lacks.
    pub(super) fn missing(&mut self) -> Vec<Command> {
        let first = self.next;
        self.next += (KEPT - self.reserve.len()) as u64;
        (first..self.next).map(Command::Reserve).collect()
    }

    /// It is being sent; `now` is the clock before.
    pub(super) fn sent(&mut self, command: Command, now: u64) {
        self.owed.push_back(command);
        let (told, answered) = (false, false);
        match command {
            Command::Beat(number) => self.kept[number as usize % KEPT] = (number, Some(now)),
            Command::Reserve(number) => self.reserve.push(Reserve { number, sent: None, told, answered }),
            Command::Extend(number) => {
                if let Some(reserve) = self.reserved(number) {
                    *reserve = Reserve { number, sent: Some(now), told, answered };
                }
            }
        }
    }

    fn reserved(&mut self, number: u64) -> Option<&mut Reserve> {
        self.reserve.iter_mut().find(|reserve| reserve.number == number)
    }

    /// All keys are gone: the reserve is to be made again.
    pub(super) fn flushed(&mut self) {
        self.reserve.clear();
    }

    /// The server told of a key: the moment that this confirms.
    pub(super) fn told(&mut self, number: u64) -> Option<u64> {
        if let Some(reserve) = self.reserved(number) {
            reserve.told = true;
            return reserve.confirmed();
        }
        let (kept, sent) = &mut self.kept[number as usize % KEPT];
        if *kept == number {
            sent.take()
        } else {
            None
        }
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
            Command::Reserve(number) | Command::Extend(number) if reply == Reply::Done => {
                let reserve = self.reserved(number);
                let confirmed = reserve.and_then(|reserve| {
                    reserve.answered = true;
                    reserve.confirmed()
                });
                Some((number, confirmed, false))
            }
            Command::Reserve(number) | Command::Extend(number) => {
                self.reserve.retain(|reserve| reserve.number != number);
                Some((number, None, false))
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
        assert_eq!([beat(&mut beats, 100), beat(&mut beats, 200)], [Command::Beat(1), Command::Beat(2)]);
        assert_eq!(beats.told(3), None, "nobody has sent it");
        assert_eq!(beats.replied(Reply::Done), Some((1, None, false)), "a reply confirms nothing");
        assert_eq!(beats.told(1), Some(100));
        assert_eq!(beats.told(1), None, "its expiry");
        assert_eq!(beats.told(2), Some(200));
        for now in 3..=20 {
            beat(&mut beats, now * 100);
        }
        assert_eq!(beats.told(4), None, "too old to be known");
        assert_eq!([beats.told(5), beats.told(20)], [Some(500), Some(2000)]);
    }

    /// A session with a reserve of two keys, in which a heartbeat was refused.
    fn refused() -> Beats {
        let mut beats = Beats::new();
        assert_eq!(beats.missing().len(), KEPT);
        for number in 1..=2 {
            beats.sent(Command::Reserve(number), 1);
            assert_eq!(beats.told(number), None, "that it was made confirms nothing");
            assert_eq!(beats.replied(Reply::Done), Some((number, None, false)));
        }
        beat(&mut beats, 50);
        assert!(matches!(beats.replied(Reply::Refused), Some((_, None, true))), "another way, at once");
        beats
    }

    #[test]
    fn a_full_server_is_beaten_by_lifetimes_and_both_push_and_reply_count() {
        let mut beats = refused();
        assert_eq!([beat(&mut beats, 100), beat(&mut beats, 200)], [Command::Extend(1), Command::Extend(2)]);
        assert!(beats.turn().is_empty(), "both are under way");
        assert_eq!(beats.told(1), None);
        assert_eq!(beats.replied(Reply::Done), Some((1, Some(100), false)));
        assert_eq!(beats.told(1), None, "again");
        // It was evicted, and told of for that.
        assert_eq!(beats.told(2), None);
        assert_eq!(beats.replied(Reply::Absent), Some((2, None, false)));
        assert_eq!(beats.missing().len(), KEPT - 1);
        // The reply may also come first.
        assert_eq!(beat(&mut beats, 300), Command::Extend(1));
        assert_eq!(beats.replied(Reply::Done), Some((1, None, false)));
        assert_eq!(beats.told(1), Some(300));
        let retried =
            (0..RETRY).flat_map(|_| beats.turn()).find(|command| matches!(command, Command::Beat(_))).unwrap();
        beats.sent(retried, 400);
        assert!(matches!(beats.replied(Reply::Done), Some((_, None, false))));
        assert!(matches!(beats.turn()[..], [Command::Beat(_)]), "it takes writes again");
    }

    #[test]
    fn what_a_flush_has_taken_confirms_nothing() {
        let mut beats = refused();
        assert_eq!(beat(&mut beats, 100), Command::Extend(1));
        beats.flushed();
        assert_eq!((beats.told(1), beats.replied(Reply::Done)), (None, Some((1, None, false))));
        let new = beats.missing();
        assert!(new.len() == KEPT && !new.contains(&Command::Reserve(1)) && !new.contains(&Command::Reserve(2)));
    }
}
