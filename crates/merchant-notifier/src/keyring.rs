//! The keys of an endpoint: what its webhooks are signed with, and what their data is encrypted with.

use std::fmt;

use thiserror::Error;
use webhooks::{Secret, Version, encryption, form_md5};
use zeroize::Zeroizing;

use crate::{Format, Signature};

/// How many secrets of one version may sign at once: the present one, and earlier ones in their overlap.
pub const MAX_LIVE: usize = 3;

/// All keys of one endpoint. Redacted in `Debug`, wiped when dropped.
#[derive(Clone, Default)]
pub struct Keyring {
    /// The newest first.
    signing: Vec<Signing>,
    form: Option<form_md5::Key>,
    encryption: Option<encryption::Key>,
}

#[derive(Clone)]
struct Signing {
    secret: Secret,
    /// Until when it signs, in seconds since 1970. The present secret of a version has no end.
    until: Option<i64>,
}

/// What was made, to be told once.
#[derive(Default)]
pub struct Fresh {
    /// The secret that the merchant verifies with: `whsec_…`, or `whmd5_…` for forms. Ed25519 has none to tell.
    pub secret: Option<Zeroizing<String>>,
    /// The key that the merchant opens data with: `whenc_…`.
    pub encryption_key: Option<Zeroizing<String>>,
    /// Whether the keyring is another than it was.
    pub changed: bool,
}

/// What is no keyring. Tells nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a keyring is malformed")]
pub struct MalformedKeyring;

/// Another secret would make too many that sign at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{MAX_LIVE} secrets sign already")]
pub struct TooManySecrets {
    /// When the first of them ends, in seconds since 1970.
    pub ends_at: i64,
}

impl Keyring {
    /// Makes what `format`, and the signatures and the encryption asked for, want and do not have, and drops what they do not want;
    /// `None` keeps what there is. The same again changes nothing.
    ///
    /// Keys of a format that is left stay, so that going back needs no new ones.
    pub fn fit(&mut self, format: Format, signature: Option<Signature>, encrypted: Option<bool>) -> Fresh {
        let mut fresh = Fresh::default();
        match format {
            Format::FormMd5 if self.form.is_none() => self.make_form_key(&mut fresh),
            Format::FormMd5 => {}
            Format::Standard => self.fit_signature(signature.unwrap_or(self.signature()), &mut fresh),
        }
        match encrypted {
            Some(true) if self.encryption.is_none() => self.make_encryption_key(&mut fresh),
            Some(false) => fresh.changed |= self.encryption.take().is_some(),
            _ => {}
        }
        fresh
    }

    fn fit_signature(&mut self, signature: Signature, fresh: &mut Fresh) {
        let before = self.signing.len();
        self.signing.retain(|signing| signature.includes(signing.secret.version()));
        fresh.changed |= self.signing.len() != before;
        for version in [Version::V1a, Version::V1] {
            if signature.includes(version) && self.present(version).is_none() {
                self.make_secret(version, fresh);
            }
        }
    }

    /// New keys that webhooks of `format` are signed with. Earlier secrets go on beside them for `overlap_seconds`, unless they end
    /// before. A form holds one signature: its earlier key ends at once, whatever the overlap.
    ///
    /// # Errors
    /// When more than [`MAX_LIVE`] secrets would sign. An overlap of 0 always works, and [`Self::replace_last`] while earlier
    /// secrets sign.
    pub fn rotate(
        &mut self,
        format: Format,
        now: i64,
        overlap_seconds: u32,
    ) -> Result<Fresh, TooManySecrets> {
        let mut fresh = Fresh::default();
        if format == Format::FormMd5 {
            self.make_form_key(&mut fresh);
            return Ok(fresh);
        }
        let (signature, end) = (self.signature(), now.saturating_add(overlap_seconds.into()));
        let mut earlier = self.clone();
        for signing in &mut earlier.signing {
            signing.until = Some(signing.until.map_or(end, |until| until.min(end)));
        }
        earlier.signing.retain(|signing| signing.signs(now));
        for version in [Version::V1a, Version::V1].into_iter().filter(|version| signature.includes(*version))
        {
            let ends = earlier.signing.iter().filter(|signing| signing.secret.version() == version);
            let ends: Vec<i64> = ends.filter_map(|signing| signing.until).collect();
            if let (true, Some(ends_at)) = (ends.len() >= MAX_LIVE, ends.iter().min()) {
                return Err(TooManySecrets { ends_at: *ends_at });
            }
            earlier.make_secret(version, &mut fresh);
        }
        *self = earlier;
        Ok(fresh)
    }

    /// New secrets in the place of the last ones, which were told to nobody and end at once. The earlier ones, one of which the
    /// merchant has, go on as long as they would have. `None` when none of them signs any more.
    pub fn replace_last(&mut self, now: i64) -> Option<Fresh> {
        let mut fresh = Fresh::default();
        self.signing.retain(|signing| signing.signs(now));
        for version in [Version::V1a, Version::V1] {
            let of_version = |signing: &&Signing| signing.secret.version() == version;
            if self.signing.iter().filter(of_version).any(|signing| signing.until.is_some()) {
                self.signing.retain(|signing| signing.until.is_some() || !of_version(&signing));
                self.make_secret(version, &mut fresh);
            }
        }
        fresh.changed.then_some(fresh)
    }

