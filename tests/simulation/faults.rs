//! What goes wrong, or just happens, by dice.

use rand::RngExt;

use crate::queue::Ms;
use crate::world::{Event, World};

/// One thing that happened, for the trace.
#[derive(Debug)]
pub(crate) enum Fault {
    Line { store: usize },
    Lan { store: usize },
    Main,
    Crash { store: usize },
    Clock { store: usize, by_ms: i64 },
    Rot { store: usize },
    SilentRot { store: usize },
    NewTill { store: usize },
    NewEpoch,
    Fire { store: usize },
    Compaction { store: usize },
}

/// Lets one thing happen.
pub(crate) fn happen(world: &mut World) {
    let store = world.rng.random_range(0..world.stores.len());
    let fault = match world.rng.random_range(0..24u32) {
        0..6 => Fault::Line { store },
        6..8 => Fault::Main,
        8..13 => Fault::Crash { store },
        13..15 => {
            Fault::Clock { store, by_ms: world.rng.random_range(-9_000_000_000..9_000_000_000) }
        }
        15..17 => Fault::Rot { store },
        17 => Fault::SilentRot { store },
        18 => Fault::NewTill { store },
        19 => Fault::NewEpoch,
        20 => Fault::Lan { store },
        21 | 22 => Fault::Fire { store },
        _ => Fault::Compaction { store },
    };
    world.suffer(&fault);
    match fault {
        Fault::Line { store } => {
            if world.net.toggle(store) {
                world.line_is_up(store);
            }
        }
        Fault::Lan { store } => world.net.toggle_lan(store),
        Fault::Main => {
            world.net.toggle_main();
            world.forget_polls();
        }
        // It takes the line first, so that there is something to lose.
        Fault::Fire { store } => {
            world.net.cut(store);
            let burns: Ms = world.rng.random_range(1000..9000);
            world.queue.after(burns, Event::Burn { store });
        }
        Fault::Crash { store } => crash(world, store),
        Fault::Clock { store, by_ms } => world.stores[store].step_clock(by_ms),
        Fault::Rot { store } => world.stores[store].disk.rot(&mut world.rng),
        Fault::SilentRot { store } => world.stores[store].disk.rot_silently(&mut world.rng),
        Fault::NewTill { store } => world.stores[store].replace_till(&mut world.rng),
        Fault::Compaction { store } => world.stores[store].sales.compact(),
        Fault::NewEpoch => {
            world.author.begin_epoch(&mut world.rng);
            world.tell_all();
        }
    }
}

fn crash(world: &mut World, store: usize) {
    if world.stores[store].up {
        world.stores[store].crash(&mut world.rng);
        let down: Ms = world.rng.random_range(0..6000);
        world.queue.after(down, Event::Restart { store });
    }
}
