//! One minute, in memory and in its bytes.

/// The bytes of a point.
pub const POINT_BYTES: usize = NUMBERS * 4 + CHECK_BYTES;
/// What stands for a number that was not known.
const ABSENT: u32 = u32::MAX;
const NUMBERS: usize = 9;
const CHECK_BYTES: usize = 4;

/// What was seen in one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    /// Which minute, counted from 1970.
    pub minute: u32,
    /// The most transactions that waited for head office.
    pub waiting: Option<u32>,
    /// The greatest age of the oldest of them, in seconds; 0 if none waited.
    pub oldest_s: Option<u32>,
    /// Transactions that were taken from tills; at head office, that were settled.
    pub sales: Option<u32>,
    /// Transactions that left for head office.
    pub sent: Option<u32>,
    /// For how long masterdata had not been known to be level with head office, in seconds.
    pub lag_s: Option<u32>,
    /// Requests of tills that were answered.
    pub answers: Option<u32>,
    /// Half of them were answered within this, in microseconds.
    pub median_us: Option<u32>,
    /// 99 of 100 were answered within this, in microseconds.
    pub slow_us: Option<u32>,
}

impl Point {
    /// Its bytes: nine little-endian numbers and four bytes of their BLAKE3 hash.
    pub fn encode(&self) -> [u8; POINT_BYTES] {
        let mut bytes = [0; POINT_BYTES];
        let numbers = [
            Some(self.minute),
            self.waiting,
            self.oldest_s,
            self.sales,
            self.sent,
            self.lag_s,
            self.answers,
            self.median_us,
            self.slow_us,
        ];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.unwrap_or(ABSENT).to_le_bytes());
        }
        let check = check_of(&bytes[..NUMBERS * 4]);
        bytes[NUMBERS * 4..].copy_from_slice(&check);
        bytes
    }

    /// Reads a point; nothing if the bytes are not one.
    pub fn decode(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let (content, check) = bytes.split_at(NUMBERS * 4);
        if check != check_of(content) {
            return None;
        }
        let mut numbers = [ABSENT; NUMBERS];
        for (number, piece) in numbers.iter_mut().zip(content.chunks_exact(4)) {
            *number = u32::from_le_bytes(piece.try_into().ok()?);
        }
        let known = |number: u32| (number != ABSENT).then_some(number);
        let [minute, waiting, oldest_s, sales, sent, lag_s, answers, median_us, slow_us] = numbers;
        Some(Self {
            minute,
            waiting: known(waiting),
            oldest_s: known(oldest_s),
            sales: known(sales),
            sent: known(sent),
            lag_s: known(lag_s),
            answers: known(answers),
            median_us: known(median_us),
            slow_us: known(slow_us),
        })
    }
}

fn check_of(content: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::hash(content);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    check
}
