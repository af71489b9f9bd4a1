//! `run_main` as a process sees it. The program runs itself again as the service, for only a process has an exit code.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::anyhow;
use service::config::Ports;
use service::{Common, Loader, Shutdown, StartRefusal};

const BEHAVIOUR: &str = "SERVICE_TEST_BEHAVIOUR";
const VALID: [(&str, &str); 6] = [
    ("PAYRELAY_DATABASE_URL", "postgres://pay@db/pay"),
    ("PAYRELAY_AMQP_URL", "amqp://mq"),
    ("PAYRELAY_ADMIN_TOKEN", "hunter2"),
    ("PAYRELAY_LOG", "off"),
    ("PAYRELAY_DRAIN_DELAY_SECONDS", "0"),
    ("PAYRELAY_SHUTDOWN_GRACE_SECONDS", "1"),
];

fn main() -> ExitCode {
    if env::var_os(BEHAVIOUR).is_some() {
        return service::run_main("pretender", Config::load, run);
    }
    wrong_configuration_is_78_with_every_error();
    a_failure_is_1_with_one_line();
    a_panic_is_1_with_one_line();
    a_panic_is_a_line_of_the_log();
    a_refusal_is_78_with_one_line();
    a_signal_ends_it_with_0("TERM");
    a_signal_ends_it_with_0("INT");
    who_ignores_the_signal_is_ended_after_the_grace();
    the_end_is_announced_and_a_second_signal_does_not_wait_for_it();
    ExitCode::SUCCESS
}

struct Config(Common);

impl Config {
    fn load(loader: &mut Loader) -> Self {
        Self(Common::load(loader, Ports { http: Some(8080), admin: 9080 }))
    }
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.0
    }
}

async fn run(_config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "running")?;
    match env::var(BEHAVIOUR).as_deref() {
        Ok("fail") => Err(anyhow!("the cable is cut")),
        Ok("panic") => panic!("the {} falls", "roof"),
        Ok("refuse") => {
            Err(anyhow!(StartRefusal("the table is not laid".to_owned())).context("before the start"))
        }
        Ok("ignore") => std::future::pending().await,
        Ok("tell") => {
            shutdown.draining.cancelled().await;
            writeln!(std::io::stdout(), "draining, soft: {}", shutdown.soft.is_cancelled())?;
            shutdown.soft.cancelled().await;
            Ok(())
        }
        _ => {
            shutdown.soft.cancelled().await;
            Ok(())
        }
    }
}

fn start(behaviour: &str, variables: &[(&str, &str)]) -> Child {
    let program = env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command.env_clear().env(BEHAVIOUR, behaviour).envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn wait_until_it_runs(child: &mut Child) -> impl FnMut() -> String + use<> {
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut next = move || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        line
    };
    assert_eq!(next(), "running\n");
    next
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// The exit code and what was written to standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut text = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
    (child.wait().expect("it ends").code(), text)
}

fn wrong_configuration_is_78_with_every_error() {
    let (code, text) = end(start("obey", &[("PAYRELAY_ADMIN_ADDR", "here")]));
    assert_eq!(code, Some(78), "{text}");
    let told: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).collect();
    let expected =
        ["PAYRELAY_DATABASE_URL", "PAYRELAY_AMQP_URL", "PAYRELAY_ADMIN_ADDR", "PAYRELAY_ADMIN_TOKEN"];
    assert_eq!(told, expected);
}

fn a_failure_is_1_with_one_line() {
    assert_eq!(end(start("fail", &VALID)), (Some(1), "pretender: the cable is cut\n".to_owned()));
}

fn a_panic_is_1_with_one_line() {
    assert_eq!(end(start("panic", &VALID)), (Some(1), "pretender: panicked: the roof falls\n".to_owned()));
}

fn a_panic_is_a_line_of_the_log() {
    let json = [("PAYRELAY_LOG", "error"), ("PAYRELAY_LOG_FORMAT", "json")];
    let (code, text) = end(start("panic", &[VALID.as_slice(), &json].concat()));
    assert_eq!((code, text.lines().count()), (Some(1), 2), "{text}");
    let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["level"], &line["panic"]), (&"ERROR".into(), &"the roof falls".into()), "{line}");
    assert!(line["location"].as_str().expect("a location").contains("exit_codes.rs"), "{line}");
}

fn a_refusal_is_78_with_one_line() {
    let told = "pretender: before the start: the table is not laid\n".to_owned();
    assert_eq!(end(start("refuse", &VALID)), (Some(78), told));
}

fn a_signal_ends_it_with_0(name: &str) {
    let mut child = start("obey", &VALID);
    let _output = wait_until_it_runs(&mut child);
    signal(&child, name);
    assert_eq!(end(child), (Some(0), String::new()), "{name}");
}

fn who_ignores_the_signal_is_ended_after_the_grace() {
    let mut child = start("ignore", &VALID);
    let _output = wait_until_it_runs(&mut child);
    signal(&child, "TERM");
    assert_eq!(end(child), (Some(1), "pretender: did not stop within the grace of 1 s\n".to_owned()));
}

fn the_end_is_announced_and_a_second_signal_does_not_wait_for_it() {
    let mut child = start("tell", &[VALID.as_slice(), &[("PAYRELAY_DRAIN_DELAY_SECONDS", "300")]].concat());
    let mut next = wait_until_it_runs(&mut child);
    signal(&child, "TERM");
    assert_eq!(next(), "draining, soft: false\n");
    signal(&child, "TERM");
    assert_eq!(end(child), (Some(0), String::new()));
}
