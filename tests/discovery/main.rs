//! Boxes and tills that find each other, each on a host of its own: a network namespace.
//!
//! The tests build their LAN themselves (a bridge in one namespace, hosts in others, nothing outside of
//! them is touched) and take it away again, so they need root.
//! Where that cannot be, they say why and pass; under `CI=true` they fail instead.
//! The hosts run this same binary as a child process, see `host`.

mod changes;
mod estate;
mod fallbacks;
mod host;
mod hostile;
mod impostor;
mod lan;
mod names;
mod others;
mod proc;
mod secure;
mod seeking;
mod siege;
mod times;

/// The entry of a child process; as an ordinary test it has nothing to do.
#[test]
fn a_child_process_plays_its_host() {
    if let Ok(part) = std::env::var(host::PART) {
        host::play(&part);
    }
}
