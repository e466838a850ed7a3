//! The main job shown live: a shop sells through an outage, on real data.

mod dataset;
mod line;
mod show;
mod till;
mod verdict;
