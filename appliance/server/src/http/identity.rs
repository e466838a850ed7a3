//! Who is asking; put into the request by the authentication layer, read by handlers.

use storebox_proto::ids::{NodeId, TerminalId};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A till or other client, by its bearer token.
    Terminal(TerminalId),
    /// Another box, by its bearer token.
    Node(NodeId),
    /// A person on this machine, through the local control socket.
    Operator,
}
