//! What documents say about variables: `docs/configuration.md` is made from it.

/// A variable, described for the people who set it. It stands beside the code that reads the variable.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name of the variable.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub meaning: &'static str,
}

/// A variable that a program has asked its [`super::Loader`] for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name of the variable.
    pub name: String,
    /// What happens without it.
    pub need: Need,
    /// Whether it may hold a secret, and so may come from a file.
    pub is_secret: bool,
    /// The least and the greatest value.
    pub bounds: Option<[String; 2]>,
}

/// What happens without a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The program does not start.
    Required,
    /// There is no value.
    Optional,
    /// This value holds.
    Default(String),
}
