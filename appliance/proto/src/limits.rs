//! Every bound that boxes share, in one place.
//!
//! A limit that only one box cares about (threads, cache sizes, disk) is in its configuration instead.

use std::time::Duration;

/// The JSON of one masterdata record.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Records in one block; a block is the unit of compression and of caching.
pub const BLOCK_RECORDS_MAX: usize = 64;
/// Content of one block before compression, at which it is closed.
pub const BLOCK_BYTES_TARGET: usize = 24 * 1024;
/// Content of one block before compression, never exceeded: a target plus one largest record.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES_TARGET + RECORD_BYTES_MAX + 1024;
/// Mean number of records between two key-dependent boundaries; a power of two.
pub const SEGMENT_RECORDS_MEAN: usize = 1024;
/// A segment is cut after this many records even without a boundary.
pub const SEGMENT_RECORDS_MAX: usize = 4096;
/// A segment is cut after this much content even without a boundary.
pub const SEGMENT_CONTENT_MAX: usize = 8 * 1024 * 1024;
/// The file of one segment, as fetched.
pub const SEGMENT_BYTES_MAX: usize = SEGMENT_CONTENT_MAX + 1024 * 1024;
/// Changes on one page of a run.
pub const RUN_PAGE_RECORDS_MAX: usize = 4096;
/// Segments of one model.
pub const MANIFEST_SEGMENTS_MAX: usize = 65_536;
/// A manifest, as fetched.
pub const MANIFEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Feeds that a node knows, `local` included.
pub const FEEDS_MAX: usize = 16;
/// Excerpts of masterdata in one chain.
pub const EXCERPTS_MAX: usize = 64;
/// Rules of one kind, and assortments, in one excerpt.
pub const EXCERPT_RULES_MAX: usize = 64;
/// Stores, boxes, or values of one rule that an excerpt names.
pub const EXCERPT_NAMES_MAX: usize = 4096;
/// Indexed fields of one model.
pub const MODEL_INDEXES_MAX: usize = 16;
/// The name of an indexed field.
pub const FIELD_NAME_BYTES_MAX: usize = 64;
/// Models in one feed.
pub const FEED_MODELS_MAX: usize = 256;
/// Runs that a head names.
pub const HEAD_RUNS_MAX: usize = 2048;
/// A signed head, as fetched.
pub const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// All manifests of one head.
pub const FEED_MANIFESTS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Changes that one incremental refresh applies; beyond it the snapshot is taken.
pub const INCREMENTAL_RECORDS_MAX: u64 = 250_000;
/// Pages of changes that one incremental refresh applies, as fetched.
pub const INCREMENTAL_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Changes that are taken as such even if the snapshot has fewer records.
pub const CHANGES_ALWAYS_TAKEN: u64 = 10_000;
/// Records on one page of an answer.
pub const PAGE_RECORDS_MAX: usize = 1000;

/// The longest that a person's order holds: a drill, a visit.
pub const ORDER_SECONDS_MAX: u32 = 4 * 3600;
/// The longest name of a person.
pub const PERSON_CHARS_MAX: usize = 60;

/// The body of one transaction.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// Transactions that one transaction may wait for.
pub const DEPENDS_MAX: usize = 64;
/// Transactions in one request, from a till or between boxes.
pub const BATCH_ENVELOPES_MAX: usize = 256;
/// All bodies of one request.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Transactions that one box holds, unless it is configured otherwise; beyond that it refuses with `storage_full`.
///
/// With what finds their documents each takes about 950 bytes of memory, and the service has 192 MB.
pub const HELD_MAX: usize = 150_000;
/// What a transaction depends on may arrive at head office so much later; then a person is asked.
pub const DEPENDENCY_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Copies of all neighbours' transactions that a mirror holds, and that a box takes over.
pub const COPIES_MAX: usize = 200_000;
/// Settled transactions that wait for a best-effort sink only; beyond that the sink is left behind.
pub const PINNED_MAX: usize = 20_000;
/// Contradicting transactions that are kept for a person.
pub const CONFLICTS_MAX: usize = 256;
/// Transactions that a person gave up and that are kept to be read.
pub const GIVEN_UP_MAX: usize = 256;
/// Acts of operators that are remembered.
pub const AUDIT_MAX: usize = 256;
/// Terminals whose sequence numbers a box remembers.
pub const SEQUENCE_TERMINALS_MAX: usize = 256;
/// Epochs of one terminal whose sequence numbers a box remembers.
pub const SEQUENCE_EPOCHS_MAX: usize = 2;
/// Ranges of sequence numbers of one epoch; beyond that the oldest gap is forgotten.
pub const SEQUENCE_RANGES_MAX: usize = 64;

