//! Private stacks on real servers: side by side, through crashes, and gone with their owner.
#![expect(clippy::unwrap_used, reason = "a test program: to panic is to report")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use devstack::{Postgres, Stack, StackOptions, installed};

const POSTGRES_ONLY: StackOptions = StackOptions { postgres: true, rabbitmq: false, durable: false };
const BOTH: StackOptions = StackOptions { postgres: true, rabbitmq: true, durable: false };
/// Set for the copy of this test program that holds a stack until it is killed: `postgres` or `both`.
const HOLDER_VARIABLE: &str = "DEVSTACK_TEST_HOLDER";

fn sql(postgres: &Postgres, statement: &str) -> String {
    let output = installed::postgres()
        .unwrap()
        .command("psql")
        .args([
            "-X",
            "--tuples-only",
            "--no-align",
            "--dbname",
            &postgres.database_url(),
            "--command",
            statement,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + devstack::testing::DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there and not just waiting to be reaped.
fn runs(pid: u32) -> bool {
    let there =
        Command::new("sh").args(["-c", r#"kill -s 0 "$0" 2>/dev/null"#, &pid.to_string()]).status().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    there.success() && !stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
}

#[test]
fn two_stacks_run_side_by_side_and_leave_nothing() {
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| Stack::start(&BOTH).unwrap());
        let second = Stack::start(&BOTH).unwrap();
        (first.join().unwrap(), second)
    });
    sql(first.postgres(), "CREATE DATABASE only_in_first");
    first.rabbitmq().ctl(&["add_vhost", "only-in-first"]).unwrap();
    assert_eq!(
        sql(second.postgres(), "SELECT count(*) FROM pg_database WHERE datname = 'only_in_first'"),
        "0"
    );
    assert!(!second.rabbitmq().ctl(&["list_vhosts"]).unwrap().contains("only-in-first"));

    let (directory, pids) = (first.directory().to_owned(), [first.postgres().pid(), first.rabbitmq().pid()]);
    drop(first);
    assert!(!directory.exists());
    assert!(pids.into_iter().flatten().all(|pid| !runs(pid)));
    assert_eq!(sql(second.postgres(), "SELECT 1"), "1");
    second.rabbitmq().ctl(&["status"]).unwrap();
}

#[test]
fn a_stopped_and_a_killed_postgres_come_back_on_the_same_port_with_their_data() {
    let stack = Stack::start(&POSTGRES_ONLY).unwrap();
    let postgres = stack.postgres();
    let url = postgres.database_url();
    sql(postgres, "CREATE TABLE kept (step int)");
    for (step, end) in [Postgres::stop, Postgres::kill].into_iter().enumerate() {
        sql(postgres, &format!("INSERT INTO kept VALUES ({step})"));
        let pid = postgres.pid().unwrap();
        end(postgres).unwrap();
        assert_eq!(postgres.pid(), None);
        assert!(!runs(pid));
        end(postgres).unwrap(); // no effect
        postgres.start().unwrap();
        assert_ne!(postgres.pid(), Some(pid));
    }
    assert_eq!(postgres.database_url(), url);
    assert_eq!(sql(postgres, "SELECT count(*) FROM kept"), "2");
}

#[test]
fn postgres_flushes_to_the_disk_exactly_when_asked() {
    let durable = Stack::start(&StackOptions { durable: true, ..POSTGRES_ONLY }).unwrap();
    assert_eq!(sql(durable.postgres(), "SHOW fsync"), "on");
    drop(durable);
    let fast = Stack::start(&POSTGRES_ONLY).unwrap();
    assert_eq!(sql(fast.postgres(), "SHOW fsync"), "off");
    assert_eq!(
        sql(fast.postgres(), "SHOW synchronous_commit"),
        "on",
        "a killed server must not lose commits"
    );
}

#[test]
fn a_stopped_and_a_killed_broker_come_back_with_their_data_and_can_be_blocked() {
    let stack = Stack::start(&StackOptions { postgres: false, ..BOTH }).unwrap();
    let rabbitmq = stack.rabbitmq();
    let url = rabbitmq.amqp_url();
    for (vhost, end) in
        [("stopped", devstack::RabbitMq::stop as fn(&_) -> _), ("killed", devstack::RabbitMq::kill)]
    {
        rabbitmq.ctl(&["add_vhost", vhost]).unwrap();
        let pid = rabbitmq.pid().unwrap();
        end(rabbitmq).unwrap();
        assert!(!runs(pid));
        rabbitmq.start().unwrap();
        assert!(rabbitmq.ctl(&["list_vhosts"]).unwrap().lines().any(|line| line == vhost));
    }
    assert_eq!(rabbitmq.amqp_url(), url);

    let alarms = || rabbitmq.ctl(&["eval", "rabbit_alarm:get_alarms()."]).unwrap().trim().to_owned();
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0"]).unwrap();
    eventually("blocked by the memory alarm", || alarms().contains("memory"));
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).unwrap();
    eventually("free of alarms", || alarms() == "[]");

    let error = rabbitmq.ctl(&["no_such_command"]).unwrap_err().to_string();
    assert!(error.starts_with("rabbitmqctl no_such_command"), "{error}");
}

#[test]
fn a_killed_owner_leaves_no_process_and_no_file() {
    let holder = Holder::start("both");
    holder.signal("KILL");
    holder.expect_nothing_left();
}

#[test]
fn a_terminal_interrupt_ends_the_owner_and_then_its_servers() {
    let holder = Holder::start("postgres");
    holder.signal("INT");
    holder.expect_nothing_left();
}

#[test]
fn an_owner_killed_after_a_crash_and_a_restart_leaves_nothing_either() {
    let holder = Holder::start("restarted");
    holder.signal("KILL");
    holder.expect_nothing_left();
}

/// Not a test by itself: what [`Holder`] runs.
#[test]
fn hold_a_stack() {
    let Ok(kind) = env::var(HOLDER_VARIABLE) else {
        return;
    };
    let options = if kind == "both" { BOTH } else { POSTGRES_ONLY };
    let stack = Stack::start(&options).unwrap();
    if kind == "restarted" {
        stack.postgres().kill().unwrap();
        stack.postgres().start().unwrap();
    }
    let mut lines = vec![
        format!("\ndirectory {}", stack.directory().display()),
        format!("url {}", stack.postgres().database_url()),
        format!("pid {}", stack.postgres().pid().unwrap()),
    ];
    if options.rabbitmq {
        lines.push(format!("url {}", stack.rabbitmq().amqp_url()));
        lines.push(format!("pid {}", stack.rabbitmq().pid().unwrap()));
    }
    lines.push("held\n".to_owned());
    let mut stdout = std::io::stdout();
    stdout.write_all(lines.join("\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
    loop {
        thread::park();
    }
}

/// Another process that holds a stack; it has a process group of its own, as a program run from a terminal does.
struct Holder {
    child: Child,
    lines: Vec<String>,
}

impl Holder {
    fn start(kind: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["hold_a_stack", "--exact", "--nocapture"])
            .env(HOLDER_VARIABLE, kind)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map(Result::unwrap).take_while(|line| line != "held").collect();
        Self { child, lines }
    }

    /// To the whole process group, as a terminal does it.
    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        let status =
            Command::new("sh").args(["-c", r#"kill -s "$0" -- "$1""#, name, &group]).status().unwrap();
        assert!(status.success());
    }

    fn expect_nothing_left(mut self) {
        self.child.wait().unwrap();
        let directory = self.lines.iter().find_map(|line| line.strip_prefix("directory ")).unwrap();
        let directory = Path::new(directory);
        let pids =
            self.lines.iter().filter_map(|line| line.strip_prefix("pid ")).map(|pid| pid.parse().unwrap());
        let pids: Vec<u32> = pids.collect();
        assert!(!pids.is_empty());
        eventually("the servers have ended", || pids.iter().all(|pid| !runs(*pid)));
        eventually("the directory has gone", || !directory.exists());
        for url in self.lines.iter().filter_map(|line| line.strip_prefix("url ")) {
            let address = url.rsplit_once('@').unwrap().1.split('/').next().unwrap();
            assert!(TcpStream::connect(address).is_err(), "{address} still answers");
        }
    }
}
