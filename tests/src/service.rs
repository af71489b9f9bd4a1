//! One replica of a service, which can be stopped, killed and started again on the same ports.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use devstack::testing::{free_port, program};
use reqwest::Client;

use crate::http::http_client;
use crate::process::{Process, signal};
use crate::until;

/// The features that compile failpoints into all services.
const FAILPOINTS: &str = "ingress/failpoints,order-service/failpoints,merchant-notifier/failpoints";
const SIGABRT: i32 = 6;

/// One replica of a service.
#[derive(Debug)]
pub struct Service {
    program: &'static str,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    http: Client,
    process: Option<Process>,
    /// Where its public HTTP answers, if it has any.
    pub url: String,
    /// Where its admin HTTP answers.
    pub admin_url: String,
}

impl Service {
    /// A replica that is not started yet, on free ports of its own.
    pub(crate) fn new(program: &'static str, environment: &BTreeMap<String, String>, log: PathBuf) -> Self {
        let [http_addr, admin_addr] = [(), ()].map(|()| format!("127.0.0.1:{}", free_port()));
        let (url, admin_url) = (format!("http://{http_addr}"), format!("http://{admin_addr}"));
        let mut environment = environment.clone();
        environment.insert("PAYRELAY_HTTP_ADDR".to_owned(), http_addr);
        environment.insert("PAYRELAY_ADMIN_ADDR".to_owned(), admin_addr);
        // No balancer stands before them, unless a test says so.
        environment.entry("PAYRELAY_DRAIN_DELAY_SECONDS".to_owned()).or_insert_with(|| "0".to_owned());
        Self { program, environment, log, http: http_client(), process: None, url, admin_url }
    }

    /// Starts it. It needs not be ready when this returns.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts it with a failpoint armed: `relay::after_read=2*off->return` passes twice, then the process aborts. Fails where the
    /// program is built without failpoints, for then nothing would be proved.
    pub async fn start_armed(&mut self, failpoint: &str) {
        self.start_with(&[("FAILPOINTS", failpoint)]);
        until("log of a start", async || match self.log() {
            log if log.contains("\"starting\"") => Ok(()),
            log => Err(log),
        })
        .await;
        assert!(
            self.log().contains("built with failpoints"),
            "{} is built without failpoints: run `cargo xtask test`, or first `cargo build --workspace --bins --features \
             {FAILPOINTS}`",
            self.program
        );
    }

    fn start_with(&mut self, variables: &[(&str, &str)]) {
        let mut command = Command::new(program(self.program));
        command.env_clear().envs(&self.environment).envs(variables.iter().copied());
        self.process = Some(Process::spawn(&mut command, &self.log));
    }

    /// Waits until it says that it is ready; the order service for events, too, and not only for requests.
    pub async fn ready(&self) {
        let what = format!("ready {}", self.program);
        until(&what, async || {
            let answer = self.http.get(format!("{}/readyz", self.admin_url)).send().await;
            let answer = answer.map_err(|error| format!("{error}; log: {}", self.process().log()))?;
            let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
            let consumes = self.program != "order-service" || !body.contains("degraded");
            if status.is_success() && consumes { Ok(()) } else { Err(format!("{status} {body}")) }
        })
        .await;
    }

    /// SIGTERM; returns the exit code once it has ended.
    pub async fn terminate(&mut self) -> Option<i32> {
        signal(self.process().pid(), "TERM");
        self.ended().await
    }

    /// Waits for its end; returns the exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let status = self.process.as_mut().expect("a started service").ended().await;
        self.process = None;
        status.code()
    }

    /// Waits until it has aborted, as a failpoint that is reached makes it.
    pub async fn aborted(&mut self) {
        let status = self.process.as_mut().expect("a started service").ended().await;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}; log: {}", self.log());
        self.process = None;
    }

    /// SIGKILL: no chance to do anything.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// How it ended, if it ended by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.child().try_wait().expect("a child")
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("a started service")
    }

    /// What all its runs have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
