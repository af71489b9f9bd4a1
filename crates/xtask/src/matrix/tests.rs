use std::path::PathBuf;
use std::time::Duration;

use super::roots::{Servers, System};
use super::{Row, is_good, row_text, summary_json, summary_text};
use crate::count::Counts;

fn row(system: System, tests: u64, failed: u64) -> Row {
    let versions = ("18.1".to_owned(), "4.3.6".to_owned());
    Row {
        servers: Servers { system, root: PathBuf::from("/r"), postgres: versions.0, rabbitmq: versions.1 },
        counts: Counts { tests, failed, skipped: 0 },
        broke_off: false,
        elapsed: Duration::from_millis(61_900),
        log: PathBuf::from("/r/stable.tests.log"),
    }
}

#[test]
fn a_row_names_the_versions_and_the_last_line_sums_up() {
    let rows = [row(System::Stable, 700, 0), row(System::Testing, 700, 0)];
    assert_eq!(
        row_text(&rows[0]),
        "debian stable: PostgreSQL 18.1, RabbitMQ 4.3.6: 700 tests, 0 failed, 0 skipped, 61 s"
    );
    assert_eq!(summary_text(&rows), "matrix: 2 servers, 700 tests each, 0 failed, 0 skipped");
    assert!(is_good(&rows));
    assert!(summary_json(&rows).contains(r#""postgres":"18.1""#));
}

#[test]
fn a_failure_a_run_that_broke_off_and_tests_that_did_not_run_are_not_good() {
    let mut broken = row(System::Unstable, 0, 0);
    broken.broke_off = true;
    assert!(
        row_text(&broken).ends_with("0 tests, 1 failed, 0 skipped, 61 s (broke off: /r/stable.tests.log)")
    );
    assert!(!is_good(&[row(System::Stable, 700, 1)]));
    assert!(!is_good(&[row(System::Stable, 0, 0)]));
    let rows = [row(System::Stable, 700, 0), row(System::Testing, 690, 0)];
    assert!(!is_good(&rows));
    assert_eq!(summary_text(&rows), "matrix: 2 servers, 690 to 700 tests, 0 failed, 0 skipped");
}
