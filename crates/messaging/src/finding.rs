//! What is wrong with one thing, told in a way that programs and people can act on.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Messages are or will be lost, held up or misled; or nobody can tell.
    Error,
    /// Nothing is lost now, and something should be set right all the same.
    Warning,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What programs decide by, as `binding_missing`. Stable.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, as `queue trade.pay.success.queue`.
    pub subject: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "to_do")]
    pub advice: String,
}

impl Finding {
    /// An error about `subject`; `compared` is what is expected and what is there.
    pub fn error(
        code: &'static str,
        subject: impl Into<String>,
        compared: (impl Into<String>, impl Into<String>),
        advice: impl Into<String>,
    ) -> Self {
        let (expected, found) = (compared.0.into(), compared.1.into());
        Self {
            code,
            severity: Severity::Error,
            subject: subject.into(),
            expected,
            found,
            advice: advice.into(),
        }
    }

    /// A warning about `subject`; `compared` is what is expected and what is there.
    pub fn warning(
        code: &'static str,
        subject: impl Into<String>,
        compared: (impl Into<String>, impl Into<String>),
        advice: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, subject, compared, advice) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.subject, self.expected, self.found)
    }
}
