//! Cashiers and managers log in: offline, against masterdata, for every box of the site.
//!
//! - [`Logins`] judges passwords and tokens; a login makes a token and no session, so any box can renew or judge it.
//! - Users and roles are masterdata (`User`, `Role`), and so are the public keys of the boxes (`TokenKey`): what head
//!   office changes holds as soon as it has arrived, also for those who are logged in.
//! - A password is never compared before a place among the few that are judged at once was free, and never judged
//!   without being counted: neither a guesser nor a flood gets further than a person would.

mod audit;
mod desk;
mod password;
mod users;

pub use audit::{Entry, What};
pub use desk::{LoggedIn, LoginError, Logins, Person, Place, Settings};
