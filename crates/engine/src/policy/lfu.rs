//! Least frequently used: the entry with the fewest uses gives way, of equals the one whose last use is longest ago.
//!
//! Exact, with O(1) operations (Shah, Mitra & Matani, "An O(1) algorithm for implementing the LFU cache eviction
//! scheme", 2010): entries of one count hang in one group, the groups are linked by rising count. An entry counts its
//! insertion as its first use, and its count is forgotten when it leaves. Uses arrive in a group in the order of time,
//! so a group's head is its least recently used entry.

use super::{HitEffect, Policy};
use crate::slab::{reserve_one, Token, NIL};

/// The index of a group; 0 is none.
type GroupId = u32;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    prev: Token,
    next: Token,
    /// The entry's group; 0 while it is not in the order.
    group: GroupId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    count: u64,
    /// The least recently used entry of this count; 0 in a group that is not in use.
    head: Token,
    tail: Token,
    prev: GroupId,
    /// The group with the next larger count; in a group that is not in use, the next free one.
    next: GroupId,
}

#[derive(Clone, Debug)]
pub struct Lfu {
    /// Indexed by token. Every token and group named in a node or group in use is within its array.
    nodes: Vec<Node>,
    /// `groups[0]` is the sentinel of the circular list of groups; its `next` has the smallest count.
    groups: Vec<Group>,
    free: GroupId,
}

impl Default for Lfu {
    fn default() -> Self {
        Lfu { nodes: vec![Node::default()], groups: vec![Group::default()], free: 0 }
    }
}

impl Lfu {
    /// A new empty group with `count`, linked behind `before`.
    fn add_group(&mut self, count: u64, before: GroupId) -> GroupId {
        let next = self.groups[before as usize].next;
        let id = if self.free != 0 {
            let id = self.free;
            self.free = self.groups[id as usize].next;
            id
        } else {
            self.groups.push(Group::default());
            (self.groups.len() - 1) as GroupId
        };
        self.groups[id as usize] = Group { count, head: NIL, tail: NIL, prev: before, next };
        self.groups[before as usize].next = id;
        self.groups[next as usize].prev = id;
        id
    }

    /// The node of a token.
    ///
    /// # Safety
    /// The token was inserted once, or is named by a node or group in use.
    #[inline(always)]
    unsafe fn node(&mut self, token: Token) -> &mut Node {
        debug_assert!((token as usize) < self.nodes.len());
        // SAFETY: the invariant of `nodes`.
        unsafe { self.nodes.get_unchecked_mut(token as usize) }
    }

    /// The group of an id.
    ///
    /// # Safety
    /// The id is 0 or named by a node or group in use.
    #[inline(always)]
    unsafe fn group(&mut self, id: GroupId) -> &mut Group {
        debug_assert!((id as usize) < self.groups.len());
        // SAFETY: the invariant of `nodes`, and groups are never taken away.
        unsafe { self.groups.get_unchecked_mut(id as usize) }
    }

    /// Appends `token` to the group `id` as its latest use.
    ///
    /// # Safety
    /// Both exist; the token is in no group.
    #[inline(always)]
    unsafe fn append(&mut self, token: Token, id: GroupId) {
        // SAFETY: the caller's promise, and the invariant of `nodes`.
        unsafe {
            let group = self.group(id);
            let prev = std::mem::replace(&mut group.tail, token);
            if prev == NIL {
                group.head = token;
            } else {
                self.node(prev).next = token;
            }
            *self.node(token) = Node { prev, next: NIL, group: id };
        }
    }

    /// Takes `token` out of its group, and the group out of the list if that leaves it empty.
    ///
    /// # Safety
    /// The token is in a group.
    #[inline(always)]
    unsafe fn unlink(&mut self, token: Token) {
        // SAFETY: the caller's promise, and the invariant of `nodes`.
        unsafe {
            let Node { prev, next, group } = *self.node(token);
            if prev != NIL {
                self.node(prev).next = next;
            } else {
                self.group(group).head = next;
            }
            if next != NIL {
                self.node(next).prev = prev;
            } else {
                self.group(group).tail = prev;
            }
            if prev == NIL && next == NIL {
                let Group { prev: before, next: after, .. } = *self.group(group);
                self.group(before).next = after;
                self.group(after).prev = before;
                *self.group(group) = Group { next: self.free, ..Group::default() };
                self.free = group;
            }
        }
    }
}

impl Policy for Lfu {
    const HIT: HitEffect = HitEffect::ExclusiveCall;
    const COUNTS_REPEATS: bool = true;

    fn new(_capacity: usize) -> Self {
        Self::default()
    }

    fn insert(&mut self, token: Token, _hash: u64, limit: usize) {
        while self.nodes.len() <= token as usize {
            reserve_one(&mut self.nodes, limit.saturating_add(1));
            self.nodes.push(Node::default());
        }
        debug_assert_eq!(self.nodes[token as usize].group, 0);
        let first = self.groups[0].next;
        let group = if first != 0 && self.groups[first as usize].count == 1 { first } else { self.add_group(1, 0) };
        // SAFETY: room was made for the token, which is in no group; the group exists.
        unsafe { self.append(token, group) };
    }

    // A call of its own: inlined, its registers would be saved on every hit of every strategy.
    #[inline(never)]
    unsafe fn hit(&mut self, token: Token) {
        // SAFETY: the token is in a group (the caller's promise), which names others that exist. The sentinel's count is 0.
        unsafe {
            let own = self.node(token).group;
            let Group { count, head, tail, next, .. } = *self.group(own);
            let larger = self.group(next).count == count + 1;
            if !larger && head == tail {
                // Alone, and nobody has one use more: the group itself moves up.
                self.group(own).count = count + 1;
                return;
            }
            let target = if larger { next } else { self.add_group(count + 1, own) };
            self.unlink(token);
            self.append(token, target);
        }
    }

    fn remove(&mut self, token: Token) {
        if self.nodes.get(token as usize).is_some_and(|n| n.group != 0) {
            // SAFETY: the token is in a group.
            unsafe { self.unlink(token) };
            self.nodes[token as usize] = Node::default();
        }
    }

    fn victim(&mut self) -> Token {
        self.groups[self.groups[0].next as usize].head
    }

    fn victim_beside(&mut self, kept: Token) -> Token {
        let victim = self.victim();
        if victim != kept {
            return victim;
        }
        let Node { next, group, .. } = self.nodes[kept as usize];
        match next {
            // (The sentinel has no entries.)
            NIL => self.groups[self.groups[group as usize].next as usize].head,
            next => next,
        }
    }

    fn validate(&self) {
        let (mut id, mut before) = (self.groups[0].next, 0);
        while id != 0 {
            let group = &self.groups[id as usize];
            assert_eq!(group.prev, before);
            assert!(before == 0 || self.groups[before as usize].count < group.count);
            let (mut token, mut prev) = (group.head, NIL);
            assert_ne!(token, NIL);
            while token != NIL {
                let node = &self.nodes[token as usize];
                assert_eq!((node.prev, node.group), (prev, id));
                (prev, token) = (token, node.next);
            }
            assert_eq!(group.tail, prev);
            (before, id) = (id, group.next);
        }
        assert_eq!(self.groups[0].prev, before);
    }
}
