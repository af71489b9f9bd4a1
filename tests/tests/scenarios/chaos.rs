//! A minute of chaos with a seed by chance.

use devstack::testing::{PROGRAMS_VARIABLE, program};
use tokio::process::Command;
use tokio::time::timeout;

/// Drains included, on the slowest of machines.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_chaos_loses_and_doubles_nothing() {
    let chaos = program("chaos");
    let mut command = Command::new(&chaos);
    command.args(["--seconds", "60"]).kill_on_drop(true);
    command.env(PROGRAMS_VARIABLE, chaos.parent().expect("a folder of programs"));
    let output = timeout(LIMIT, command.output()).await.expect("an end in time").expect("a program");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The first line says how to repeat it.
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    let summary = stdout.lines().last().unwrap_or_default();
    assert!(summary.contains(" 0 lost, 0 doubled, 0 unexpected"), "{stdout}");
    assert!(!summary.contains(" 0 acknowledged"), "nothing was paid: {stdout}");
}
