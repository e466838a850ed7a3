//! Boxes as operators, terminals and their surroundings meet them: real processes, small data.

mod channels;
mod clients;
mod clock;
mod commands;
mod damage;
mod disk;
mod doctor;
mod drill;
mod estate;
mod fuzzer;
mod hooks;
mod integrator;
mod keeping;
mod landscapes;
mod observability;
mod package;
mod pushes;
mod refusals;
mod sinks;
mod site;
mod target;
mod technician;
mod terminals;
mod traces;
mod trust;