/// What one print job brings: a document, ReceiptLine or raw bytes.
pub const PRINT_JOB_BYTES_MAX: usize = 384 * 1024;
/// Devices of one box.
pub const DEVICES_MAX: usize = 32;

/// The text of a slip for enrolment, so that it fits a QR code that a till's scanner reads.
pub const SLIP_BYTES_MAX: usize = 512;
/// Addresses on a slip.
pub const SLIP_ADDRESSES_MAX: usize = 4;
/// Slips of a box that may be open at once: the tills of a large shop in one provisioning file.
pub const SLIPS_MAX: usize = 256;
/// Wrong codes after which the window for codes closes.
pub const CODE_ATTEMPTS_MAX: u32 = 3;
/// Exchanges about a code that may be under way at once.
pub const CODE_SESSIONS_MAX: usize = 8;
/// Requests to be let in that may wait for a person.
pub const JOIN_REQUESTS_MAX: usize = 32;
/// Failed enrolments from one address within [`JOIN_FAILURES_WITHIN`], after which it has to wait.
pub const JOIN_FAILURES_MAX: u32 = 10;
/// How long failed enrolments are remembered.
pub const JOIN_FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// Addresses whose failed enrolments are remembered.
pub const JOIN_ADDRESSES_MAX: usize = 256;
/// How long a request to be let in waits for a person, and an exchange about a code for its end.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(600);
/// A message of enrolment, and what is granted.
pub const JOIN_BYTES_MAX: usize = 16 * 1024;
/// Certificates that a member may present.
pub const CHAIN_MAX: usize = 4;
/// Keys on the list of those that were struck off; entries whose certificates have expired leave it.
pub const STRUCK_MAX: usize = 400;
/// The list of those that were struck off, as it travels in one record of the estate.
pub const STRIKE_LIST_BYTES_MAX: usize = 60 * 1024;
/// Sources that a box knows, those it found by itself included.
pub const SOURCES_MAX: usize = 32;
/// Of these, how many may be peers that were found on the LAN.
pub const SOURCES_FOUND_MAX: usize = 8;
/// Levels of `and`, `or` and `not` in one query.
pub const QUERY_DEPTH_MAX: usize = 8;
/// Criteria of one query, on all levels together.
pub const QUERY_CRITERIA_MAX: usize = 64;
/// Values of one `inSet` or `notInSet`.
pub const QUERY_SET_MAX: usize = 500;
/// Codes, and ids of customers, that are looked up for one query, in all its criteria together.
pub const QUERY_CODES_MAX: usize = 500;
/// One text in a criterion.
pub const QUERY_TEXT_BYTES_MAX: usize = 256;
/// Rows that a query may skip.
pub const QUERY_START_MAX: u64 = 1_000_000;
/// Rows of one answer; an answer that is cut says so.
pub const QUERY_ROWS_MAX: u64 = 10_000;
/// The source of one script that arrives as masterdata.
pub const SCRIPT_BYTES_MAX: usize = 16 * 1024;
/// The parameters of a service, hook or push, as JSON.
pub const PARAMETERS_BYTES_MAX: usize = 16 * 1024;
/// Levels of an organisation tree; a deeper one, and a circle, is cut there.
pub const ORGANISATION_DEPTH_MAX: usize = 32;

/// The longest a waiting request is held open before it is answered empty.
pub const LONG_POLL_MAX: Duration = Duration::from_secs(55);
/// Objects that a source does not have, as they are remembered.
pub const ABSENCES_MAX: usize = 4096;
/// An object that comes more slowly than this is asked for again.
pub const LINE_FLOOR_BYTES_PER_S: u32 = 2048;

/// How long an object of so many bytes may take from a source that may be silent for so long.
pub fn object_time(silence: Duration, bytes: u32) -> Duration {
    time_at(LINE_FLOOR_BYTES_PER_S, silence, bytes)
}

/// The same on a line that brings at least so many bytes in a second.
pub fn time_at(floor: u32, silence: Duration, bytes: u32) -> Duration {
    silence + Duration::from_secs(u64::from(bytes / floor.max(1)))
}

