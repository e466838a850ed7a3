//! The one list of refusals, shared by both sides of the wire (RFC 9457).
//!
//! Clients act on `code` alone; `detail` is for a person and carries no secret.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $retry:literal;)*) => {
        /// What was refused, and what to make of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All codes, for documents and tests.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable word that clients act on.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it travels with.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whether the very same request may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
        }
    };
}

codes! {
    /// The body is not well-formed JSON or not UTF-8.
    BodyMalformed = "body_malformed", 400, false;
    /// A field is missing, unknown, of the wrong type or out of range; the detail names it.
    FieldInvalid = "field_invalid", 422, false;
    /// A query parameter is missing or wrong.
    ParameterInvalid = "parameter_invalid", 400, false;
    /// The body, record or batch is larger than its limit.
    TooLarge = "too_large", 413, false;
    /// No token, or one that nobody knows.
    Unauthenticated = "unauthenticated", 401, false;
    /// The token is known but has been revoked.
    Revoked = "revoked", 401, false;
    /// The certificate has expired, and the grace for it too; enrol again.
    CertificateExpired = "certificate_expired", 401, false;
    /// The certificate is not one of this chain, or was tampered with.
    CertificateInvalid = "certificate_invalid", 401, false;
    /// The certificate is good, but of another site.
    ForeignSite = "foreign_site", 403, false;
    /// The path is served over TLS only.
    TlsRequired = "tls_required", 421, false;
    /// It may exist, but not in the excerpt of masterdata that this box replicates.
    OutsideExcerpt = "outside_excerpt", 404, false;
    /// The caller speaks a version of the interface that is neither this box's nor next to it.
    VersionSkew = "version_skew", 426, false;
    /// The request names a host that this box does not have; a web page may be behind it.
    HostUnknown = "host_unknown", 421, false;
    /// A web page of another origin has sent this, which is not on the list.
    OriginForeign = "origin_foreign", 403, false;
    /// The slip was used, the window is closed, or nobody has opened one.
    EnrolmentClosed = "enrolment_closed", 403, false;
    /// The slip or code has expired.
    EnrolmentExpired = "enrolment_expired", 403, false;
    /// The proof is wrong: another code or slip, or somebody is in between.
    EnrolmentProof = "enrolment_proof", 403, false;
    /// The slip or code does not let this kind of member or this name in, or a person said no.
    EnrolmentDenied = "enrolment_denied", 403, false;
    /// Too many attempts; wait a minute.
    EnrolmentLimited = "enrolment_limited", 429, true;
    /// The identity is known but may not do this.
    Forbidden = "forbidden", 403, false;
    /// The token's time is over; log in or refresh.
    TokenExpired = "token_expired", 401, false;
    /// The token was changed, or is not signed by whom it says.
    TokenBroken = "token_broken", 401, false;
    /// The token is of another site, another terminal, or of a box that nobody vouches for here.
    TokenForeign = "token_foreign", 401, false;
    /// The token was made before the user's password, roles or state changed.
    TokenOutdated = "token_outdated", 401, false;
    /// A token stands in the URL, where logs and caches read it; send it in a header, and replace it.
    TokenInUrl = "token_in_url", 400, false;
    /// User or password is wrong, or the user may not work here.
    LoginRefused = "login_refused", 401, false;
    /// Too many wrong passwords; wait as long as Retry-After says.
    LoginLocked = "login_locked", 429, true;
    /// A person has to be logged in for this.
    PersonRequired = "person_required", 409, false;
    /// None of the person's roles has the right; the detail names it.
    RightMissing = "right_missing", 403, false;
    /// The channel of the caller may read only.
    ReadOnly = "read_only", 403, false;
    /// The caller asks more often than it may; wait as long as Retry-After says.
    RateExceeded = "rate_exceeded", 429, true;
    /// Sealed with a key of another site, another scope or a generation that was taken back.
    SealKeyUnknown = "seal_key_unknown", 403, false;
    /// Sealed with the key of an epoch outside the overlap.
    SealExpired = "seal_expired", 410, false;
    /// The seal does not hold, or what is inside is not understood.
    SealBroken = "seal_broken", 400, false;
    /// This sealed write was taken before.
    SealReplayed = "seal_replayed", 409, false;
    /// So many later sealed writes were taken that this one comes too late.
    SealReordered = "seal_reordered", 409, false;
    /// The box was restarted since this was sealed; the answer says for which life to seal it again.
    SealRestarted = "seal_restarted", 409, true;
    /// A sealed answer is too old, or from before what was seen.
    SealStale = "seal_stale", 409, false;
    /// What is asked for in the open is sealed here.
    SealRequired = "seal_required", 403, false;
    /// This is not for everybody in the scope: ask for it with a sealed POST.
    SealNotShared = "seal_not_shared", 403, false;
    /// Nothing is at this path.
    PathUnknown = "path_unknown", 404, false;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// The body is not of a media type that this path takes.
    MediaTypeUnsupported = "media_type_unsupported", 415, false;
    /// No model of this name is registered.
    ModelUnknown = "model_unknown", 404, false;
    /// The model has no index on this field.
    IndexUnknown = "index_unknown", 400, false;
    /// No such record in the generation that answered.
    RecordUnknown = "record_unknown", 404, false;
    /// No release has this id.
    ReleaseUnknown = "release_unknown", 404, false;
    /// No feed of this name.
    FeedUnknown = "feed_unknown", 404, false;
    /// No such segment or manifest here (any more).
    SegmentUnknown = "segment_unknown", 404, false;
    /// The generation that the cursor belongs to is gone; start the listing again.
    CursorExpired = "cursor_expired", 410, false;
    /// The replica has no verified generation yet.
    ReplicaEmpty = "replica_empty", 503, true;
    /// A block of the replica is damaged and is being fetched again.
    ReplicaDamaged = "replica_damaged", 503, true;
    /// A refresh is needed before this terminal may log in (compatible mode).
    RefreshRequired = "refresh_required", 503, true;
    /// The terminal is not known to this box.
    TerminalUnknown = "terminal_unknown", 404, false;
    /// A terminal of this name exists already.
    TerminalExists = "terminal_exists", 409, false;
    /// The list is not the one that was asked for last, and may be an older one; ask again and send the list of now.
    ListOutdated = "list_outdated", 409, false;
    /// No transaction with this key is known here.
    TransactionUnknown = "transaction_unknown", 404, false;
    /// The same key arrived earlier with another content; both are kept for a person.
    KeyConflict = "key_conflict", 409, false;
    /// The same terminal sequence number arrived earlier under another key.
    SequenceConflict = "sequence_conflict", 409, false;
    /// A transaction that this one depends on has not arrived.
    DependencyMissing = "dependency_missing", 409, true;
    /// A transaction that this one depends on was refused.
    DependencyRefused = "dependency_refused", 409, false;
    /// The receiver will never take this transaction; the detail says why.
    TransactionRefused = "transaction_refused", 422, false;
    /// The action does not fit the state of the transaction.
    StateConflict = "state_conflict", 409, false;
    /// The disk or the outbox is full: nothing was stored.
    StorageFull = "storage_full", 507, true;
    /// The store of transactions failed and takes nothing until the service restarts.
    StorageFailed = "storage_failed", 503, true;
    /// No device of this name and kind is configured, or its definition was refused.
    DeviceUnknown = "device_unknown", 404, false;
    /// The device is not connected or cannot be opened now.
    DeviceAway = "device_away", 503, true;
    /// The device does not do what it was asked; the detail says why.
    DeviceRefused = "device_refused", 409, false;
    /// Another terminal has the device to itself for now.
    DeviceLeased = "device_leased", 409, true;
    /// No print job of this key is known, or it was forgotten long ago.
    JobUnknown = "job_unknown", 404, false;
    /// The key of the print job belongs to a job that prints something else.
    JobConflict = "job_conflict", 409, false;
    /// The print job is not in a state that allows this.
    JobState = "job_state", 409, false;
    /// What the job prints was dropped to make room; it cannot be printed again.
    JobForgotten = "job_forgotten", 410, false;
    /// The document cannot be printed as it is; the detail names the place.
    DocumentInvalid = "document_invalid", 422, false;
    /// A raw job holds a command that changes the printer for others, or one that is not known.
    RawRefused = "raw_refused", 422, false;
    /// The plate did not come to rest in time.
    ScaleUnsettled = "scale_unsettled", 409, true;
    /// The plate is below zero, overloaded, below the smallest weight or must be set to zero.
    ScaleRange = "scale_range", 409, false;
    /// The scale does not answer, answers nonsense or reports a fault of its own.
    ScaleFault = "scale_fault", 502, true;
    /// A source or storage that was named does not answer, or not as it must.
    SourceFailed = "source_failed", 502, true;
    /// The terminal belongs to no channel, or its channel does not exist.
    ChannelUnknown = "channel_unknown", 404, false;
    /// The channel of the terminal is not offered this service.
    ServiceUnknown = "service_unknown", 404, false;
    /// The query would look at too many rows; the detail says what would narrow it.
    QueryTooBroad = "query_too_broad", 422, false;
    /// A hook of the chain does not want this; the detail names it and gives its reason.
    HookRefused = "hook_refused", 422, false;
    /// A hook of the chain failed or ran away before anything was stored; the detail names it.
    HookFailed = "hook_failed", 502, true;
    /// Too many requests or connections at once.
    Busy = "busy", 503, true;
    /// The box is stopping.
    Stopping = "stopping", 503, true;
    /// Not settled within the time that the caller wanted to wait; it is held and will be.
    NotSettledYet = "not_settled_yet", 504, true;
    /// A neighbour holds it and passes it on; it is not settled yet.
    PassedOn = "passed_on", 503, true;
    /// Something broke on our side; the log has the chain.
    Internal = "internal", 500, true;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An RFC 9457 body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// Always `about:blank`: the code says what a URI would.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// What clients act on.
    pub code: Code,
    /// What happened, to whom, and what to do next.
    pub detail: String,
    /// Whether the very same request may succeed later.
    pub retryable: bool,
}

impl Problem {
    /// A refusal with its explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            retryable: code.is_retryable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word_and_an_error_status() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }

    #[test]
    fn a_problem_reads_as_rfc_9457() {
        let problem = Problem::new(Code::StorageFull, "outbox holds 200000 tickets");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["status"], 507);
        assert_eq!(json["code"], "storage_full");
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
