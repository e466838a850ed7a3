//! What strangers, thieves and curious caches get from real boxes: nothing.

mod box_of;
mod busy;
mod cache;
mod certificate;
mod people;
mod refusals;
mod rings;
mod sealed;
mod secrets;
mod slip;
mod tpm;
mod vectors;
mod walk;
