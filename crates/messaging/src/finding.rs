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

/// What kind of fault a finding is, for programs that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// It is not there; a service declares it.
    Missing,
    /// A policy makes a queue lose or mislead messages: nothing is published while it does.
    PolicyLoses,
    /// Anything else.
    Other,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorFinding {
    /// Its name in the output of tools, as `binding_missing`. Stable.
    pub code: &'static str,
    /// What the services decide by.
    #[serde(skip)]
    pub kind: FindingKind,
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

impl DoctorFinding {
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
            kind: FindingKind::Other,
            severity: Severity::Error,
            subject: subject.into(),
            expected,
            found,
            advice: advice.into(),
        }
    }

    /// The same finding, of this kind.
    #[must_use]
    pub fn of_kind(self, kind: FindingKind) -> Self {
        Self { kind, ..self }
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

impl fmt::Display for DoctorFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.subject, self.expected, self.found)
    }
}
