//! Signatures, keys and encryption of webhooks. One program, for each one more is linked anew.

mod encryption;
mod form_md5;
mod keys;
mod properties;
mod vectors;
