//! Mutates seeds, keeps what behaves in a new way, and says what broke a target.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a target runs unless `FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 2;
/// The seed unless `SEED` says otherwise.
const SEED: u64 = 1;
/// Inputs kept because they behaved in a new way.
const POOL_MAX: usize = 4096;
/// No input may take longer, on the slowest machine that runs tests.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "a run is bounded in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What an input came to, as a number: inputs that differ in it behave differently.
pub(crate) fn shape(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// One parser with what makes mutations meaningful.
pub(crate) struct Target {
    /// The name of its folder in the corpus, and of its test.
    pub(crate) name: &'static str,
    /// Further folders of seeds.
    pub(crate) seeds: &'static [&'static str],
    /// Pieces its language is made of.
    pub(crate) words: &'static [&'static [u8]],
    /// Inputs are cut here.
    pub(crate) bytes_max: usize,
    /// Gives the input's shape; panics if the parser broke a promise.
    pub(crate) judge: fn(&[u8]) -> u64,
}

/// A small generator of its own, so that a seed means the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).expect("32 bits fit") % sides.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("it is below 256")
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// A line of the inputs that a guided search has found: two hexadecimal digits for each byte.
fn bytes_of(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

fn tell(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("the test's output is open");
}

impl Target {
    /// Replays the corpus, then throws mutations until the time is up.
    pub(crate) fn run(&self) {
        if let Some(path) = std::env::var_os("FUZZ_INPUT") {
            (self.judge)(&fs::read(path).expect("the input to replay is readable"));
            return;
        }
        let mut pool = self.corpus();
        assert!(!pool.is_empty(), "{} has no seeds", self.name);
        let mut shapes: BTreeSet<u64> = pool.iter().map(|seed| self.check(seed)).collect();
        let seed = number("SEED", SEED);
        let mut dice = Dice(shape((self.name, seed)) | 1);
        let end = now() + Duration::from_secs(number("FUZZ_SECONDS", SECONDS));
        let mut rounds = 0_u64;
        while now() < end {
            let input = self.mutate(&mut dice, &pool);
            let is_new = shapes.insert(self.check(&input));
            if is_new && pool.len() < POOL_MAX {
                pool.push(input);
            }
            rounds += 1;
        }
        tell(&format!("{}: {rounds} inputs of {} shapes, SEED={seed}", self.name, shapes.len()));
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let own = Path::new("fuzz/corpus").join(self.name);
        let folders = std::iter::once(own).chain(self.seeds.iter().map(PathBuf::from));
        let mut paths = Vec::new();
        for folder in folders {
            let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
            paths.extend(entries.map(|entry| entry.expect("an entry is readable").path()));
        }
        paths.sort();
        let seeds = paths.iter().map(|path| fs::read(path).expect("a seed is readable"));
        let found = root.join("fuzz/corpus/found").join(self.name);
        let found = fs::read_to_string(found).unwrap_or_default();
        seeds.chain(found.lines().map(bytes_of)).collect()
    }

    fn check(&self, input: &[u8]) -> u64 {
        let start = now();
        let judged = catch_unwind(AssertUnwindSafe(|| (self.judge)(input)));
        let took = now().saturating_duration_since(start);
        match judged {
            Ok(shape) if took < PATIENCE => shape,
            Ok(_) | Err(_) => {
                let name = format!("{}-{:016x}", self.name, shape(input));
                let folder = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from);
                let path = folder.unwrap_or_else(std::env::temp_dir).join(name);
                fs::write(&path, input).expect("the target folder is writable");
                panic!(
                    "{} broke after {took:?}; replay with FUZZ_INPUT={}",
                    self.name,
                    path.display()
                )
            }
        }
    }

    fn mutate(&self, dice: &mut Dice, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = pool[dice.roll(pool.len())].clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(input.len() + 1);
            let length = dice.roll(16).min(input.len() - at);
            match dice.roll(8) {
                0 if at < input.len() => input[at] ^= 1 << dice.roll(8),
                1 if at < input.len() => input[at] = dice.byte(),
                2 => drop(input.drain(at..at + length)),
                3 => input.insert(at, dice.byte()),
                4 => {
                    let again = input[at..at + length].to_vec();
                    let times = dice.roll(6);
                    drop(input.splice(at..at, again.repeat(times)));
                }
                5 => {
                    let other = &pool[dice.roll(pool.len())];
                    let from = dice.roll(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                6 if at < input.len() => {
                    // Numbers are where limits are.
                    input[at] = b'0' + dice.byte() % 10;
                }
                _ if self.words.is_empty() => input.truncate(at),
                _ => {
                    let word = self.words[dice.roll(self.words.len())];
                    drop(input.splice(at..at, word.iter().copied()));
                }
            }
        }
        input.truncate(self.bytes_max);
        input
    }
}
