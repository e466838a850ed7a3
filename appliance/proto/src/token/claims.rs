//! What a token says, and whether that is believed.

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::paseto::{self, PURPOSE};
use crate::ids::{Hash32, NodeId, SiteId, TerminalId};
use crate::limits::USER_ROLES_MAX;
use crate::problem::Code;
use crate::time::Timestamp;

/// A token that was signed later than now by this is not believed.
const EARLY_MS_MAX: i64 = 120_000;

/// Who is logged in where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The box that signed.
    pub iss: NodeId,
    /// The user's id in masterdata.
    pub sub: String,
    /// The site.
    pub site: SiteId,
    /// The till.
    pub till: TerminalId,
    /// The ids of the user's roles at the login.
    pub roles: Vec<String>,
    /// The version of the user's record at the login: a newer one ends the token.
    pub uv: u64,
    /// When the user typed the password.
    pub login: Timestamp,
    /// When this token was signed.
    pub iat: Timestamp,
    /// When it ends.
    pub exp: Timestamp,
    /// The key that its bearer has to show (RFC 7800); a till that logged in without a certificate has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// What the bearer of a token has to hold besides the token.
///
/// The key and not the certificate (`x5t#S256` of RFC 8705), because a till renews its certificate in the middle of a
/// shift and keeps its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The SHA-256 of the key's SubjectPublicKeyInfo.
    #[serde(rename = "spki#S256")]
    pub spki: Hash32,
}

/// Who shows a token over TLS: the name and the key of its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a> {
    /// Its name, if it is a terminal; a box or peer has no business with a person's token.
    pub till: Option<&'a str>,
    /// The SHA-256 of the key's SubjectPublicKeyInfo.
    pub key: Hash32,
}

/// Against what a token is judged.
#[derive(Debug, Clone)]
pub struct Grounds<'a> {
    /// This site.
    pub site: &'a SiteId,
    /// Now.
    pub now: Timestamp,
    /// The longest that somebody stays logged in without typing the password again, in milliseconds.
    pub shift_ms: i64,
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Changed, cut, not a token, or not signed by whom it says.
    #[error("the token is broken: changed, or not signed by whom it says")]
    Broken,
    /// Signed by a box that nobody vouches for here.
    #[error("the token was signed with a key that is not known here")]
    KeyUnknown,
    /// Of another site.
    #[error("the token is of another site")]
    Foreign,
    /// Over.
    #[error("the token ended at {0}")]
    Expired(Timestamp),
    /// From the future.
    #[error("the token begins at {0}, which has not come")]
    Early(Timestamp),
    /// Shown by somebody else than the till that it was made for.
    #[error("the token is of another terminal: it counts only with the certificate of its own")]
    Bearer,
    /// The user's record has changed since, or is gone.
    #[error("the user was changed or disabled since the token was made; log in again")]
    Outdated,
}

impl TokenError {
    /// What a box answers.
    pub fn code(&self) -> Code {
        match self {
            Self::Broken => Code::TokenBroken,
            Self::KeyUnknown | Self::Foreign | Self::Bearer => Code::TokenForeign,
            Self::Expired(_) | Self::Early(_) => Code::TokenExpired,
            Self::Outdated => Code::TokenOutdated,
        }
    }
}

impl Claims {
    /// The id of a token key: the first half of the BLAKE3 hash of its public half.
    pub fn key_id(key: &VerifyingKey) -> String {
        hex::encode(&blake3::hash(key.as_bytes()).as_bytes()[..16])
    }

    /// The token that says this.
    pub fn sign(&self, key: &SigningKey) -> String {
        let payload = serde_json::to_vec(self).expect("names and times are JSON");
        let kid = Self::key_id(&key.verifying_key());
        paseto::sign(key, &payload, kid.as_bytes(), PURPOSE)
    }

    /// What a token says, if the key that it names is known and signed it, and time and place are right.
    ///
    /// `find` looks a public key up by its id. Whether the user is still the same is asked of masterdata.
    pub fn check(
        token: &str,
        grounds: &Grounds<'_>,
        find: impl FnOnce(&str) -> Option<(NodeId, VerifyingKey)>,
    ) -> Result<Self, TokenError> {
        let named = paseto::peek_key(token)?;
        let (node, key) = find(&named).ok_or(TokenError::KeyUnknown)?;
        let (payload, footer) = paseto::open(&key, token, PURPOSE)?;
        if footer != Self::key_id(&key).as_bytes() {
            return Err(TokenError::Broken);
        }
        let claims: Self = serde_json::from_slice(&payload).map_err(|_| TokenError::Broken)?;
        if claims.iss != node || claims.roles.len() > USER_ROLES_MAX {
            return Err(TokenError::Broken);
        }
        if claims.site != *grounds.site {
            return Err(TokenError::Foreign);
        }
        let now_ms = grounds.now.unix_ms();
        if claims.iat.unix_ms() > now_ms + EARLY_MS_MAX {
            return Err(TokenError::Early(claims.iat));
        }
        let end_ms = claims.login.unix_ms().saturating_add(grounds.shift_ms);
        let end = claims.exp.min(Timestamp::from_unix_ms(end_ms));
        match now_ms < end.unix_ms() {
            true => Ok(claims),
            false => Err(TokenError::Expired(end)),
        }
    }

