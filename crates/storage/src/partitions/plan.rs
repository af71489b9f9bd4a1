//! Which partitions a table should have. Pure.

use std::collections::BTreeSet;

use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};

use super::Partitioned;

/// Days ahead of today that have a partition.
pub(super) const DAYS_AHEAD: i64 = 3;
/// Yesterday has one even without any retention: its last events still arrive after midnight.
const MIN_DAYS_BEHIND: i64 = 1;

/// A partition, of the instants from `from` to before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) from: OffsetDateTime,
    pub(super) to: OffsetDateTime,
}

/// What to do about the partitions of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) create: Vec<Partition>,
    /// By name.
    pub(super) drop: Vec<String>,
}

/// Compares what the partitions cover with what they should, as of `today`.
pub(super) fn plan(table: &Partitioned, existing: &[Partition], today: Date) -> Plan {
    let behind = i64::from(table.retention_days).max(MIN_DAYS_BEHIND);
    let oldest = today.saturating_sub(Duration::days(behind));
    let until = today.saturating_add(Duration::days(DAYS_AHEAD + 1));
    let expired = existing.iter().filter(|partition| partition.to <= midnight(oldest));
    let mut drop: Vec<_> = expired.map(|partition| partition.name.clone()).collect();
    drop.retain(|name| is_named_by_us(table.table, name));
    drop.sort_unstable();
    Plan { create: uncovered(table.table, existing, oldest, until), drop }
}

/// The partitions that the days from `first` to before `until` lack, one for each day. Those that stand need not be days of
/// UTC: an earlier release, whose sessions were in another zone, has made days of that zone. What they leave of a day gets a
/// partition of its own, so that there is neither a gap nor an overlap.
pub(super) fn uncovered(table: &str, existing: &[Partition], first: Date, until: Date) -> Vec<Partition> {
    let mut covered: Vec<_> = existing.iter().map(|partition| (partition.from, partition.to)).collect();
    covered.sort_unstable();
    let mut names: BTreeSet<_> = existing.iter().map(|partition| partition.name.clone()).collect();
    let mut missing = Vec::new();
    let mut day = first;
    while let Some(next) = day.next_day().filter(|next| *next <= until) {
        let (mut from, end) = (midnight(day), midnight(next));
        // Past the last one the rest of the day is left.
        for (covered_from, covered_to) in covered.iter().copied().chain([(end, end)]) {
            if from < covered_from.min(end) {
                let (name, to) = (name(table, from, &names), covered_from.min(end));
                names.insert(name.clone());
                missing.push(Partition { name, from, to });
            }
            from = from.max(covered_to);
        }
        day = next;
    }
    missing
}

fn midnight(day: Date) -> OffsetDateTime {
    day.midnight().assume_utc()
}

/// `{table}_pYYYYMMDD`, or `{table}_pYYYYMMDD_HHMMSS` where one of another zone has taken that.
fn name(table: &str, from: OffsetDateTime, taken: &BTreeSet<String>) -> String {
    let name = partition_name(table, from.date());
    if !taken.contains(&name) {
        return name;
    }
    let (hour, minute, second) = from.to_hms();
    format!("{name}_{hour:02}{minute:02}{second:02}")
}

