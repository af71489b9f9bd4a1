//! Which partitions a table should have. Pure.

use std::collections::BTreeSet;

use time::{Date, Duration};

use super::Partitioned;

/// Days ahead of today that have a partition.
pub(super) const DAYS_AHEAD: i64 = 3;
/// Yesterday has one even without any retention: its last events still arrive after midnight.
const MIN_DAYS_BEHIND: i64 = 1;

/// What to do about the partitions of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) create: Vec<Date>,
    pub(super) drop: Vec<Date>,
}

/// Compares the days that have a partition with those that should, as of `today`.
pub(super) fn plan(table: &Partitioned, existing: &BTreeSet<Date>, today: Date) -> Plan {
    let behind = i64::from(table.retention_days).max(MIN_DAYS_BEHIND);
    let oldest = today.saturating_sub(Duration::days(behind));
    let create = (-behind..=DAYS_AHEAD)
        .filter_map(|offset| today.checked_add(Duration::days(offset)))
        .filter(|day| !existing.contains(day))
        .collect();
    let drop = existing.iter().copied().filter(|day| *day < oldest).collect();
    Plan { create, drop }
}

/// `{table}_pYYYYMMDD`.
pub(super) fn partition_name(table: &str, day: Date) -> String {
    format!("{table}_p{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

/// The day of a partition that [`partition_name`] named; none for any other name.
pub(super) fn partition_day(table: &str, partition: &str) -> Option<Date> {
    let digits = partition.strip_prefix(table)?.strip_prefix("_p").filter(|digits| digits.len() == 8)?;
    Date::parse(digits, time::macros::format_description!("[year][month][day]")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    const TABLE: Partitioned =
        Partitioned { schema: "pay", table: "events", retention_days: 7, keep_if: None };

    #[test]
    fn a_new_table_gets_the_retention_and_three_days_ahead() {
        let plan = plan(&TABLE, &BTreeSet::new(), date!(2026 - 03 - 01));
        assert_eq!(plan.create.first(), Some(&date!(2026 - 02 - 22)));
        assert_eq!(plan.create.last(), Some(&date!(2026 - 03 - 04)));
        assert_eq!(plan.create.len(), 11);
        assert_eq!(plan.drop, []);
    }

    #[test]
    fn midnight_adds_one_day_and_expires_one() {
        let before: BTreeSet<_> =
            plan(&TABLE, &BTreeSet::new(), date!(2026 - 12 - 31)).create.into_iter().collect();
        let after = plan(&TABLE, &before, date!(2027 - 01 - 01));
        assert_eq!(after.create, [date!(2027 - 01 - 04)]);
        assert_eq!(after.drop, [date!(2026 - 12 - 24)]);
    }

    #[test]
    fn only_our_own_names_are_days() {
        assert_eq!(partition_day("events", "events_p20260131"), Some(date!(2026 - 01 - 31)));
        for other in ["events_p20260231", "events_p2026013", "events_default", "eventsx_p20260131", "x"] {
            assert_eq!(partition_day("events", other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_and_days_round_trip(ordinal in 2_400_000_i32..2_500_000) {
            let day = Date::from_julian_day(ordinal).expect("in range");
            prop_assert_eq!(partition_day("events", &partition_name("events", day)), Some(day));
        }

        #[test]
        fn a_plan_carried_out_leaves_nothing_to_do(retention_days in 0_u16..60, start in 2_460_000_i32..2_470_000, days in 0_i32..90) {
            let table = Partitioned { retention_days, ..TABLE };
            let mut existing = BTreeSet::new();
            for ordinal in [start, start + days] {
                let today = Date::from_julian_day(ordinal).expect("in range");
                let first = plan(&table, &existing, today);
                existing.extend(first.create);
                existing.retain(|day| !first.drop.contains(day));
                prop_assert_eq!(plan(&table, &existing, today), Plan { create: vec![], drop: vec![] });
                prop_assert!(existing.contains(&today));
            }
        }
    }
}
