//! CPace over ristretto255 with SHA-512: a key from a password that may be guessed once per attempt, and never offline.
//!
//! Follows draft-irtf-cfrg-cpace (initiator and responder); the published vectors are in the tests.
//! The session of the draft is the exporter of the TLS channel, so that whoever relays between two channels gets two
//! different keys.
//! Chosen over SPAKE2: needs no fixed points, is what the CFRG selected, and the group is in the program already.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::Secret;

const DSI: &[u8] = b"CPaceRistretto255";
const DSI_KEY: &[u8] = b"CPaceRistretto255_ISK";
/// The input block of SHA-512.
const BLOCK: usize = 128;

/// What one side sends to the other: an encoded group element.
pub type Share = [u8; 32];

/// Which side of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sends its share first.
    Initiator,
    /// Answers.
    Responder,
}

/// One side between its share and the other's.
pub struct Exchange {
    side: Side,
    scalar: Zeroizing<Scalar>,
    share: Share,
    session: Vec<u8>,
}

/// What both sides bring into the exchange.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// The password.
    pub password: &'a [u8],
    /// The channel and the roles.
    pub channel: &'a [u8],
    /// An identifier of this run.
    pub session: &'a [u8],
}

/// The other side sent no element of the group, or the neutral one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the share is not an element of the group")]
pub struct InvalidShare;

impl Exchange {
    /// Begins with 64 random bytes.
    pub fn begin(side: Side, common: Common<'_>, random: &Secret<64>) -> Self {
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(random.reveal()));
        Self::with_scalar(side, common, scalar)
    }

    fn with_scalar(side: Side, common: Common<'_>, scalar: Zeroizing<Scalar>) -> Self {
        let share = (generator(common) * *scalar).compress().to_bytes();
        Self { side, scalar, share, session: common.session.to_vec() }
    }

    /// What the other side gets.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The key, the same on both sides if the password was; each may bind data of its own to it.
    pub fn finish(
        self,
        other: &Share,
        own_data: &[u8],
        other_data: &[u8],
    ) -> Result<Secret<64>, InvalidShare> {
        let point = CompressedRistretto(*other).decompress().ok_or(InvalidShare)?;
        let product = point * *self.scalar;
        if product == RistrettoPoint::identity() {
            return Err(InvalidShare);
        }
        let product = Zeroizing::new(product.compress().to_bytes());
        let mut text = Zeroizing::new(Vec::new());
        put(&mut text, DSI_KEY);
        put(&mut text, &self.session);
        put(&mut text, product.as_slice());
        let (own, other) = ((&self.share, own_data), (other, other_data));
        let (first, second) = match self.side {
            Side::Initiator => (own, other),
            Side::Responder => (other, own),
        };
        for (share, data) in [first, second] {
            put(&mut text, share);
            put(&mut text, data);
        }
        Ok(Secret::new(Sha512::digest(&text).into()))
    }
}

fn generator(common: Common<'_>) -> RistrettoPoint {
    let text = generator_text(common);
    RistrettoPoint::from_uniform_bytes(&Sha512::digest(&text).into())
}

/// The password fills the first block of the hash, whatever its length.
fn generator_text(common: Common<'_>) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(2 * BLOCK));
    put(&mut text, DSI);
    put(&mut text, common.password);
    let padding = BLOCK.saturating_sub(text.len() + 1);
    put(&mut text, &vec![0; padding]);
    put(&mut text, common.channel);
    put(&mut text, common.session);
    text
}

/// A string with its length before it, as LEB128.
fn put(text: &mut Vec<u8>, part: &[u8]) {
    let mut length = part.len();
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits fit");
        length >>= 7;
        if length == 0 {
            text.push(low);
            break;
        }
        text.push(low | 0x80);
    }
    text.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &[u8] = b"oc\x0bB_responder\x0bA_initiator";

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).unwrap();
        bytes
    }

    fn scalar(text: &str) -> Zeroizing<Scalar> {
        Zeroizing::new(Scalar::from_bytes_mod_order(bytes(text)))
    }

    /// If this fails, do not change the test: these are the numbers of draft-irtf-cfrg-cpace.
    #[test]
    fn the_vectors_of_the_draft_hold() {
        let session: [u8; 16] = bytes("7e4b4791d6a8ef019b936c79fb7f2c57");
        let common = Common { password: b"Password", channel: CHANNEL, session: &session };
        assert_eq!(generator_text(common).len(), 172);
        assert_eq!(
            hex::encode(generator(common).compress().to_bytes()),
            "a6fc82c3b8968fbb2e06fee81ca858586dea50d248f0c7ca6a18b0902a30b36b"
        );
        let a = scalar("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08");
        let b = scalar("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d");
        let a = Exchange::with_scalar(Side::Initiator, common, a);
        let b = Exchange::with_scalar(Side::Responder, common, b);
        let (share_a, share_b) = (a.share(), b.share());
        assert_eq!(
            hex::encode(share_a),
            "d40fb265a7abeaee7939d91a585fe59f7053f982c296ec413c624c669308f87a"
        );
        assert_eq!(
            hex::encode(share_b),
            "08bcf6e9777a9c313a3db6daa510f2d398403319c2341bd506a92e672eb7e307"
        );
        let key = a.finish(&share_b, b"ADa", b"ADb").unwrap();
        assert_eq!(
            hex::encode(key.reveal()),
            "4c5469a16b2364c4b944ebc1a79e51d1674ad47db26e8718154f59faebfaa52d\
             8346f30aa58377117eb20d527f2cbc5c76381f7fd372e89df8239f87f2e02ed1"
        );
        assert_eq!(b.finish(&share_a, b"ADb", b"ADa").unwrap(), key);
    }

    fn both(password: (&[u8], &[u8]), channel: (&[u8], &[u8])) -> (Secret<64>, Secret<64>) {
        let side = |side, password, channel, seed| {
            let common = Common { password, channel, session: b"one" };
            Exchange::begin(side, common, &Secret::new([seed; 64]))
        };
        let a = side(Side::Initiator, password.0, channel.0, 3);
        let b = side(Side::Responder, password.1, channel.1, 5);
        let (share_a, share_b) = (a.share(), b.share());
        (a.finish(&share_b, b"", b"").unwrap(), b.finish(&share_a, b"", b"").unwrap())
    }

    #[test]
    fn another_password_or_another_channel_gives_another_key() {
        let (a, b) = both((b"12345678", b"12345678"), (b"tls", b"tls"));
        assert_eq!(a, b);
        let (a, b) = both((b"12345678", b"12345679"), (b"tls", b"tls"));
        assert_ne!(a, b);
        let (a, b) = both((b"12345678", b"12345678"), (b"tls one", b"tls two"));
        assert_ne!(a, b);
    }

    #[test]
    fn what_is_no_element_is_refused() {
        let begin = || {
            let common = Common { password: b"1", channel: b"2", session: b"3" };
            Exchange::begin(Side::Initiator, common, &Secret::new([9; 64]))
        };
        assert_eq!(begin().finish(&[0; 32], b"", b""), Err(InvalidShare), "the neutral element");
        assert_eq!(begin().finish(&[0xff; 32], b"", b""), Err(InvalidShare), "not canonical");
    }
}
