//! The rules of the house that a program can check, one test each.

mod documents;
mod functions;
mod layers;
mod names;
mod package;
mod patience;
mod source;
mod words;
