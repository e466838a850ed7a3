//! What the shop adds to a flashed disk: one file on the volume SBXCONFIG.

pub mod volume;
