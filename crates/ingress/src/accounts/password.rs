//! Pay passwords and their hashes.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;
use service::{Problem, Secret};

/// Fewer are guessed too easily.
const MIN_CHARS: usize = 6;
/// More is no password.
const MAX_CHARS: usize = 128;

/// argon2id with 19 MiB, 2 passes and 1 lane (OWASP Password Storage Cheat Sheet).
pub(super) const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// What a password is compared with where there is no user, so that this takes as long: parameters as above, and a hash that
/// no password has.
pub(super) const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aXNub2JvZHkh$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A pay password as it came. Neither shown nor kept.
#[derive(Clone)]
pub(crate) struct PayPassword(Secret);

impl PayPassword {
    /// The password itself, if a user may have it.
    pub(super) fn with_checked_length(self) -> Result<Self, Problem> {
        let chars = self.0.expose().chars().count();
        if (MIN_CHARS..=MAX_CHARS).contains(&chars) {
            Ok(self)
        } else {
            let detail = format!("pay_password: expected {MIN_CHARS} to {MAX_CHARS} characters, got {chars}");
            Err(Problem::invalid(detail))
        }
    }

    /// Its hash under a new salt, as a PHC string. Takes 19 MiB and some 20 ms of a core.
    pub(super) fn hash(&self) -> Result<String, argon2::password_hash::Error> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let hash = hasher()?.hash_password_with_salt(self.0.expose().as_bytes(), &salt)?;
        Ok(hash.to_string())
    }

    /// Whether this hash is its own. Takes what the parameters in the hash say; they are ours, of now or of earlier.
    pub(super) fn matches_hash(&self, hash: &str) -> Result<bool, argon2::password_hash::Error> {
        let hash = PasswordHash::new(hash)?;
        match hasher()?.verify_password(self.0.expose().as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn hasher() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl fmt::Debug for PayPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayPassword(…)")
    }
}

impl<'de> Deserialize<'de> for PayPassword {
    /// Takes a text. An error does not quote what came instead, for that may be the password, too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text.into())),
            _ => Err(D::Error::custom("pay_password: expected a string")),
        }
    }
}

#[cfg(test)]
mod tests;
