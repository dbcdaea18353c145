//! A cluster's slots: which node has which, as `CLUSTER SLOTS` and redirections say.

use redis::{cmd, Cmd, ServerError, Value};

use crate::error::{Code, Error};
use crate::keys;
use crate::url::Address;

/// How many slots a cluster has.
pub const SLOTS: usize = 16384;
/// The most masters that are believed in.
const MOST_NODES: usize = 1024;
/// So many hash tags are tried for one whose slot is a node's.
const MOST_TAGS: u32 = 200_000;
/// The slot is nobody's.
const NOBODY: u16 = u16::MAX;

/// A master that has slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub address: Address,
    /// Its name in the cluster; empty if only a redirection has named it.
    pub id: String,
}

/// Which node has which slot.
#[derive(Clone, PartialEq, Eq)]
pub struct Slots {
    nodes: Vec<Node>,
    owners: Box<[u16]>,
}

/// Where a command is to go in the place of the node that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirection {
    /// The slot is another node's from now on.
    Moved(u16, Address),
    /// This command only: the slot is on its way there.
    Ask(Address),
    /// The same node, a moment later: its keys are at two nodes.
    Later,
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// An address as nodes give it; without a host it is that of the node that was asked.
fn address(host: Option<&str>, port: u16, asked: &Address) -> Option<Address> {
    let host = match (host, asked) {
        (Some(host), _) if !host.is_empty() && host != "?" => host.to_lowercase(),
        (_, Address::Tcp(host, _)) => host.clone(),
        (_, Address::Unix(_)) => return None,
    };
    (host.len() <= 255).then_some(Address::Tcp(host, port))
}

impl Slots {
    /// The question.
    pub fn question() -> Cmd {
        cmd("CLUSTER").arg("SLOTS").clone()
    }

    /// Reads an answer to [`Slots::question`] of the node at `asked`.
    ///
    /// # Errors
    /// The node refused, or what it said is no map, or an empty one.
    pub fn read(reply: &Value, asked: &Address) -> Result<Slots, Error> {
        const NONE: Error = Error::Protocol("an answer to CLUSTER SLOTS that is none");
        let ranges = match reply {
            Value::Array(ranges) => ranges,
            Value::ServerError(error) => return Err(Error::Refused(Code::of(error))),
            _ => return Err(NONE),
        };
        let mut slots = Slots { nodes: Vec::new(), owners: vec![NOBODY; SLOTS].into() };
        for range in ranges {
            let Value::Array(range) = range else { return Err(NONE) };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return Err(NONE) };
            let (Ok(first), Ok(last)) = (usize::try_from(*first), usize::try_from(*last)) else { return Err(NONE) };
            let [host, Value::Int(port), rest @ ..] = &master[..] else { return Err(NONE) };
            let port = u16::try_from(*port).map_err(|_| NONE)?;
            let address = address(text(host), port, asked).ok_or(NONE)?;
            let id = rest.first().and_then(text).unwrap_or("");
            // (It stands in keys.)
            if first > last || last >= SLOTS || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(NONE);
            }
            let at = slots.place(Node { address, id: id.to_owned() }).ok_or(NONE)?;
            slots.owners[first..=last].fill(at);
        }
        match slots.nodes.is_empty() {
            true => Err(Error::Protocol("a cluster without slots")),
            false => Ok(slots),
        }
    }

    fn place(&mut self, node: Node) -> Option<u16> {
        let known = self.nodes.iter().position(|known| known.address == node.address);
        let at = known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        (at < MOST_NODES).then_some(at as u16)
    }

    /// The same, but for one slot that has moved.
    pub fn moved(&self, slot: u16, address: Address) -> Slots {
        let mut slots = self.clone();
        if let Some(at) = slots.place(Node { address, id: String::new() }) {
            slots.owners[usize::from(slot) % SLOTS] = at;
        }
        slots
    }

    /// The node that has a slot, if any.
    pub fn owner(&self, slot: u16) -> Option<&Node> {
        self.nodes.get(usize::from(self.owners[usize::from(slot) % SLOTS]))
    }

    /// All masters that have slots.
    pub fn masters(&self) -> Vec<&Node> {
        let mut has = vec![false; self.nodes.len()];
        self.owners.iter().filter(|at| **at != NOBODY).for_each(|at| has[usize::from(*at)] = true);
        self.nodes.iter().zip(has).filter(|(_, has)| *has).map(|(node, _)| node).collect()
    }

    /// Whether both have the same masters, whatever slots these have.
    pub fn has_masters_of(&self, other: &Slots) -> bool {
        let (ours, theirs) = (self.masters(), other.masters());
        ours.len() == theirs.len() && ours.iter().all(|node| theirs.contains(node))
    }

    /// The end of a key that is to lie at this node: its name there, and a hash tag of one of its slots. All processes come
    /// to the same one, and it stays the same while slots move, as long as that one stays.
    pub fn mark(&self, node: &Node) -> Option<String> {
        // (A node that nobody has named cannot be told from another one.)
        let at = self.nodes.iter().position(|known| known == node && !known.id.is_empty())?;
        let is_there = |tag: &u32| self.owners[usize::from(keys::slot(tag.to_string().as_bytes()))] == at as u16;
        (0..MOST_TAGS).find(is_there).map(|tag| format!(":{}{{{tag}}}", node.id))
    }
}

