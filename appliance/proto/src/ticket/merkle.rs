//! One signature for many texts: a Merkle tree with SHA-256, as RFC 9162 (2.1) builds and proves it.
//!
//! A leaf is the hash of a zero byte and its text, a node the hash of a one byte and its two children; where a level
//! has an odd end, that end goes up as it is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A node of a tree.
pub type Node = [u8; 32];

/// Levels of a path at most: no batch has more than 2^32 texts.
const LEVELS_MAX: usize = 32;

/// A tree over texts.
#[derive(Debug, Clone)]
pub struct Tree {
    /// From the leaves to the root.
    levels: Vec<Vec<Node>>,
}

/// Where a text stands among those that were signed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inclusion {
    /// How many were signed together.
    pub size: u32,
    /// Which of them this is, from 0.
    pub index: u32,
    /// The hashes that lead from it to the root, each 64 hexadecimal digits, one behind the other.
    pub path: String,
}

/// The hash of a text.
pub fn leaf(text: &[u8]) -> Node {
    Sha256::new().chain_update([0]).chain_update(text).finalize().into()
}

fn parent(left: &Node, right: &Node) -> Node {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

impl Tree {
    /// Over these leaves; nothing if there are none.
    pub fn over(leaves: Vec<Node>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => parent(left, right),
                [alone, ..] => *alone,
                [] => unreachable!("chunks are not empty"),
            });
            levels.push(above.collect());
        }
        Some(Self { levels })
    }

    /// What is signed.
    pub fn root(&self) -> &Node {
        let top = self.levels.last().expect("a tree has a leaf");
        &top[0]
    }

    /// How many leaves it has.
    pub fn size(&self) -> usize {
        self.levels[0].len()
    }

    /// The way from a leaf to the root.
    ///
    /// # Panics
    ///
    /// If the tree has no such leaf.
    pub fn prove(&self, index: usize) -> Inclusion {
        let size = u32::try_from(self.size()).expect("a batch is far below 2^32 texts");
        let mut path = String::new();
        for (height, level) in self.levels.iter().enumerate() {
            if let Some(sibling) = level.get((index >> height) ^ 1) {
                path.push_str(&hex::encode(sibling));
            }
        }
        let index = u32::try_from(index).expect("below the size");
        assert!(index < size, "leaf {index} of {size}");
        Inclusion { size, index, path }
    }
}

impl Inclusion {
    /// The root to which a leaf leads by this path; nothing if the path fits no tree of this size.
    pub fn root(&self, leaf: Node) -> Option<Node> {
        let mut last = self.size.checked_sub(1)?;
        let mut index = self.index;
        if index > last || self.path.len() > 2 * size_of::<Node>() * LEVELS_MAX {
            return None;
        }
        let mut root = leaf;
        for digits in self.path.as_bytes().chunks(2 * size_of::<Node>()) {
            let mut sibling = Node::default();
            hex::decode_to_slice(digits, &mut sibling).ok()?;
            // An end that has no sibling goes up as it is.
            while index == last && index & 1 == 0 && last > 0 {
                (index, last) = (index >> 1, last >> 1);
            }
            if last == 0 {
                return None;
            }
            root = if index & 1 == 1 { parent(&sibling, &root) } else { parent(&root, &sibling) };
            (index, last) = (index >> 1, last >> 1);
        }
        while index == last && index & 1 == 0 && last > 0 {
            (index, last) = (index >> 1, last >> 1);
        }
        (last == 0).then_some(root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The leaves and roots that implementations of certificate transparency are tested with.
    #[test]
    fn roots_are_those_of_the_standards_test_vectors() {
        let texts = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let leaves: Vec<Node> =
            texts.iter().map(|text| leaf(&hex::decode(text).unwrap())).collect();
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ];
        for (count, root) in (1..).zip(roots) {
            let tree = Tree::over(leaves[..count].to_vec()).unwrap();
            assert_eq!(hex::encode(tree.root()), root, "{count} leaves");
        }
        assert!(Tree::over(Vec::new()).is_none());
    }

    #[test]
    fn every_leaf_of_every_small_tree_leads_to_the_root_and_no_other_does() {
        for size in 1..=40_u8 {
            let leaves: Vec<Node> = (0..size).map(|number| leaf(&[number])).collect();
            let tree = Tree::over(leaves.clone()).unwrap();
            for (index, one) in leaves.iter().enumerate() {
                let proof = tree.prove(index);
                assert_eq!(proof.root(*one).as_ref(), Some(tree.root()), "{index} of {size}");
                assert_ne!(proof.root(leaf(b"another")).as_ref(), Some(tree.root()));
                let elsewhere = u32::try_from(index).unwrap() + 1;
                let moved = Inclusion { index: elsewhere, ..proof.clone() };
                assert_ne!(moved.root(*one).as_ref(), Some(tree.root()), "{index} of {size}");
                let longer = Inclusion { path: proof.path.clone() + &"0".repeat(64), ..proof };
                assert_eq!(longer.root(*one), None, "{index} of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_path_is_judged_without_a_panic(size: u32, index: u32, path in "[0-9a-fx]{0,300}") {
            let _ = Inclusion { size, index, path }.root(leaf(b"x"));
        }
    }
}
