//! What can be broken on purpose, to show that the invariants notice.

/// A part that is built wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// The main server stores what it has stored before.
    NoDedupe,
    /// The main server confirms without storing, now and then.
    Forgetful,
    /// The main server takes what follows a refused transaction of the same batch.
    NoStop,
    /// A box confirms before its journal is flushed.
    ConfirmsEarly,
    /// A replica is put into service without comparing its digests.
    Unverified,
    /// A box forgets the order of its transactions and sends them as they lie there.
    NoOrder,
    /// A box sells in its own name what it passes on for a neighbour.
    ClaimsGuests,
    /// A mirror says that it has a copy and has not kept it.
    ForgetsCopies,
    /// A till waits for a lost mirror until it is back.
    WaitsForMirror,
    /// A box that took the place of another lets its mirror forget what it does not know itself.
    LetsGoUnknown,
}
