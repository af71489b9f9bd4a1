//! [Standard Webhooks](https://www.standardwebhooks.com): signing and verifying, both `v1` (HMAC-SHA256) and
//! `v1a` (Ed25519).
//!
//! A webhook carries three headers ([`ID_HEADER`], [`TIMESTAMP_HEADER`], [`SIGNATURE_HEADER`]) and a body of any
//! bytes. What is signed is `{id}.{timestamp}.{body}`. The id is stable over retries, so that the receiver can drop
//! repetitions; the timestamp is new for every attempt, so that a recorded request is worthless after
//! [`TOLERANCE_SECONDS`].
//!
//! The crate does no I/O: clock and random bytes are passed in.
//!
//! | text | held by | is |
//! |---|---|---|
//! | `whsec_…` | both sides | 24–64 random bytes for HMAC: a [`Secret`], and its own [`VerifyingKey`] |
//! | `whsk_…` | the sender | an Ed25519 key pair or seed: a [`Secret`] |
//! | `whpk_…` | the receiver | the Ed25519 public key: a [`VerifyingKey`] |
//!
//! Beside the standard: [`form_md5`] signs forms for merchants with code of older gateways, and [`encryption`] hides the data of
//! a webhook from whoever looks at it on its way, and [`target`] judges the addresses that merchants want them sent to.
//!
//! ```
//! use webhooks::{Headers, Secret, VerifyError, VerifyingKey, sign, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = 1_767_225_600;
//! let secret: Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
//! let next = Secret::generate([7; 32]); // 32 bytes of the caller's random generator
//!
//! // During a rotation the sender signs with both, and a receiver that knows either is content.
//! let signature = sign(&[secret, next], "msg_1", now, b"{}")?;
//!
//! let keys: [VerifyingKey; 1] = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?];
//! let headers = Headers { id: Some("msg_1"), timestamp: Some("1767225600"), signature: Some(&signature) };
//! assert_eq!(verify(&keys, &headers, b"{}", now)?.id, "msg_1");
//! assert_eq!(verify(&keys, &headers, b"{ }", now), Err(VerifyError::BadSignature));
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("../README.md")]

pub mod encryption;
pub mod form_md5;
mod key;
mod sign;
pub mod target;
mod verify;

pub use key::{KeyError, Secret, VerifyingKey, Version};
pub use sign::{SignError, sign};
pub use verify::{Headers, Verified, VerifyError, verify};

/// Header with the id of the message, the same for every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// Header with the time of the attempt, in whole seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures, divided by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the timestamp may lie from the receiver's clock, in the past or in the future (inclusive).
pub const TOLERANCE_SECONDS: u64 = 300;
/// Longest id in bytes. The specification sets no limit; ours keeps what is stored bounded.
pub const MAX_ID_BYTES: usize = 255;

/// The bytes that are signed. `id` must hold no `.`, or two different messages could have the same content.
fn signed_content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

fn is_valid_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}
