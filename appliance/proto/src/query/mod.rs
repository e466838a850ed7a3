//! What a channel asks for: an entity, rows and criteria, in the words of the wire.
//!
//! Parsing and judging are pure, so that the planner of a box and a naive scan can be held against each other.
//!
//! Invariants:
//! - a query that was parsed is within its bounds: levels, criteria, values of a set, length of a text;
//! - a refusal names the place in the request, such as `criteria[1].value[0]`;
//! - no operator is a pattern: `contains` finds the text as it is, so that no value can make a search run away.

pub mod compare;
pub mod criteria;
pub mod entity;
pub mod fault;
pub mod request;

pub use criteria::{Criteria, Operator};
pub use entity::Entity;
pub use fault::QueryFault;
pub use request::{Options, Query};
