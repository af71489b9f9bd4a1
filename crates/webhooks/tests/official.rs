//! The endpoints of the README, with the official libraries for Python and JavaScript, against what we sign.
#![expect(clippy::unwrap_used, reason = "a helper's failure is the test's")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use devstack::testing::{free_port, interpreters};
use webhooks::{Secret, sign};

const DEADLINE: Duration = Duration::from_secs(60);

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official").join(name)
}

#[test]
fn the_official_python_library_agrees() {
    let Some(python) = interpreters::python(&file("requirements.txt")) else { return };
    let mut command = python.script(&file("merchant.py"));
    let port = free_port();
    command.args([&port.to_string(), ":memory:"]);
    Merchant::start(command, port).tell_everything();
}

#[test]
fn the_official_javascript_library_agrees() {
    let Some(node) = interpreters::node(&file("package.json")) else { return };
    let mut command = node.script(&file("merchant.js"));
    let port = free_port();
    command.arg(port.to_string());
    Merchant::start(command, port).tell_everything();
}

#[test]
fn the_readme_shows_the_endpoints_that_are_tested() {
    let readme = include_str!("../README.md");
    for (language, name) in [("python", "merchant.py"), ("javascript", "merchant.js")] {
        let text = std::fs::read_to_string(file(name)).unwrap();
        assert!(
            readme.contains(&format!("```{language}\n{text}```\n")),
            "{name} is another than in the README"
        );
    }
}

fn secret() -> Secret {
    Secret::generate([7; 32])
}

#[expect(clippy::disallowed_methods, reason = "the endpoints read the clock, too")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

fn body(pay_order_no: &str, version: u32) -> String {
    // Bytes beyond ASCII, and white space that a parser would lose.
    format!(
        r#"{{"type":"pay.success", "data":{{"pay_order_no":"{pay_order_no}","version":{version},"status":"TRADE_SUCCESS","attach":"茶 é 🍵"}}}}"#
    )
}

/// An endpoint of the README as a process; killed when dropped.
struct Merchant {
    process: Child,
    port: u16,
}

impl Drop for Merchant {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

impl Merchant {
    #[expect(clippy::disallowed_methods, reason = "a deadline for a process")]
    fn start(mut command: Command, port: u16) -> Self {
        command.env("WEBHOOK_SECRET", secret().expose().as_str());
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (merchant, deadline) = (Self { process, port }, Instant::now() + DEADLINE);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the endpoint does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        merchant
    }

    /// Sends a webhook; the status of the answer.
    fn send(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let length = body.len();
        let mut head = format!("POST / HTTP/1.1\r\nhost: merchant\r\ncontent-length: {length}\r\n");
        for (name, value) in headers.iter().chain(&[("connection", "close")]) {
            head += &[name, ": ", value, "\r\n"].concat();
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    fn send_signed(&self, id: &str, timestamp: i64, body: &str, signature: &str) -> u16 {
        let timestamp = timestamp.to_string();
        let headers =
            [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", signature)];
        self.send(&headers, body)
    }

    fn tell_everything(mut self) {
        let (now, other) = (now(), Secret::generate([8; 32]));
        let signed = |secrets: &[Secret], id: &str, at: i64, body: &str| {
            sign(secrets, id, at, body.as_bytes()).unwrap()
        };
        let (first, second) = (body("P1", 2), body("P1", 1));
        let by = |secrets: &[Secret], id: &str, body: &str| {
            self.send_signed(id, now, body, &signed(secrets, id, now, body))
        };
        let own = [secret()];
        let rotating = [other.clone(), secret()];
        let both_versions = [Secret::generate_ed25519([9; 32]), secret()];
        let told = [
            ("a webhook", by(&own, "a", &first), 204),
            ("the same once more", by(&own, "a", &first), 204),
            ("an older version", by(&own, "b", &second), 204),
            ("during a rotation", by(&rotating, "c", &body("P2", 1)), 204),
            ("in both versions", by(&both_versions, "d", &body("P3", 1)), 204),
            ("a newer version", by(&own, "e", &body("P3", 2)), 204),
            ("of the other version alone", by(&both_versions[..1], "f", &body("P4", 1)), 401),
            ("by another's secret", by(&[other], "g", &body("P4", 1)), 401),
            ("of another body", self.send_signed("h", now, &second, &signed(&own, "h", now, &first)), 401),
            ("under another id", self.send_signed("i", now, &first, &signed(&own, "h", now, &first)), 401),
            ("too old", self.send_signed("j", now - 400, &first, &signed(&own, "j", now - 400, &first)), 401),
            ("too new", self.send_signed("k", now + 400, &first, &signed(&own, "k", now + 400, &first)), 401),
            ("of no signature", self.send_signed("l", now, &first, "nothing"), 401),
            ("without headers", self.send(&[], &first), 401),
        ];
        for (what, status, expected) in told {
            assert_eq!(status, expected, "{what}");
        }
        self.process.kill().unwrap();
        let output = BufReader::new(self.process.stdout.take().unwrap());
        let said: Vec<_> = output.lines().map(Result::unwrap).collect();
        let of = |word: &str| said.iter().filter(|line| line.starts_with(word)).cloned().collect::<Vec<_>>();
        let line = |payment: &str| format!("applied {payment} TRADE_SUCCESS");
        assert_eq!(of("applied"), ["P1 2", "P2 1", "P3 1", "P3 2"].map(line), "{said:?}");
        assert_eq!((of("known").len(), of("refused").len()), (2, 8), "{said:?}");
    }
}
