//! Variables that all services read alike.

use messaging::RetryDelays;
use service::Loader;
use service::config::Setting;

/// What the documents say about these variables.
pub const SETTINGS: [Setting; 2] = [
    Setting {
        name: "PAYRELAY_RETRY_DELAYS",
        meaning: "Delays of the retry queues. They name the queues, so set them alike on all services.",
    },
    Setting {
        name: RETENTION,
        meaning: "How long raw callbacks, events, logs of handled events, webhook attempts and bodies are kept. \
                  Set it alike on all services.",
    },
];

const RETENTION: &str = "PAYRELAY_RETENTION_DAYS";
const DEFAULT_RETENTION_DAYS: u16 = 30;
/// Below a week, what an operator looks into after a holiday would be gone.
const MIN_RETENTION_DAYS: u16 = 7;
/// Each day is a partition, and each statement plans for all of them.
const MAX_RETENTION_DAYS: u16 = 3650;

/// `PAYRELAY_RETENTION_DAYS`, from 7 to 3650.
pub fn retention_days(loader: &mut Loader) -> u16 {
    loader.bounded(RETENTION, DEFAULT_RETENTION_DAYS, MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS)
}

/// `PAYRELAY_RETRY_DELAYS`, the delays of the retry queues.
pub fn retry_delays(loader: &mut Loader) -> RetryDelays {
    loader.parse("PAYRELAY_RETRY_DELAYS", RetryDelays::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retention_has_bounds() {
        for (given, is_good) in [("6", false), ("7", true), ("3650", true), ("3651", false), ("65536", false)]
        {
            let mut loader = Loader::from_map([(RETENTION.to_owned(), given.to_owned())].into());
            retention_days(&mut loader);
            assert_eq!(loader.finish().is_ok(), is_good, "{given}");
        }
        let mut loader = Loader::from_map(std::collections::BTreeMap::new());
        assert_eq!(retention_days(&mut loader), 30);
    }
}
