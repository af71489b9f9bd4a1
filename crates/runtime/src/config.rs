//! Variables that all services read alike.

use messaging::RetryDelays;
use service::Loader;

const RETENTION: &str = "PAYRELAY_RETENTION_DAYS";
const DEFAULT_RETENTION_DAYS: u16 = 30;
/// Below a week, what an operator looks into after a holiday would be gone.
const MIN_RETENTION_DAYS: u16 = 7;
/// Each day is a partition, and each statement plans for all of them.
const MAX_RETENTION_DAYS: u16 = 3650;

/// `PAYRELAY_RETENTION_DAYS`, from 7 to 3650.
pub fn retention_days(loader: &mut Loader) -> u16 {
    let days = loader.parse(RETENTION, DEFAULT_RETENTION_DAYS);
    if !(MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS).contains(&days) {
        let advice = format!("set it to a number from {MIN_RETENTION_DAYS} to {MAX_RETENTION_DAYS}");
        loader.reject(RETENTION, format!("{days} is out of bounds"), advice);
    }
    days
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
