//! Devices through a real box: a process of its own, simulators on pseudo-terminals, tills over HTTP.

mod bad_input;
mod counter;
mod kills;
mod lines;
mod live;
mod masterdata;
mod pricing;
mod printing;
mod scanning;
mod weighing;