    /// A new key that data is encrypted with, from now on; `None` if it is not encrypted.
    pub fn rotate_encryption(&mut self) -> Option<Fresh> {
        self.encryption.as_ref()?;
        let mut fresh = Fresh::default();
        self.make_encryption_key(&mut fresh);
        Some(fresh)
    }

    fn make_secret(&mut self, version: Version, fresh: &mut Fresh) {
        let secret = match version {
            Version::V1 => Secret::generate(rand::random()),
            Version::V1a => Secret::generate_ed25519(rand::random()),
        };
        if version == Version::V1 {
            fresh.secret = Some(secret.expose());
        }
        fresh.changed = true;
        self.signing.insert(0, Signing { secret, until: None });
    }

    fn make_form_key(&mut self, fresh: &mut Fresh) {
        let key = form_md5::Key::generate(rand::random());
        fresh.secret = Some(Zeroizing::new(key.expose().to_owned()));
        fresh.changed = true;
        self.form = Some(key);
    }

    fn make_encryption_key(&mut self, fresh: &mut Fresh) {
        let key = encryption::Key::generate(rand::random());
        fresh.encryption_key = Some(key.expose());
        fresh.changed = true;
        self.encryption = Some(key);
    }

    /// The secrets that sign at `now` (seconds since 1970), the newest first.
    pub fn secrets(&self, now: i64) -> impl Iterator<Item = &Secret> {
        self.signing.iter().filter(move |signing| signing.signs(now)).map(|signing| &signing.secret)
    }

    /// What forms are signed with, if the endpoint ever wanted them.
    pub fn form_key(&self) -> Option<&form_md5::Key> {
        self.form.as_ref()
    }

    /// What data is encrypted with, if it is.
    pub fn encryption_key(&self) -> Option<&encryption::Key> {
        self.encryption.as_ref()
    }

    /// Which signatures a webhook of the standard carries.
    pub fn signature(&self) -> Signature {
        match (self.present(Version::V1), self.present(Version::V1a)) {
            (Some(_), Some(_)) => Signature::Both,
            (None, Some(_)) => Signature::V1a,
            (_, None) => Signature::V1,
        }
    }

    /// The public key of the present Ed25519 secret, `whpk_…`: no secret.
    pub fn public_key(&self) -> Option<String> {
        self.present(Version::V1a).map(|secret| secret.verifying_key().expose().to_string())
    }

    /// When the last of the earlier secrets ends, if one still signs at `now`.
    pub fn earlier_until(&self, now: i64) -> Option<i64> {
        self.signing.iter().filter(|signing| signing.signs(now)).filter_map(|signing| signing.until).max()
    }

    /// What a release that knows one secret and no format may sign with.
    #[must_use]
    pub fn for_older_releases(&self, format: Format) -> Self {
        let plain = format == Format::Standard && self.encryption.is_none();
        let secret = self.present(Version::V1).filter(|_| plain).cloned();
        secret.unwrap_or_else(|| Secret::generate(rand::random())).into()
    }

    fn present(&self, version: Version) -> Option<&Secret> {
        let mut present = self.signing.iter().filter(|signing| signing.until.is_none());
        present.find(|signing| signing.secret.version() == version).map(|signing| &signing.secret)
    }

    /// The text to be stored encrypted: one key a line, told apart by their prefixes, behind a secret its end. One secret alone
    /// is the text that releases without keyrings have stored.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut lines: Vec<Zeroizing<String>> = Vec::new();
        for signing in &self.signing {
            let until = signing.until.map_or_else(String::new, |until| format!(" {until}"));
            lines.push(Zeroizing::new([signing.secret.expose().as_str(), &until].concat()));
        }
        lines.extend(self.form.as_ref().map(|key| Zeroizing::new(key.expose().to_owned())));
        lines.extend(self.encryption.as_ref().map(encryption::Key::expose));
        Zeroizing::new(lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"))
    }

    /// The inverse of [`Self::to_text`].
    pub fn from_text(text: &str) -> Result<Self, MalformedKeyring> {
        let mut keyring = Self::default();
        for line in text.lines() {
            if line.starts_with(form_md5::KEY_PREFIX) {
                keyring.form = Some(line.parse().map_err(|_| MalformedKeyring)?);
            } else if line.starts_with(encryption::KEY_PREFIX) {
                keyring.encryption = Some(line.parse().map_err(|_| MalformedKeyring)?);
            } else {
                keyring.signing.push(Signing::from_line(line)?);
            }
        }
        Ok(keyring)
    }
}

impl Signing {
    fn signs(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn from_line(line: &str) -> Result<Self, MalformedKeyring> {
        let (secret, until) =
            line.split_once(' ').map_or((line, None), |(secret, until)| (secret, Some(until)));
        let until = until.map(str::parse).transpose().map_err(|_| MalformedKeyring)?;
        Ok(Self { secret: secret.parse().map_err(|_| MalformedKeyring)?, until })
    }
}

impl From<Secret> for Keyring {
    fn from(secret: Secret) -> Self {
        Self { signing: vec![Signing { secret, until: None }], ..Self::default() }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(…)")
    }
}

#[cfg(test)]
mod tests;
