//! Pure crates read no clock and draw no random number: each has a `clippy.toml` that forbids it.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::PURE;
use super::workspace::{folder_of, member, read};

/// What a pure crate may not call, beside what nobody may.
const FORBIDDEN: [&str; 7] = [
    "time::OffsetDateTime::now_utc",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "uuid::Uuid::now_v7",
    "uuid::Uuid::new_v4",
    "rand::random",
    "rand::rng",
];

#[test]
fn pure_crates_may_not_read_the_clock_or_draw_random_numbers() {
    for name in PURE {
        let settings = settings_of(name);
        let forbidden: BTreeSet<_> =
            disallowed(&settings).iter().filter_map(|method| method["path"].as_str()).collect();
        assert!(FORBIDDEN.iter().all(|path| forbidden.contains(path)), "{name} forbids only {forbidden:?}");
    }
}

/// Clippy reads the nearest `clippy.toml` only, so a crate's own holds the workspace's, too.
#[test]
fn clippy_is_as_strict_with_pure_crates_as_with_all() {
    let all: Table = read("clippy.toml").parse().expect("a table");
    for name in PURE {
        let mut settings = settings_of(name);
        let lost: Vec<_> =
            disallowed(&all).iter().filter(|method| !disallowed(&settings).contains(method)).collect();
        assert!(lost.is_empty(), "{name} allows {lost:?}");
        settings.insert(METHODS.to_owned(), all[METHODS].clone());
        assert_eq!(settings, all, "{name} has other settings");
    }
}

const METHODS: &str = "disallowed-methods";

fn disallowed(settings: &Table) -> &Vec<Value> {
    settings[METHODS].as_array().expect("a list of methods")
}

fn settings_of(name: &str) -> Table {
    read(folder_of(member(name)).join("clippy.toml")).parse().expect("a table")
}
