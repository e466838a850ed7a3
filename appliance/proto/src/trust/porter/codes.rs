//! The typed code: one window at a time, three exchanges, one newcomer.

use super::super::cpace::{Common, Exchange, Side};
use super::super::proof;
use super::super::words::{ByCode, Bytes32, CodeShare};
use super::super::{Kind, Secret};
use super::slips::SlipEnd;
use super::{
    Approved, CODE_ROLES, Event, From, Porter, Refused, Way, Wish, check_ask, digits, is_proven,
};
use crate::limits::{CODE_ATTEMPTS_MAX, CODE_SESSIONS_MAX};
use crate::time::Timestamp;

/// How long an exchange may take.
const EXCHANGE_MS: i64 = 30_000;

/// A code that is open.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) wish: Wish,
    code: Secret<8>,
    pub(super) until: Timestamp,
    attempts: u32,
    opened: Timestamp,
}

/// An exchange under way on one channel.
#[derive(Debug)]
pub(super) struct Session {
    key: Secret<32>,
    pub(super) until: Timestamp,
    /// When its window was opened: a later window is none of its business.
    window: Timestamp,
}

impl Porter {
    /// Opens the window for a code of eight digits, in place of one that may be open.
    pub fn open_code(
        &mut self,
        wish: Wish,
        code: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.handle_timeout(now);
        if wish.kind == Kind::Box {
            return Err(Refused::Box);
        }
        let code: [u8; 8] =
            digits(code).into_bytes().try_into().map_err(|_| Refused::OtherMember)?;
        self.close_code(now);
        self.say(Event::Opened { way: Way::Code, by: wish.by.clone(), until, at: now });
        let code = Secret::new(code);
        self.window = Some(Window { wish, code, until, attempts: 0, opened: now });
        Ok(())
    }

    /// Closes the window; returns whether one was open.
    pub fn close_code(&mut self, now: Timestamp) -> bool {
        self.sessions.clear();
        let was_open = self.window.take().is_some();
        if was_open {
            self.say(Event::Ended { way: Way::Code, why: SlipEnd::Closed, at: now });
        }
        was_open
    }

    /// The first message about a code: counts as an attempt, because the answer tells whether a guess was right.
    pub fn handle_share(
        &mut self,
        from: From,
        message: &CodeShare,
        random: &Secret<64>,
        now: Timestamp,
    ) -> Result<CodeShare, Refused> {
        self.check_patience(from, Way::Code, now)?;
        self.expire_codes(now);
        let Some(window) = &mut self.window else {
            return Err(self.refuse(from, Way::Code, Refused::Closed, now));
        };
        if window.attempts >= CODE_ATTEMPTS_MAX {
            return Err(self.exhaust(from, now));
        }
        if self.sessions.len() >= CODE_SESSIONS_MAX {
            return Err(self.refuse(from, Way::Code, Refused::Full, now));
        }
        window.attempts += 1;
        let common =
            Common { password: window.code.reveal(), channel: CODE_ROLES, session: &from.channel };
        let opened = window.opened;
        let exchange = Exchange::begin(Side::Responder, common, random);
        let share = CodeShare { share: Bytes32(exchange.share()) };
        let Ok(shared) = exchange.finish(&message.share.0, b"", b"") else {
            return Err(self.refuse(from, Way::Code, Refused::Proof, now));
        };
        let until = Timestamp::from_unix_ms(now.unix_ms() + EXCHANGE_MS);
        let key = proof::key_of_code(&shared);
        self.sessions.insert(from.channel, Session { key, until, window: opened });
        Ok(share)
    }

    /// The second message about a code: the newcomer proves itself first.
    pub fn handle_code(
        &mut self,
        from: From,
        message: ByCode,
        now: Timestamp,
    ) -> Result<Approved, Refused> {
        self.check_patience(from, Way::Code, now)?;
        self.expire_codes(now);
        let ByCode { ask, proof } = message;
        let session = self.sessions.remove(&from.channel).ok_or(Refused::NotBegun);
        let judged = session.and_then(|session| {
            let window = self.window.as_ref().ok_or(Refused::Closed)?;
            if window.opened != session.window {
                return Err(Refused::Closed);
            }
            if !is_proven(&session.key, from, &ask, &proof) {
                return Err(Refused::Proof);
            }
            check_ask(&window.wish, &ask)?;
            Ok(session.key)
        });
        match judged {
            Ok(key) => {
                let window = self.window.take().expect("it was just looked at");
                self.sessions.clear();
                Ok(self.approve_member(from, Way::Code, &window.wish, ask, key, now))
            }
            Err(why) => {
                let why = self.refuse(from, Way::Code, why, now);
                self.close_if_used_up(now);
                Err(why)
            }
        }
    }

    fn exhaust(&mut self, from: From, now: Timestamp) -> Refused {
        self.close_if_used_up(now);
        self.refuse(from, Way::Code, Refused::Closed, now)
    }

    /// The last attempt may still be under way; without any the window is closed.
    fn close_if_used_up(&mut self, now: Timestamp) {
        let used_up = |window: &Window| window.attempts >= CODE_ATTEMPTS_MAX;
        if self.sessions.is_empty() && self.window.as_ref().is_some_and(used_up) {
            self.window = None;
            self.say(Event::Ended { way: Way::Code, why: SlipEnd::Exhausted, at: now });
        }
    }

    pub(super) fn expire_codes(&mut self, now: Timestamp) {
        self.sessions.retain(|_, session| session.until > now);
        if self.window.as_ref().is_some_and(|window| window.until <= now) {
            self.window = None;
            self.sessions.clear();
            self.say(Event::Ended { way: Way::Code, why: SlipEnd::Expired, at: now });
        }
        self.close_if_used_up(now);
    }
}