impl Redirection {
    /// What an error says of where to go; `asked`: the node that said it.
    pub fn of(error: &ServerError, asked: &Address) -> Option<Redirection> {
        let place = || {
            let (slot, place) = error.details()?.trim().split_once(' ')?;
            let (host, port) = place.trim().rsplit_once(':')?;
            let slot = slot.parse::<u16>().ok().filter(|slot| usize::from(*slot) < SLOTS)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            Some((slot, address(Some(host), port.parse().ok()?, asked)?))
        };
        match error.code() {
            "MOVED" => place().map(|(slot, address)| Redirection::Moved(slot, address)),
            "ASK" => place().map(|(_, address)| Redirection::Ask(address)),
            "TRYAGAIN" => Some(Redirection::Later),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    fn range(first: i64, last: i64, host: Value, port: i64, id: &str) -> Value {
        let master = vec![host, Value::Int(port), Value::BulkString(id.into())];
        Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(master)])
    }

    fn host(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn who_has_what_is_read_and_an_empty_host_is_the_one_that_was_asked() {
        let reply = Value::Array(vec![
            range(0, 99, host("A.example"), 1, "aa"),
            range(100, 16000, Value::Nil, 2, "bb"),
            range(16001, 16001, host("a.example"), 1, "aa"),
        ]);
        let slots = Slots::read(&reply, &tcp("asked", 9)).unwrap();
        let owner = |slot| slots.owner(slot).map(|node| &node.address);
        assert_eq!(owner(99), Some(&tcp("a.example", 1)));
        assert_eq!(owner(100), Some(&tcp("asked", 2)));
        assert_eq!(owner(16001), Some(&tcp("a.example", 1)));
        assert_eq!(owner(16002), None);
        assert_eq!(slots.masters().len(), 2);
        let moved = slots.moved(16002, tcp("new", 3));
        assert_eq!(moved.owner(16002).unwrap().address, tcp("new", 3));
        assert!(!moved.has_masters_of(&slots) && slots.has_masters_of(&slots.moved(5, tcp("asked", 2))));
        assert_eq!(moved.mark(moved.owner(16002).unwrap()), None, "nobody has named it");
    }

    #[test]
    fn a_mark_lies_at_its_node_and_stays_while_other_slots_move() {
        let reply = Value::Array(vec![range(0, 8000, host("a"), 1, "aa"), range(8001, 16383, host("b"), 2, "bb")]);
        let slots = Slots::read(&reply, &tcp("a", 1)).unwrap();
        for node in slots.masters() {
            let mark = slots.mark(node).unwrap();
            assert!(mark.contains(&node.id));
            let slot = keys::slot(format!("wc1::~hb:0:1{mark}").as_bytes());
            assert_eq!(slots.owner(slot), Some(node));
            let other = if slot == 7 { 8 } else { 7 };
            let moved = slots.moved(other, tcp("b", 2));
            assert_eq!(moved.mark(node), Some(mark));
        }
    }

    #[test]
    fn redirections_are_read() {
        let read = |line: &str| match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => Redirection::of(&error, &tcp("asked", 9)),
            other => panic!("{other:?}"),
        };
        assert_eq!(read("MOVED 7 10.0.0.1:6380"), Some(Redirection::Moved(7, tcp("10.0.0.1", 6380))));
        assert_eq!(read("ASK 7 :6380"), Some(Redirection::Ask(tcp("asked", 6380))));
        assert_eq!(read("MOVED 7 ::1:6380"), Some(Redirection::Moved(7, tcp("::1", 6380))));
        assert_eq!(read("TRYAGAIN later"), Some(Redirection::Later));
        for wrong in
            ["MOVED", "MOVED 16384 a:1", "MOVED 1 a", "MOVED 1 a:70000", "MOVED x a:1", "ERR no", "CLUSTERDOWN x"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            (0..20000i64).prop_map(Value::Int),
            ".{0,5}".prop_map(|text| Value::BulkString(text.into_bytes())),
            Just(Value::Nil),
        ];
        leaf.prop_recursive(3, 40, 5, |inner| prop::collection::vec(inner, 0..5).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn nonsense_is_an_error_or_a_map(reply in value()) {
            if let Ok(slots) = Slots::read(&reply, &tcp("asked", 9)) {
                prop_assert!(!slots.masters().is_empty());
            }
        }
    }
}
