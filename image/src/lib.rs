//! A box's disk: lay out, build, sign, flash, switch.
