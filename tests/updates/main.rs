//! Releases from head office to the folder of a box's steward, with real processes.

mod failing;
mod hawkbit;
mod holding;
mod line;
mod previous;
mod shop;
mod travelling;
