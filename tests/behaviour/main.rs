//! What a shop sees of real processes.

mod bad_input;
mod demo;
mod kills;