/// Roles of one user.
pub const USER_ROLES_MAX: usize = 16;
/// Users whose wrong passwords are counted at once.
pub const LOGIN_ATTEMPTS_MAX: usize = 4096;
/// A user's name as it is typed.
pub const LOGIN_NAME_BYTES_MAX: usize = 256;
/// A password or PIN.
pub const PASSWORD_BYTES_MAX: usize = 128;
/// Rings of site keys that one box holds: head office has those of every shop.
pub const RINGS_MAX: usize = 16_384;
/// Generations of one of them that a box holds.
pub const RING_GENERATIONS_MAX: usize = 64;
/// A sealed read before it is sealed, padded: its URL stays below 6 KB.
pub const SEALED_READ_BYTES_MAX: usize = 4096;
/// Pairs in the query of a sealed read.
pub const SEALED_PAIRS_MAX: usize = 64;
/// Headers that travel inside a sealed request or answer.
pub const SEALED_HEADERS_MAX: usize = 16;
/// The body of a sealed request or answer.
pub const SEALED_BODY_BYTES_MAX: usize = MANIFEST_BYTES_MAX + 64 * 1024;

/// Rings of a chain in which what is new is rolled out.
pub const ROLLOUT_RINGS_MAX: usize = 64;
/// Sites and boxes that one of them names; rings of one order have their turn together, for larger groups.
pub const RING_MEMBERS_MAX: usize = 1500;

/// Values that one record of settings carries.
pub const SETTINGS_VALUES_MAX: usize = 64;

/// Questions of head office that one box has not answered; more are not taken, at both ends.
pub const VISIT_QUESTIONS_MAX: usize = 8;
/// The longest thing that a visit is shown.
pub const VISIT_BODY_BYTES_MAX: usize = 512 * 1024;
/// The bundle of a release.
pub const RELEASE_BYTES_MAX: u64 = 2_000_000_000;
/// One block of it.
pub const RELEASE_BLOCK_BYTES_MAX: u32 = 1024 * 1024;
/// The object that names its blocks.
pub const RELEASE_INDEX_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Releases that are on offer at once.
pub const RELEASES_MAX: usize = 64;

/// The TXT record of a box, so that its whole announcement fits one packet with room for addresses.
pub const BEACON_BYTES_MAX: usize = 400;
/// Entries of a TXT record that are looked at.
pub const BEACON_ENTRIES_MAX: usize = 32;
/// The human name of a box.
pub const BEACON_NAME_BYTES_MAX: usize = 63;
/// A pointer to a box, as typed or given by DHCP.
pub const POINTER_BYTES_MAX: usize = 512;
/// Places that one pointer may name.
pub const POINTER_PLACES_MAX: usize = 8;
/// Addresses that one box is believed to have.
pub const BOX_ADDRESSES_MAX: usize = 16;
/// Endpoints in an address book.
pub const BOOK_ENDPOINTS_MAX: usize = 64;
/// Of these, how many may be announced only and never have answered.
pub const BOOK_RUMOURS_MAX: usize = BOOK_ENDPOINTS_MAX / 2;
/// Endpoints that are remembered over a restart.
pub const BOOK_REMEMBERED_MAX: usize = 16;
/// Probes under way at once.
pub const BOOK_PROBES_MAX: usize = 8;
/// Of these, how many may go to endpoints that are not known to be alive.
pub const BOOK_PROBES_UNPROVEN_MAX: usize = 6;

const _: () = assert!(QUERY_CODES_MAX >= QUERY_SET_MAX);
const _: () = assert!(BOOK_PROBES_UNPROVEN_MAX < BOOK_PROBES_MAX);
const _: () = assert!(BOOK_ENDPOINTS_MAX >= 2 * BOOK_REMEMBERED_MAX);
const _: () = assert!(BOOK_ENDPOINTS_MAX >= 2 * BOX_ADDRESSES_MAX);
const _: () = assert!(SEGMENT_RECORDS_MEAN.is_power_of_two());
const _: () = assert!(SEGMENT_RECORDS_MAX >= 2 * SEGMENT_RECORDS_MEAN);
const _: () = assert!(BLOCK_BYTES_MAX > RECORD_BYTES_MAX);
const _: () = assert!(SEGMENT_CONTENT_MAX > 2 * BLOCK_BYTES_MAX);
const _: () = assert!(RING_MEMBERS_MAX * 40 < RECORD_BYTES_MAX);
const _: () = assert!(STRIKE_LIST_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX >= 2 * ENVELOPE_BYTES_MAX);
const _: () = assert!(SEALED_BODY_BYTES_MAX > SEGMENT_BYTES_MAX);
const _: () = assert!(SEALED_BODY_BYTES_MAX > BATCH_BYTES_MAX);
