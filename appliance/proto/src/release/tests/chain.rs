//! A hundred boxes fetch a release: what their lines carry.

use std::collections::BTreeSet;

use super::*;

const STORES: usize = 25;
const BOXES: usize = 4;
const BLOCKS: u32 = 2200;
/// What a box asks for at once, and how long an answer takes.
const AT_ONCE: usize = 8;
const LINE_STEPS: usize = 8;
const LAN_STEPS: usize = 1;

struct Fetching {
    plan: Plan,
    has: BTreeSet<Hash32>,
    under_way: Vec<(Block, usize)>,
}

/// One store: every box takes from a neighbour what one has, and the rest from the line.
fn line_blocks(store: usize, index: &Index) -> usize {
    let start = |number: usize| {
        let node: NodeId = format!("store-{store}-{number}").parse().unwrap();
        let plan = Plan::new(index, &node, |_| false);
        Fetching { plan, has: BTreeSet::new(), under_way: Vec::new() }
    };
    let mut boxes: Vec<Fetching> = (0..BOXES).map(start).collect();
    let mut over_the_line = 0;
    while boxes.iter().any(|one| !one.plan.is_empty() || !one.under_way.is_empty()) {
        let near: BTreeSet<Hash32> = boxes.iter().flat_map(|one| one.has.iter().copied()).collect();
        for one in &mut boxes {
            while one.under_way.len() < AT_ONCE {
                let Some(block) = one.plan.next_block() else { break };
                let is_near = near.contains(&block.name);
                over_the_line += usize::from(!is_near);
                one.under_way.push((block, if is_near { LAN_STEPS } else { LINE_STEPS }));
            }
            one.under_way.iter_mut().for_each(|(_, left)| *left -= 1);
            for (block, _) in one.under_way.extract_if(.., |(_, left)| *left == 0) {
                assert!(one.has.insert(block.name), "a block was asked for twice");
            }
        }
    }
    assert!(boxes.iter().all(|one| one.has.len() == BLOCKS as usize));
    over_the_line
}

#[test]
fn a_hundred_boxes_cost_the_line_of_each_store_little_more_than_one_bundle() {
    let block = |number: u32| Block { name: Hash32::of(&number.to_le_bytes()), bytes: 32_768 };
    let index = Index::new((0..BLOCKS).map(block).collect()).unwrap();
    let all: usize = (0..STORES).map(|store| line_blocks(store, &index)).sum();
    let bundles = all * 100 / (STORES * BLOCKS as usize);
    eprintln!(
        "{} boxes in {STORES} stores: {bundles} % of a bundle over each line",
        STORES * BOXES
    );
    assert!(bundles <= 108, "{bundles} % of a bundle over each line");
}

#[test]
fn what_is_here_is_not_asked_for_and_what_failed_comes_last() {
    let block = |number: u32| Block { name: Hash32::of(&number.to_le_bytes()), bytes: 10 };
    let twice = [block(1), block(2), block(1), block(3)];
    let index = Index::new(twice.to_vec()).unwrap();
    let node: NodeId = "store-1".parse().unwrap();
    let mut plan = Plan::new(&index, &node, |name| *name == block(2).name);
    assert_eq!((plan.len(), plan.bytes()), (2, 20));
    let first = plan.next_block().unwrap();
    plan.put_back(first);
    let other = plan.next_block().unwrap();
    assert_eq!((plan.next_block(), plan.next_block()), (Some(first), None));
    assert!(other != first && plan.is_empty());
}