/// `{table}_pYYYYMMDD`
fn partition_name(table: &str, day: Date) -> String {
    format!("{table}_p{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

/// Whether [`name`] gives such names. What an operator has named otherwise is the operator's to drop.
fn is_named_by_us(table: &str, partition: &str) -> bool {
    let stamp = partition.strip_prefix(table).and_then(|rest| rest.strip_prefix("_p"));
    let Some((day, time)) = stamp.map(|stamp| stamp.split_once('_').unwrap_or((stamp, "000000"))) else {
        return false;
    };
    (day.len(), time.len()) == (8, 6)
        && Date::parse(day, format_description!("[year][month][day]")).is_ok()
        && Time::parse(time, format_description!("[hour][minute][second]")).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::{date, datetime};

    use super::*;

    const TABLE: Partitioned =
        Partitioned { schema: "pay", table: "events", retention_days: 7, keep_if: None };

    fn names(partitions: &[Partition]) -> Vec<&str> {
        partitions.iter().map(|partition| &*partition.name).collect()
    }

    /// Days of a zone that is `offset` ahead of UTC, named by their dates there.
    fn local(first: Date, days: i64, offset: Duration) -> Vec<Partition> {
        let day = |n| {
            let day = first + Duration::days(n);
            let from = midnight(day) - offset;
            Partition { name: partition_name("events", day), from, to: from + Duration::DAY }
        };
        (0..days).map(day).collect()
    }

    /// Asserts that nothing between the days is left out or covered twice, and that no name is given twice.
    fn seamless(partitions: &[Partition], first: Date, until: Date) {
        let mut ranges: Vec<_> = partitions.iter().map(|partition| (partition.from, partition.to)).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{partitions:?}");
        let (earliest, latest) = ranges.first().zip(ranges.last()).expect("some");
        assert!(earliest.0 <= midnight(first) && latest.1 >= midnight(until), "{partitions:?}");
        let distinct: BTreeSet<_> = names(partitions).into_iter().collect();
        assert_eq!(distinct.len(), partitions.len());
    }

    #[test]
    fn a_new_table_gets_the_retention_and_three_days_ahead() {
        let plan = plan(&TABLE, &[], date!(2026 - 03 - 01));
        let names = names(&plan.create);
        assert_eq!(names.first(), Some(&"events_p20260222"));
        assert_eq!(names.last(), Some(&"events_p20260304"));
        assert_eq!(names.len(), 11);
        assert_eq!(plan.create[10].from, datetime!(2026-03-04 00:00 UTC));
        assert_eq!(plan.drop, [""; 0]);
    }

    #[test]
    fn midnight_adds_one_day_and_expires_one() {
        let before = plan(&TABLE, &[], date!(2026 - 12 - 31)).create;
        let after = plan(&TABLE, &before, date!(2027 - 01 - 01));
        assert_eq!(names(&after.create), ["events_p20270104"]);
        assert_eq!(after.drop, ["events_p20261224"]);
    }

    #[test]
    fn after_days_of_another_zone_comes_what_they_leave() {
        for (offset, filler) in [(8, "events_p20260304_160000"), (-5, "events_p20260305")] {
            let mut all = local(date!(2026 - 02 - 20), 13, Duration::hours(offset));
            let new = plan(&TABLE, &all, date!(2026 - 03 - 02)).create;
            assert_eq!(names(&new), [filler, "events_p20260305"][..=usize::from(offset > 0)], "{offset}");
            all.extend(new);
            seamless(&all, date!(2026 - 02 - 23), date!(2026 - 03 - 06));
            assert_eq!(plan(&TABLE, &all, date!(2026 - 03 - 02)).create, []);
        }
    }

    #[test]
    fn a_gap_that_stands_between_two_zones_is_filled() {
        let mut all = local(date!(2026 - 02 - 20), 10, Duration::hours(8));
        all.extend(local(date!(2026 - 03 - 02), 4, Duration::ZERO));
        let new = plan(&TABLE, &all, date!(2026 - 03 - 02)).create;
        assert_eq!(names(&new), ["events_p20260301_160000"]);
        assert_eq!(
            (new[0].from, new[0].to),
            (datetime!(2026-03-01 16:00 UTC), datetime!(2026-03-02 00:00 UTC))
        );
        assert!(is_named_by_us("events", &new[0].name), "it expires as well");
    }

    #[test]
    fn nothing_expires_before_its_last_instant_does() {
        // The last of them until 5 o'clock of the 23rd.
        let local = local(date!(2026 - 02 - 20), 3, Duration::hours(-5));
        let dropped = |today| plan(&TABLE, &local, today).drop.len();
        assert_eq!([dropped(date!(2026 - 03 - 02)), dropped(date!(2026 - 03 - 03))], [2, 3]);
    }

    #[test]
    fn only_our_own_names_are_dropped() {
        for ours in ["events_p20260131", "events_p20260131_160000"] {
            assert!(is_named_by_us("events", ours), "{ours}");
        }
        for other in [
            "events_p20260231",
            "events_p2026013",
            "events_p20260131_16",
            "events_p20260131_250000",
            "events_default",
            "eventsx_p20260131",
            "x",
        ] {
            assert!(!is_named_by_us("events", other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_plan_carried_out_leaves_nothing_to_do(
            retention_days in 0_u16..60, start in 2_460_000_i32..2_470_000, days in 0_i32..90,
            local_days in 0_i64..70, minutes in -720_i64..840,
        ) {
            let table = Partitioned { retention_days, ..TABLE };
            let first = Date::from_julian_day(start).expect("in range");
            let mut existing = local(first - Duration::days(60), local_days, Duration::minutes(minutes));
            for ordinal in [start, start + days] {
                let today = Date::from_julian_day(ordinal).expect("in range");
                let planned = plan(&table, &existing, today);
                existing.extend(planned.create);
                existing.retain(|partition| !planned.drop.contains(&partition.name));
                prop_assert_eq!(plan(&table, &existing, today), Plan { create: vec![], drop: vec![] });
                let oldest = today - Duration::days(i64::from(retention_days.max(1)));
                let kept: Vec<_> = existing.iter().filter(|p| p.to > midnight(oldest)).cloned().collect();
                seamless(&kept, oldest, today + Duration::days(DAYS_AHEAD + 1));
            }
        }
    }
}