    /// Whether whoever shows this may; nobody: it came without a certificate.
    pub fn check_bearer(&self, bearer: Option<Bearer<'_>>) -> Result<(), TokenError> {
        let is_fine = match (bearer, self.cnf) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(bearer), cnf) => {
                let is_key = cnf.is_none_or(|cnf| cnf.spki == bearer.key);
                is_key && bearer.till == Some(self.till.as_str())
            }
        };
        is_fine.then_some(()).ok_or(TokenError::Bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let at = |ms: i64| Timestamp::from_unix_ms(1_793_500_000_000 + ms);
        Claims {
            iss: "box-1".parse().unwrap(),
            sub: "u7".to_owned(),
            site: "store-7".parse().unwrap(),
            till: "till-3".parse().unwrap(),
            roles: vec!["cashier".to_owned()],
            uv: 4,
            login: at(0),
            iat: at(0),
            exp: at(900_000),
            cnf: None,
        }
    }

    #[test]
    fn a_token_that_was_taken_is_worth_nothing_on_another_connection() {
        let (own, other) = (Hash32([1; 32]), Hash32([2; 32]));
        let shown = |till, key| Some(Bearer { till, key });
        let free = claims();
        let bound = Claims { cnf: Some(Confirmation { spki: own }), ..claims() };
        for (claims, bearer, may) in [
            (&free, None, true),
            (&free, shown(Some("till-3"), own), true),
            (&free, shown(Some("till-4"), own), false),
            (&free, shown(None, own), false),
            (&bound, None, false),
            (&bound, shown(Some("till-3"), own), true),
            (&bound, shown(Some("till-3"), other), false),
            (&bound, shown(Some("till-4"), own), false),
        ] {
            let wanted = if may { Ok(()) } else { Err(TokenError::Bearer) };
            assert_eq!(claims.check_bearer(bearer), wanted, "{bearer:?} {:?}", claims.cnf);
        }
        let text = serde_json::to_string(&bound).unwrap();
        assert!(text.contains("\"cnf\":{\"spki#S256\":\"01"), "{text}");
        assert_eq!(serde_json::from_str::<Claims>(&text).unwrap(), bound);
    }

    fn judge(token: &str, site: &str, ms: i64, key: &SigningKey) -> Result<Claims, TokenError> {
        let site = site.parse().unwrap();
        let now = Timestamp::from_unix_ms(1_793_500_000_000 + ms);
        let grounds = Grounds { site: &site, now, shift_ms: 3_600_000 };
        let known = key.verifying_key();
        let find = |named: &str| {
            (named == Claims::key_id(&known)).then(|| ("box-1".parse().unwrap(), known))
        };
        Claims::check(token, &grounds, find)
    }

    #[test]
    fn any_box_of_the_site_judges_a_token_alone() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let token = claims().sign(&key);
        assert!(token.len() < 600, "{} bytes", token.len());
        assert_eq!(judge(&token, "store-7", 1000, &key), Ok(claims()));
        assert_eq!(judge(&token, "store-8", 1000, &key), Err(TokenError::Foreign));
        let over = judge(&token, "store-7", 900_000, &key);
        assert!(matches!(over, Err(TokenError::Expired(_))));
        let early = judge(&token, "store-7", -120_001, &key);
        assert!(matches!(early, Err(TokenError::Early(_))));
        let other = SigningKey::from_bytes(&[4; 32]);
        assert_eq!(judge(&token, "store-7", 1000, &other), Err(TokenError::KeyUnknown));
    }

    #[test]
    fn no_renewal_goes_beyond_the_shift() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let mut long = claims();
        long.exp = Timestamp::from_unix_ms(long.login.unix_ms() + 90_000_000);
        let token = long.sign(&key);
        assert!(judge(&token, "store-7", 3_599_999, &key).is_ok());
        assert!(matches!(judge(&token, "store-7", 3_600_000, &key), Err(TokenError::Expired(_))));
    }

    #[test]
    fn a_box_cannot_sign_in_the_name_of_another() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let mut forged = claims();
        forged.iss = "box-2".parse().unwrap();
        assert_eq!(judge(&forged.sign(&key), "store-7", 0, &key), Err(TokenError::Broken));
    }
}
