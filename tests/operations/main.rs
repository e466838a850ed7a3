//! Boxes as operators, terminals and their surroundings meet them: real processes, small data.

mod clock;
mod commands;
mod damage;
mod disk;
mod estate;
mod refusals;
mod sinks;
mod site;
mod terminals;
mod trust;
