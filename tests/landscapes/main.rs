//! The five ways in which a shop can be cut off, each in a network of namespaces: tickets are sold throughout, and at the
//! end the ledger is what was sold.
//!
//! ```text
//!   head office ── wan ─┬─ box1 ─┬─ lan ── till
//!                       └─ box2 ─┘
//! ```
//!
//! The network is made by the test and taken away again, which needs root; where that cannot be, the tests say why and
//! pass, and fail under `CI=true`.

mod hints;
mod net;
mod outages;
mod replaced;
mod shop;
mod till;

/// The entry of the till's process; as an ordinary test it has nothing to do.
#[test]
fn a_child_process_plays_the_till() {
    if let Ok(orders) = std::env::var(till::ORDERS) {
        till::play(&orders);
    }
}
