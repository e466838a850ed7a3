//! Terminals: who may come in, what they are told at login, and when their masterdata is refreshed.

pub mod access;
pub mod desk;
pub mod next_door;
pub mod past;
pub mod profile;
