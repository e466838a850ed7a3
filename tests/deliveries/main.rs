//! Settled transactions on their way to real systems: servers from packages, killed in the middle, as is the box.
//!
//! What is looked for is the same everywhere: every settled transaction is there once, and none that was not settled.
//! Masterdata takes the opposite way: what the company's database holds is what is published.

mod files;
mod http;
mod intake;
mod nats;
mod office;
mod postgres;
mod slow;
