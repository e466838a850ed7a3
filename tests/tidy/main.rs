//! The rules of the house that a program can check, one test each.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped has failed")]

mod dependencies;
mod documents;
mod functions;
mod layers;
mod names;
mod package;
mod patience;
mod source;
mod words;
