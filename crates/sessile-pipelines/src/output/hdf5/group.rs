//! Groups: a heap of names, and a B-tree of nodes that hold the members in the order of their names.

use std::io;

use super::object::{Messages, SYMBOL_TABLE, UNDEFINED};
use super::{Positioned, SUPERBLOCK_BYTES};
use crate::output::key_index::Sorted;

/// Half the members of a node.
const LEAF_HALF: usize = 32;

/// Half the children of a node of the tree.
const TREE_HALF: usize = 64;

const LEAF_MEMBERS: usize = 2 * LEAF_HALF;
const TREE_CHILDREN: usize = 2 * TREE_HALF;
const MEMBER_BYTES: usize = 40;
const LEAF_BYTES: usize = 8 + LEAF_MEMBERS * MEMBER_BYTES;
const TREE_BYTES: usize = 24 + TREE_CHILDREN * 8 + (TREE_CHILDREN + 1) * 8;
const HEAP_BYTES: u64 = 32;

/// Names in a heap are padded to a multiple of this; the empty name comes first.
const NAME_ALIGNMENT: u64 = 8;

/// A heap has no list of free pieces.
const NO_FREE_PIECES: u64 = 1;

/// A group that was written.
pub(super) struct Group {
    /// Of its header.
    pub(super) address: u64,
    tree: u64,
    heap: u64,
}

/// A node of the tree: where it is and the heap's offset of the last name below it.
struct Node {
    address: u64,
    last_name: u64,
}

fn name_bytes(name: &[u8]) -> u64 {
    (name.len() as u64 + 1).next_multiple_of(NAME_ALIGNMENT)
}

/// Writes a group; the value of a member is the address of its header.
pub(super) fn write(out: &mut Positioned, members: &mut Sorted) -> io::Result<Group> {
    out.align()?;
    let names = out.position;
    out.put(&[0; NAME_ALIGNMENT as usize])?;
    let mut reader = members.read()?;
    while let Some(member) = reader.next()? {
        let mut name = member.key;
        name.resize(name_bytes(&name) as usize, 0);
        out.put(&name)?;
    }
    let heap = out.position;
    let mut header = b"HEAP\0\0\0\0".to_vec();
    for number in [heap - names, NO_FREE_PIECES, names] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    debug_assert_eq!(header.len() as u64, HEAP_BYTES);
    out.put(&header)?;

    let mut level = 0;
    let mut nodes = leaves(out, members)?;
    let tree = loop {
        nodes = tree_level(out, level, &nodes)?;
        if let [root] = &nodes[..] {
            break root.address;
        }
        level += 1;
    };

    let address = out.position;
    let mut messages = Messages::default();
    let table = [tree.to_le_bytes(), heap.to_le_bytes()].concat();
    messages.push(SYMBOL_TABLE, &table)?;
    out.put(&messages.header())?;
    Ok(Group {
        address,
        tree,
        heap,
    })
}

/// The nodes that hold the members.
fn leaves(out: &mut Positioned, members: &mut Sorted) -> io::Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut reader = members.read()?;
    let mut left = members.len();
    let mut name = NAME_ALIGNMENT;
    while left > 0 {
        let count = left.min(LEAF_MEMBERS as u64);
        left -= count;
        let mut node = b"SNOD\x01\0".to_vec();
        node.extend_from_slice(&(count as u16).to_le_bytes());
        let mut last_name = name;
        for _ in 0..count {
            let Some(member) = reader.next()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            node.extend_from_slice(&name.to_le_bytes());
            node.extend_from_slice(&member.value);
            // Nothing is cached here about the member.
            node.extend_from_slice(&[0; 24]);
            last_name = name;
            name += name_bytes(&member.key);
        }
        node.resize(LEAF_BYTES, 0);
        nodes.push(Node {
            address: out.position,
            last_name,
        });
        out.put(&node)?;
    }
    Ok(nodes)
}

/// A level of the tree over `children`.
fn tree_level(out: &mut Positioned, level: u8, children: &[Node]) -> io::Result<Vec<Node>> {
    let start = out.position;
    // An empty group has a tree of one empty node.
    let count = children.len().div_ceil(TREE_CHILDREN).max(1);
    let address = |number: usize| start + (number * TREE_BYTES) as u64;
    let mut nodes = Vec::new();
    let mut before = 0;
    for number in 0..count {
        let first = number * TREE_CHILDREN;
        let below = &children[first..children.len().min(first + TREE_CHILDREN)];
        let mut node = b"TREE\0".to_vec();
        node.push(level);
        node.extend_from_slice(&(below.len() as u16).to_le_bytes());
        let left = number.checked_sub(1).map_or(UNDEFINED, address);
        let right = if number + 1 < count {
            address(number + 1)
        } else {
            UNDEFINED
        };
        node.extend_from_slice(&left.to_le_bytes());
        node.extend_from_slice(&right.to_le_bytes());
        // Between two keys lie the names greater than the first, up to the second.
        node.extend_from_slice(&u64::to_le_bytes(before));
        for child in below {
            node.extend_from_slice(&child.address.to_le_bytes());
            node.extend_from_slice(&child.last_name.to_le_bytes());
            before = child.last_name;
        }
        node.resize(TREE_BYTES, 0);
        nodes.push(Node {
            address: out.position,
            last_name: before,
        });
        out.put(&node)?;
    }
    Ok(nodes)
}

impl Group {
    /// The superblock of a file of which this is the root.
    pub(super) fn superblock(&self, end: u64) -> Vec<u8> {
        let mut block = b"\x89HDF\r\n\x1a\n".to_vec();
        // Versions of everything, 0; bytes of an offset and of a length.
        block.extend_from_slice(&[0, 0, 0, 0, 0, 8, 8, 0]);
        block.extend_from_slice(&(LEAF_HALF as u16).to_le_bytes());
        block.extend_from_slice(&(TREE_HALF as u16).to_le_bytes());
        block.extend_from_slice(&[0; 4]);
        for number in [0, UNDEFINED, end, UNDEFINED] {
            block.extend_from_slice(&u64::to_le_bytes(number));
        }
        // The root: no name, its header, and a copy of where its tree and its heap are.
        block.extend_from_slice(&[0; 8]);
        block.extend_from_slice(&self.address.to_le_bytes());
        block.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        block.extend_from_slice(&self.tree.to_le_bytes());
        block.extend_from_slice(&self.heap.to_le_bytes());
        debug_assert_eq!(block.len() as u64, SUPERBLOCK_BYTES);
        block
    }
}
