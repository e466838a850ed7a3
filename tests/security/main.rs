//! What strangers, thieves and curious caches get from real boxes: nothing.

mod box_of;
mod sealed;
mod secrets;
mod tpm;
mod vectors;
