//! Tags: names for groups of entries, and which entries have them.
//!
//! Ring 1. A tag that an entry has is a link in two lists: of the entries of the tag, the latest first, and of the tags of the
//! entry. So an entry leaves in O(its tags), and the entries of a tag are found in O(their number). A tag is there
//! while an entry has it. Entries without tags are not known here.
//!
//! Tags may be made from what strangers send, so they are hashed with a key of this cache's own.

use std::hash::{BuildHasher, RandomState};

use crate::index::Index;
use crate::slab::{reserve_one, Token};

/// The number of a tag, and what the index calls a token; 0 is none.
type TagId = u32;

/// The number of a link; 0 is none.
type LinkId = u32;

#[derive(Debug, Default)]
struct Tag {
    name: Box<str>,
    hash: u32,
    /// The link of the latest entry; 0 where nobody has the tag.
    latest: LinkId,
    /// While nobody has it, the next free one.
    next_free: TagId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    token: Token,
    tag: TagId,
    /// The tag's entries, in the order of their coming.
    later: LinkId,
    earlier: LinkId,
    /// The entry's next tag; of a link not in use, the next free one.
    next: LinkId,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Tags {
    keys: RandomState,
    /// From a name's hash to its tag.
    index: Index,
    /// The first ones are never used, here and in `links`.
    tags: Vec<Tag>,
    free_tag: TagId,
    links: Vec<Link>,
    free_link: LinkId,
    /// The first link of each entry, indexed by token; it ends with the last entry that had a tag.
    first: Vec<LinkId>,
}

impl Default for Tags {
    fn default() -> Self {
        Tags {
            keys: RandomState::new(),
            index: Index::new(),
            tags: vec![Tag::default()],
            free_tag: 0,
            links: vec![Link::default()],
            free_link: 0,
            first: Vec::new(),
        }
    }
}

impl Tags {
    /// The number of tags that an entry has.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn find(&self, name: &str, hash: u32) -> TagId {
        let mut probe = self.index.probe(hash);
        let mut ids = std::iter::from_fn(|| self.index.next(&mut probe));
        ids.find(|&id| *self.tags[id as usize].name == *name).unwrap_or(0)
    }

    fn hash(&self, name: &str) -> u32 {
        self.keys.hash_one(name) as u32
    }

