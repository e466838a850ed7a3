//! The newcomer's side of enrolment.
//!
//! Each way is a value that is used up step by step; what it returns is sent, what comes back is given to the next.
//! A grant is believed only with the box's proof (or, for a request, after a person has compared the number): until
//! then nothing is known about who is at the other end.

use super::cpace::{Common, Exchange, Side};
use super::proof::{self, Channel};
use super::slip::Slip;
use super::words::{Ask, ByCode, BySlip, Bytes32, CodeShare, Grant, Granted, Nonce, Request};
use super::{Secret, porter};
use crate::limits::{CHAIN_MAX, JOIN_BYTES_MAX};

/// Why a newcomer walks away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The other side does not know the secret, or somebody stands in between.
    #[error(
        "the other side does not know the code or slip: it is not the box, or somebody is in between"
    )]
    Proof,
    /// The other side's share is nonsense.
    #[error("the other side does not follow the exchange")]
    Share,
    /// The grant is not what was asked for.
    #[error("the grant is not for this member: {0}")]
    Grant(&'static str),
}

/// Waits for a grant under a key that both sides should have.
#[derive(Debug)]
pub struct Pledge {
    key: Secret<32>,
    channel: Channel,
    ask: Ask,
}

impl Pledge {
    /// The grant, if the other side has proven itself.
    pub fn accept(self, granted: &Granted) -> Result<Grant, Distrust> {
        let wanted = proof::of_box(&self.key, &self.channel, &granted.grant);
        if !proof::is_same(&wanted, &granted.proof) {
            return Err(Distrust::Proof);
        }
        if granted.grant.len() > JOIN_BYTES_MAX {
            return Err(Distrust::Grant("it is too long"));
        }
        let grant: Grant = serde_json::from_str(&granted.grant)
            .map_err(|_| Distrust::Grant("it cannot be read"))?;
        if grant.name != self.ask.name {
            return Err(Distrust::Grant("another name"));
        }
        if !(1..=CHAIN_MAX).contains(&grant.chain.len()) {
            return Err(Distrust::Grant("its number of certificates"));
        }
        Ok(grant)
    }
}

/// By slip: one message, and a pledge.
pub fn by_slip(slip: &Slip, ask: Ask, channel: Channel) -> (BySlip, Pledge) {
    let key = proof::key_of_slip(&slip.secret);
    let proof = proof::of_newcomer(&key, &channel, &ask);
    (BySlip { slip: slip.id, ask: ask.clone(), proof }, Pledge { key, channel, ask })
}

/// By code, after the first message.
pub struct CodeJoiner {
    exchange: Exchange,
    channel: Channel,
    ask: Ask,
}

impl CodeJoiner {
    /// The first message, from 64 random bytes.
    pub fn begin(code: &str, ask: Ask, channel: Channel, random: &Secret<64>) -> (CodeShare, Self) {
        let code = porter::digits(code);
        let common =
            Common { password: code.as_bytes(), channel: porter::CODE_ROLES, session: &channel };
        let exchange = Exchange::begin(Side::Initiator, common, random);
        (CodeShare { share: Bytes32(exchange.share()) }, Self { exchange, channel, ask })
    }

    /// The second message.
    pub fn go_on(self, answer: &CodeShare) -> Result<(ByCode, Pledge), Distrust> {
        let Self { exchange, channel, ask } = self;
        let shared = exchange.finish(&answer.share.0, b"", b"").map_err(|_| Distrust::Share)?;
        let key = proof::key_of_code(&shared);
        let proof = proof::of_newcomer(&key, &channel, &ask);
        Ok((ByCode { ask: ask.clone(), proof }, Pledge { key, channel, ask }))
    }
}

/// By request, after the first message.
pub struct Requester {
    nonce: Bytes32,
    channel: Channel,
    ask: Ask,
}

impl Requester {
    /// The first message, from 32 random bytes.
    pub fn begin(ask: Ask, channel: Channel, random: [u8; 32]) -> (Request, Self) {
        let nonce = Bytes32(random);
        let commitment = proof::commitment(&channel, &ask, &nonce);
        (Request { ask: ask.clone(), commitment }, Self { nonce, channel, ask })
    }

    /// The second message, the number to show, and what to do once a person says that the box shows the same.
    pub fn go_on(self, answer: &Nonce) -> (Nonce, String, Compared) {
        let Self { nonce, channel, ask } = self;
        let number = proof::number(&channel, &ask, &nonce, &answer.nonce);
        let key = proof::key_of_request(&nonce, &answer.nonce);
        (Nonce { nonce }, number, Compared(Pledge { key, channel, ask }))
    }
}

/// Waits for a person who compares the numbers.
#[derive(Debug)]
pub struct Compared(Pledge);

impl Compared {
    /// The person has said that both numbers are the same.
    pub fn are_the_same(self) -> Pledge {
        self.0
    }
}
