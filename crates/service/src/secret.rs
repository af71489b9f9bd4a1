//! Values that must not appear in logs, errors or core dumps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A text that `Debug` does not show and that is wiped when dropped. It has no `Display`.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself. Hand it on, never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this secret, in a time that depends on its length only. An empty secret matches nothing.
    pub fn matches(&self, given: &str) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(given.as_bytes()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The 32 bytes that encrypt secrets at rest.
#[derive(Clone, Default)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Reads standard base64 of exactly 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        Some(Self(Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?)))
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let key = MasterKey::from_base64(&STANDARD.encode([7; 32])).expect("32 bytes");
        assert_eq!(format!("{:?} {key:?}", Secret::from("hunter2")), "Secret(…) MasterKey(…)");
    }

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::from("hunter2");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter3") && !secret.matches("hunter") && !secret.matches(""));
        assert!(!Secret::default().matches(""));
    }

    #[test]
    fn a_master_key_has_32_bytes() {
        assert_eq!(MasterKey::from_base64(&STANDARD.encode([7; 32])).expect("32 bytes").expose(), &[7; 32]);
        assert!(MasterKey::from_base64(&STANDARD.encode([7; 31])).is_none());
        assert!(MasterKey::from_base64("not base64").is_none());
    }
}
