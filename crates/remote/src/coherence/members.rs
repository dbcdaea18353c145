//! What this process computes for all hosts: the tokens of its leases, by which others see that it lives.

use std::sync::{Mutex, PoisonError};

use concurrency::{boottime, fork};

use crate::envelope::Token;
use crate::random;

/// The bytes of a token that name the process which took it.
pub const MEMBER: usize = 12;

#[derive(Default)]
struct State {
    /// The count of forks of the process that this is of.
    fork: u64,
    id: [u8; MEMBER],
    /// Tokens of leases, and the boot clock when each was taken.
    held: Vec<(Token, u64)>,
    /// A thread says so on the server.
    is_said: bool,
}

/// A lease that was taken so long ago (nanoseconds) is said to be alive; a younger one is taken for it.
const SAID: u64 = 1_000_000_000;

/// What this process says on the server: its name, and the tokens of what it has computed for long.
pub struct Said {
    pub id: [u8; MEMBER],
    pub tokens: Vec<Token>,
}

/// The leases of one process at one server and namespace. A fork's child begins with none, under another name.
#[derive(Default)]
pub struct Members {
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    state: Mutex<State>,
}

impl Members {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        // (Asked for outside of the lock; used by a new process only.)
        let mut id = [0; MEMBER];
        if fork::exclusive(|| self.state.lock().unwrap_or_else(PoisonError::into_inner).fork) != fork::epoch() {
            fork::watch();
            random::fill(&mut id);
        }
        fork::exclusive(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.fork != fork::epoch() {
                *state = State { fork: fork::epoch(), id, ..State::default() };
            }
            f(&mut state)
        })
    }

    /// A token for a lease of this process.
    pub fn token(&self) -> Token {
        let mut token = [0; size_of::<Token>()];
        random::fill(&mut token);
        token[..MEMBER].copy_from_slice(&self.with(|state| state.id));
        token
    }

    /// Whether a token is one that this process has made.
    pub fn is_own(&self, token: &Token) -> bool {
        self.with(|state| state.id[..] == token[..MEMBER])
    }

    /// A lease may lie on the server from now on.
    pub fn hold(&self, token: Token) {
        let now = boottime::now();
        self.with(|state| state.held.push((token, now)));
    }

    pub fn is_held(&self, token: &Token) -> bool {
        self.with(|state| state.held.iter().any(|held| held.0 == *token))
    }

    /// It does not any more, or is given up. Of a parent's nothing is known here.
    pub fn release(&self, token: &Token) {
        self.with(|state| {
            if let Some(at) = state.held.iter().position(|held| held.0 == *token) {
                state.held.swap_remove(at);
            }
        });
    }

    /// Whether a thread is to begin to say what this process computes. Who is told so says it until [`Members::to_say`] is
    /// `None`, or calls [`Members::fall_silent`] at once.
    pub fn begin_saying(&self) -> bool {
        let now = boottime::now();
        self.with(|state| {
            let begins = !state.is_said && state.held.iter().any(|held| now.saturating_sub(held.1) >= SAID);
            state.is_said |= begins;
            begins
        })
    }

    /// What is to be said; `None`: nothing more, and nobody says it from now on.
    pub fn to_say(&self) -> Option<Said> {
        let now = boottime::now();
        self.with(|state| {
            let old = state.held.iter().filter(|held| now.saturating_sub(held.1) >= SAID).map(|held| held.0);
            let said = Said { id: state.id, tokens: old.collect() };
            state.is_said = !said.tokens.is_empty();
            state.is_said.then_some(said)
        })
    }

    /// Nobody says it.
    pub fn fall_silent(&self) {
        self.with(|state| state.is_said = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_process_and_held_until_it_is_released() {
        let members = Members::default();
        let (first, second) = (members.token(), members.token());
        assert!(first != second && members.is_own(&first) && members.is_own(&second));
        assert!(!Members::default().is_own(&first));
        members.hold(first);
        members.hold(second);
        members.release(&first);
        assert!(!members.is_held(&first) && members.is_held(&second));
    }

    #[test]
    fn only_what_takes_long_is_said_and_by_one_thread() {
        let members = Members::default();
        let token = members.token();
        members.hold(token);
        assert!(!members.begin_saying() && members.to_say().is_none());
        members.with(|state| state.held[0].1 = boottime::now() - SAID);
        assert!(members.begin_saying() && !members.begin_saying());
        let said = members.to_say().unwrap();
        assert_eq!((said.tokens, &said.id[..]), (vec![token], &token[..MEMBER]));
        members.release(&token);
        assert!(members.to_say().is_none() && !members.begin_saying());
    }
}
