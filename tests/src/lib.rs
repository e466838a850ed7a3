//! What the tests share: data, seeds, worlds and real processes.
