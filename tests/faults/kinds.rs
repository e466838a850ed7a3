//! The kinds of files that a box keeps, so that none is forgotten: a file of no kind, and a kind that was never
//! written, are errors of the campaign.

/// Where a kind of file lies, and what it is; the first that fits counts.
const KINDS: [(&str, &str); 37] = [
    ("/outbox/journal/", "outbox journal"),
    ("/outbox/settled/", "settled keys"),
    ("/outbox/documents/", "documents"),
    ("/copies/journal/", "journal of copies"),
    ("/copies/", "terminals of the mirrored"),
    ("/ledger/journal/", "ledger journal"),
    ("/ledger/index/", "ledger index"),
    ("/receipt-keys.", "keys of receipts"),
    ("/deliver/", "cursor of a delivery"),
    ("/devices/spool/", "spool journal"),
    ("/devices/", "first slip"),
    ("/segments/", "segments"),
    ("/feeds/*/CURRENT", "pointer to a generation"),
    ("/feeds/*/head", "heads"),
    ("/feeds/*/*/*.idx", "indexes"),
    ("/feeds/*/*/", "overlay"),
    ("/author/", "heads of the author"),
    ("/spool/", "import under way"),
    ("/history.", "history of refreshes"),
    ("/hooks/", "errands of hooks"),
    ("/pushes/", "pushes"),
    ("/requests/", "request log"),
    ("/reserve", "reserve"),
    ("/chronicle", "chronicle"),
    ("/drills.", "reports of drills"),
    ("/boxes.", "heartbeats"),
    ("/access.", "clients"),
    ("/next-door/", "boxes next door"),
    ("/terminals.", "what terminals loaded"),
    ("/logins.", "audit of logins"),
    ("/node.pub", "public half of the key"),
    ("/node.", "key of the box"),
    ("/vault", "vault and its key"),
    ("/trust/audit.log", "audit of trust"),
    ("/trust/strikes.", "strike list"),
    ("/trust/", "papers and their keys"),
    ("/", "addresses and lock"),
];

/// Names at the root that are no kind of their own.
const ADDRESSES: [&str; 5] = ["/http.", "/https.", "/lock", "/control", "/peers."];

/// What kind of file is at a path.
pub(crate) fn kind_of(path: &str) -> Option<&'static str> {
    let (_, kind) = KINDS.iter().find(|(place, _)| lies_at(path, place))?;
    let is_known =
        *kind != "addresses and lock" || ADDRESSES.iter().any(|name| path.starts_with(name));
    is_known.then_some(*kind)
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, kind)| *kind)
}

/// Whether a path begins with a pattern, in which a star is a part of it.
fn lies_at(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path.starts_with(pattern) };
    let Some(rest) = path.strip_prefix(before) else { return false };
    (0..rest.len()).any(|at| {
        rest.is_char_boundary(at) && !rest[..at].contains('/') && lies_at(&rest[at..], after)
    })
}
