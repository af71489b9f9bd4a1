//! The command line of a comparison.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::machine::setting;
use crate::plan::Span;
use crate::process::Programs;

/// How two versions are compared.
#[derive(Debug, Args)]
pub(crate) struct CompareOptions {
    /// What the old version is called: its revision.
    #[arg(long, value_name = "REV")]
    pub(super) against: String,
    /// The programs of the old version.
    #[arg(long, value_name = "DIR")]
    against_programs: PathBuf,
    /// The programs of the new version.
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// Fail if CPU per payment, or the median latency, is certainly above so many times that of the old version.
    #[arg(long, value_name = "RATIO", default_value_t = 1.02, value_parser = positive)]
    pub(super) at_most: f64,
    /// Pairs of turns [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=64))]
    pairs: Option<u32>,
    /// Seconds that are measured of each turn, after a quarter as long that is not [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=200))]
    seconds: Option<u32>,
    /// Payments per second [default: 0.4 of what the old version carries here]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// Two pairs of 8 seconds: shows that everything works, and decides nothing.
    #[arg(long)]
    quick: bool,
    /// Write everything that was measured to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// A setting for the services of both versions; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(super) set: Vec<(String, String)>,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Old,
    New,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number")?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("expected more than 0".to_owned()) }
}

impl CompareOptions {
    /// How many pairs of turns there are.
    pub(super) fn pairs(&self) -> u32 {
        self.pairs.unwrap_or(if self.quick { 2 } else { 8 })
    }

    /// How long each turn is. A quarter of what is measured is run before it: five seconds of twenty.
    pub(super) fn span(&self) -> Span {
        let seconds = self.seconds.unwrap_or(if self.quick { 8 } else { 20 });
        let measured = Duration::from_secs(seconds.into());
        Span { warm: measured / 4, measured }
    }

    /// Where the programs of a version are.
    pub(super) fn programs(&self, version: Version) -> Programs {
        Programs::of(match version {
            Version::Old => &self.against_programs,
            Version::New => &self.programs,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: CompareOptions,
    }

    fn parsed(arguments: &[&str]) -> Result<CompareOptions, clap::Error> {
        let needed = ["compare", "--against", "v1", "--against-programs", "/old", "--programs", "/new"];
        Line::try_parse_from(needed.iter().chain(arguments)).map(|line| line.options)
    }

    #[test]
    fn without_options_there_are_eight_pairs_of_twenty_seconds_and_two_in_a_hundred_are_allowed() {
        let options = parsed(&[]).unwrap();
        assert_eq!((options.pairs(), options.at_most, options.rate), (8, 1.02, None));
        let span = options.span();
        assert_eq!((span.warm, span.measured), (Duration::from_secs(5), Duration::from_secs(20)));
    }

    #[test]
    fn what_is_given_holds_and_quick_fills_in_the_rest() {
        let options =
            parsed(&["--quick", "--pairs", "3", "--at-most", "1.5", "--rate", "700", "--set", "A=b"])
                .unwrap();
        assert_eq!((options.pairs(), options.at_most, options.rate), (3, 1.5, Some(700)));
        assert_eq!(options.span().measured, Duration::from_secs(8));
        assert_eq!(options.set, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(parsed(&["--quick"]).unwrap().pairs(), 2);
        assert_eq!(parsed(&["--quick", "--seconds", "12"]).unwrap().span().warm, Duration::from_secs(3));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for wrong in
            [["--pairs", "1"], ["--at-most", "0"], ["--at-most", "NaN"], ["--rate", "0"], ["--seconds", "1"]]
        {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn each_version_has_its_own_programs() {
        let options = parsed(&[]).unwrap();
        let missing = |version| options.programs(version).path("ingress").unwrap_err().to_string();
        assert!(missing(Version::Old).starts_with("/old/ingress is missing"));
        assert!(missing(Version::New).starts_with("/new/ingress is missing"));
    }
}