    /// Whether an entry has the tag.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name, self.hash(name)) != 0
    }

    /// The entries that have the tag, the one that was given it last first.
    pub fn entries(&self, name: &str) -> impl Iterator<Item = Token> + '_ {
        let mut at = self.tags[self.find(name, self.hash(name)) as usize].latest;
        std::iter::from_fn(move || {
            let link = &self.links[at as usize];
            (std::mem::replace(&mut at, link.earlier) != 0).then_some(link.token)
        })
    }

    /// The tags of an entry, in the order in which they were given.
    pub fn of(&self, token: Token) -> impl Iterator<Item = &str> {
        self.links_of(token).map(|link| &*self.tags[link.tag as usize].name)
    }

    fn links_of(&self, token: Token) -> impl Iterator<Item = &Link> {
        let mut at = self.first.get(token as usize).copied().unwrap_or(0);
        std::iter::from_fn(move || {
            let link = &self.links[at as usize];
            (std::mem::replace(&mut at, link.next) != 0).then_some(link)
        })
    }

    /// Gives an entry these tags in the place of those that it has. O(all of them).
    pub fn set(&mut self, token: Token, names: &[&str], limit: usize) {
        self.remove(token);
        for (at, name) in names.iter().enumerate().rev() {
            if !names[..at].contains(name) {
                self.add(token, name, limit);
            }
        }
    }

    fn add(&mut self, token: Token, name: &str, limit: usize) {
        while self.first.len() <= token as usize {
            reserve_one(&mut self.first, limit.saturating_add(1));
            self.first.push(0);
        }
        let tag = self.intern(name);
        let id = self.new_link();
        let earlier = std::mem::replace(&mut self.tags[tag as usize].latest, id);
        if earlier != 0 {
            self.links[earlier as usize].later = id;
        }
        let next = std::mem::replace(&mut self.first[token as usize], id);
        self.links[id as usize] = Link { token, tag, later: 0, earlier, next };
    }

    /// The tag with a name, made if it is not there.
    fn intern(&mut self, name: &str) -> TagId {
        let hash = self.hash(name);
        let found = self.find(name, hash);
        if found != 0 {
            return found;
        }
        let tag = Tag { name: name.into(), hash, latest: 0, next_free: 0 };
        let id = match self.free_tag {
            0 => {
                assert!(self.tags.len() < u32::MAX as usize, "too many tags");
                reserve_one(&mut self.tags, usize::MAX);
                self.tags.push(tag);
                (self.tags.len() - 1) as TagId
            }
            id => {
                self.free_tag = std::mem::replace(&mut self.tags[id as usize], tag).next_free;
                id
            }
        };
        if self.index.is_full() {
            let tags = &self.tags;
            self.index.grow(|id| tags[id as usize].hash);
        }
        self.index.insert(hash, id);
        id
    }

    fn new_link(&mut self) -> LinkId {
        match self.free_link {
            0 => {
                assert!(self.links.len() < u32::MAX as usize, "too many tags");
                reserve_one(&mut self.links, usize::MAX);
                self.links.push(Link::default());
                (self.links.len() - 1) as LinkId
            }
            id => {
                self.free_link = self.links[id as usize].next;
                id
            }
        }
    }

    /// Forgets an entry, and the tags that nobody else has. O(its tags).
    #[inline]
    pub fn remove(&mut self, token: Token) {
        if let Some(first) = self.first.get_mut(token as usize).filter(|first| **first != 0) {
            let first = std::mem::take(first);
            self.remove_links(first);
        }
    }

    fn remove_links(&mut self, first: LinkId) {
        let mut at = first;
        while at != 0 {
            let Link { tag, later, earlier, next, .. } = self.links[at as usize];
            match later {
                0 => self.tags[tag as usize].latest = earlier,
                _ => self.links[later as usize].earlier = earlier,
            }
            if earlier != 0 {
                self.links[earlier as usize].later = later;
            }
            if later == 0 && earlier == 0 {
                self.index.remove(self.tags[tag as usize].hash, tag);
                self.tags[tag as usize] = Tag { next_free: self.free_tag, ..Tag::default() };
                self.free_tag = tag;
            }
            self.links[at as usize] = Link { next: self.free_link, ..Link::default() };
            self.free_link = std::mem::replace(&mut at, next);
        }
    }

    pub fn clear(&mut self) {
        let keys = self.keys.clone();
        *self = Tags { keys, ..Tags::default() };
    }

    /// Checks what must always hold; `is_published` tells which entries there are.
    pub fn validate(&self, is_published: impl Fn(Token) -> bool) {
        self.index.validate(|id| self.tags[id as usize].hash);
        let mut links = 0;
        for tag in self.index.tokens() {
            let (mut at, mut later) = (self.tags[tag as usize].latest, 0);
            assert_ne!(at, 0, "a tag that nobody has");
            while at != 0 {
                let link = &self.links[at as usize];
                assert_eq!((link.tag, link.later), (tag, later));
                assert!(is_published(link.token), "a tag of an entry that has left");
                (later, at) = (at, link.earlier);
                links += 1;
            }
        }
        let of_entries: usize = (1..self.first.len()).map(|token| self.links_of(token as Token).count()).sum();
        assert_eq!(links, of_entries);
        let free = std::iter::successors(Some(self.free_link), |&id| Some(self.links[id as usize].next));
        assert_eq!(links + free.take_while(|&id| id != 0).count() + 1, self.links.len());
    }
}
