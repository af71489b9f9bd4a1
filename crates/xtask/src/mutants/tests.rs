use std::time::Duration;

use super::account::{Account, Fate, Report};
use super::generated::outcomes;
use super::shard::Shard;
use super::survivors::Survivors;
use super::{listed, report_json, report_text};
use crate::cargo;

const LIST: &str = "\
# A comment.
crates/a/src/b.rs: replace < with <= in first
    Equivalent: nothing is as long.
    And more about it.
crates/a/src/b.rs: replace < with <= in first
    The other one of the same name.

crates/a/src/c.rs: replace | with ^ in second
    The bits are apart.
";

fn shard(text: &str) -> Shard {
    text.parse().unwrap()
}

#[test]
fn every_mutant_is_in_exactly_one_shard() {
    let shards = ["1/3", "2/3", "3/3"].map(shard);
    for place in 0..10 {
        assert_eq!(shards.iter().filter(|shard| shard.has(place)).count(), 1, "{place}");
    }
    assert_eq!((shards[2].to_string(), shards[2].counted_from_zero()), ("3/3".to_owned(), "2/3".to_owned()));
    assert!(shard("1/1").is_all() && !shards[0].is_all());
    for wrong in ["", "1", "0/2", "3/2", "1/0", "1/65", "-1/2", "a/b", "1/2/3"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong:?}");
    }
}

#[test]
fn survivors_are_counted_by_file_and_mutation() {
    let Survivors(survivors) = Survivors::parse(LIST).unwrap();
    let expected = [
        ("crates/a/src/b.rs: replace < with <= in first".to_owned(), 2),
        ("crates/a/src/c.rs: replace | with ^ in second".to_owned(), 1),
    ];
    assert_eq!(survivors, expected.into());
}

#[test]
fn a_survivor_without_a_reason_is_refused() {
    for (wrong, complaint) in [
        ("a.rs: one\n", "no reason is given for a.rs: one"),
        ("a.rs: one\nb.rs: two\n    why\n", "no reason is given for a.rs: one"),
        ("    why\na.rs: one\n    why\n", "a reason without a mutant: why"),
        ("one\n    why\n", "expected `file: mutation`: one"),
    ] {
        assert_eq!(Survivors::parse(wrong).unwrap_err().to_string(), complaint);
    }
    assert_eq!(Survivors::parse("# none\n").unwrap(), Survivors::default());
}

/// An account of these mutants, all there and all tested.
fn account(mutants: &[(&str, Fate)]) -> Account {
    let mut account = Account::default();
    for (key, fate) in mutants {
        account.there_is(key);
        account.add(key, *fate);
    }
    account
}

#[test]
fn what_survives_more_often_than_listed_is_new() {
    let survivors = Survivors([("a.rs: one".to_owned(), 1)].into());
    let mutants = [
        ("a.rs: one", Fate::Survived),
        ("a.rs: one", Fate::Survived),
        ("a.rs: two", Fate::Caught),
        ("a.rs: three", Fate::Unviable),
        ("a.rs: four", Fate::Survived),
    ];
    let report = account(&mutants).close(&survivors, true);
    let new = vec!["a.rs: four".to_owned(), "a.rs: one".to_owned()];
    assert_eq!(report, Report { caught: 1, unviable: 1, known: 1, new, stale: vec![] });
    assert_eq!((report.tested(), report.is_good()), (5, false));
    assert_eq!(
        report_text(&report, shard("2/4")),
        "new survivor: a.rs: four\nnew survivor: a.rs: one\n\
         mutants 2/4: 5 tested, 1 caught, 1 unviable, 1 known survivors, 2 new survivors"
    );
    let json = report_json(&report, shard("2/4"), Duration::from_millis(61_900));
    assert!(
        json.contains(r#""new_survivors":["a.rs: four","a.rs: one"]"#) && json.contains(r#""seconds":61"#),
        "{json}"
    );
}

#[test]
fn what_is_listed_and_caught_is_stale_and_fails_nothing() {
    let survivors = Survivors([("a.rs: one".to_owned(), 1), ("a.rs: gone".to_owned(), 1)].into());
    let report = account(&[("a.rs: one", Fate::Caught)]).close(&survivors, true);
    assert_eq!(report.stale, ["a.rs: gone", "a.rs: one"]);
    assert!(report.is_good());
    assert_eq!(
        report_text(&report, shard("1/1")),
        "stale, caught or gone by now: a.rs: gone\nstale, caught or gone by now: a.rs: one\n\
         mutants: 1 tested, 1 caught, 0 unviable, 0 known survivors, 0 new survivors"
    );
}

#[test]
fn of_what_another_shard_or_run_tests_nothing_is_said() {
    let survivors = Survivors([("a.rs: one".to_owned(), 1), ("b.rs: two".to_owned(), 1)].into());
    let mut account = account(&[("a.rs: one", Fate::Caught)]);
    account.there_is("a.rs: one");
    account.there_is("b.rs: two");
    assert_eq!(account.close(&survivors, true), Report { caught: 1, ..Report::default() });
    assert_eq!(Account::default().close(&survivors, false), Report::default());
}

#[test]
fn outcomes_are_read_without_lines_and_a_timeout_is_caught() {
    let outcome = |name: &str, summary: &str| {
        format!(
            r#"{{"scenario": {{"Mutant": {{"name": "{name}", "file": "crates/a/src/b.rs"}}}}, "summary": "{summary}"}}"#
        )
    };
    let text = format!(
        r#"{{"outcomes": [{{"scenario": "Baseline", "summary": "Success"}}, {}, {}, {}, {}]}}"#,
        outcome("crates/a/src/b.rs:1:2: replace == with != in <impl A for B>::c", "CaughtMutant"),
        outcome("crates/a/src/b.rs:3:4: replace d -> String with x: y", "MissedMutant"),
        outcome("crates/a/src/b.rs:5:6: e", "Timeout"),
        outcome("crates/a/src/b.rs:7:8: f", "Unviable"),
    );
    let expected = [
        ("crates/a/src/b.rs: replace == with != in <impl A for B>::c", Fate::Caught),
        ("crates/a/src/b.rs: replace d -> String with x: y", Fate::Survived),
        ("crates/a/src/b.rs: e", Fate::Caught),
        ("crates/a/src/b.rs: f", Fate::Unviable),
    ];
    assert_eq!(outcomes(&text).unwrap(), expected.map(|(key, fate)| (key.to_owned(), fate)));
    let broken = outcome("crates/a/src/b.rs:1:2: g", "Failure");
    assert!(outcomes(&format!(r#"{{"outcomes": [{broken}]}}"#)).is_err());
}

/// Each text of the list is in its file, once; and what is listed as a survivor has a reason.
#[test]
fn the_lists_of_this_workspace_are_in_order() {
    let root = cargo::workspace().unwrap();
    listed::read(&root).unwrap();
    Survivors::read(&root).unwrap();
}
