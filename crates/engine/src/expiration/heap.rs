//! A heap of nodes, the earliest first.
//!
//! Ring 1. Four children a node, which lie in one or two cache lines.

use super::node::Node;

/// The number of children of a node.
const CHILDREN: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Heap {
    /// The children of the node `i` are from `4 i + 1` on. None is before its parent.
    nodes: Vec<Node>,
}

impl Heap {
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline(always)]
    pub fn first(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// O(log n).
    pub fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.rise(self.nodes.len() - 1);
    }

    /// Takes the first node out. O(log n).
    pub fn drop_first(&mut self) {
        if !self.nodes.is_empty() {
            self.nodes.swap_remove(0);
            self.sink(0);
        }
    }

    /// Keeps some of the nodes. O(n).
    pub fn retain(&mut self, keep: impl FnMut(&Node) -> bool) {
        self.nodes.retain(keep);
        (0..self.nodes.len().div_ceil(CHILDREN)).rev().for_each(|at| self.sink(at));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Moves a node up to its place.
    fn rise(&mut self, mut at: usize) {
        let node = self.nodes[at];
        while at != 0 {
            let parent = (at - 1) / CHILDREN;
            if node.key() >= self.nodes[parent].key() {
                break;
            }
            self.nodes[at] = self.nodes[parent];
            at = parent;
        }
        self.nodes[at] = node;
    }

    /// Moves a node, if there is one, down to its place.
    fn sink(&mut self, mut at: usize) {
        let Some(&node) = self.nodes.get(at) else { return };
        loop {
            let first = at * CHILDREN + 1;
            let children = first..self.nodes.len().min(first + CHILDREN);
            let Some(child) = children.min_by_key(|&child| self.nodes[child].key()) else { break };
            if self.nodes[child].key() >= node.key() {
                break;
            }
            self.nodes[at] = self.nodes[child];
            at = child;
        }
        self.nodes[at] = node;
    }

    pub fn validate(&self) {
        for at in 1..self.nodes.len() {
            assert!(self.nodes[at].key() >= self.nodes[(at - 1) / CHILDREN].key());
        }
    }
}
