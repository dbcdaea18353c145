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
                *state = State { fork: fork::epoch(), id, held: Vec::new() };
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

    /// This process's name, and the tokens of leases that were taken so long ago (nanoseconds).
    pub fn older(&self, age: u64) -> ([u8; MEMBER], Vec<Token>) {
        let now = boottime::now();
        self.with(|state| {
            let old = state.held.iter().filter(|held| now.saturating_sub(held.1) >= age).map(|held| held.0);
            (state.id, old.collect())
        })
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
        assert_eq!(members.older(u64::MAX).1, [] as [Token; 0]);
        let (id, old) = members.older(0);
        assert_eq!((old, &id[..]), (vec![second], &second[..MEMBER]));
    }
}
