//! `run_main` as a process sees it. The program runs itself again as the service, for only a process has an exit code.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::anyhow;
use service::config::Ports;
use service::{Common, Loader, Refusal, Shutdown};

const BEHAVIOUR: &str = "SERVICE_TEST_BEHAVIOUR";
const VALID: [(&str, &str); 5] = [
    ("PAYRELAY_DATABASE_URL", "postgres://pay@db/pay"),
    ("PAYRELAY_AMQP_URL", "amqp://mq"),
    ("PAYRELAY_ADMIN_TOKEN", "hunter2"),
    ("PAYRELAY_LOG", "off"),
    ("PAYRELAY_SHUTDOWN_GRACE_SECONDS", "1"),
];

fn main() -> ExitCode {
    if env::var_os(BEHAVIOUR).is_some() {
        return service::run_main("pretender", Config::load, run);
    }
    wrong_configuration_is_78_with_every_error();
    a_failure_is_1_with_one_line();
    a_refusal_is_78_with_one_line();
    a_signal_ends_it_with_0("TERM");
    a_signal_ends_it_with_0("INT");
    who_ignores_the_signal_is_ended_after_the_grace();
    ExitCode::SUCCESS
}

struct Config(Common);

impl Config {
    fn load(loader: &mut Loader) -> Self {
        Self(Common::load(loader, Ports { http: None, admin: 9080 }))
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
        Ok("refuse") => Err(anyhow!(Refusal("the table is not laid".to_owned())).context("before the start")),
        Ok("ignore") => std::future::pending().await,
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

fn wait_until_it_runs(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "running\n");
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

fn a_refusal_is_78_with_one_line() {
    let told = "pretender: before the start: the table is not laid\n".to_owned();
    assert_eq!(end(start("refuse", &VALID)), (Some(78), told));
}

fn a_signal_ends_it_with_0(name: &str) {
    let mut child = start("obey", &VALID);
    wait_until_it_runs(&mut child);
    signal(&child, name);
    assert_eq!(end(child), (Some(0), String::new()), "{name}");
}

fn who_ignores_the_signal_is_ended_after_the_grace() {
    let mut child = start("ignore", &VALID);
    wait_until_it_runs(&mut child);
    signal(&child, "TERM");
    assert_eq!(end(child), (Some(1), "pretender: did not stop within the grace of 1 s\n".to_owned()));
}
