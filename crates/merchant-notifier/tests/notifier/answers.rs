//! Answers as merchants write them: the status line counts, whatever follows it.

use std::collections::BTreeMap;
use std::io;

use merchant_notifier::{Ack, EndpointChange};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::merchant::{Merchant, Reply};
use crate::support::{TestDatabase, event, eventually};
use crate::webhooks::{Replica, connect};

/// What follows the raw bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The end of the connection.
    Close,
    /// Its reset.
    Reset,
    /// Nothing more, and no end.
    Silence,
    /// The same bytes again and again.
    Repeat(&'static [u8]),
}

/// A merchant that answers with raw bytes, and counts.
struct Raw {
    url: String,
    answered: tokio::sync::watch::Receiver<usize>,
}

impl Raw {
    async fn start(bytes: Vec<u8>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        let (count, answered) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                tokio::spawn(answer(stream, bytes.clone(), then));
            }
        });
        Self { url, answered }
    }
}

/// Reads one request.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let (mut length, mut line) = (0, String::new());
    while stream.read_line(&mut line).await? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length]).await.map(drop)
}

async fn answer(stream: TcpStream, bytes: Vec<u8>, then: Then) {
    let mut stream = BufReader::new(stream);
    read(&mut stream).await.unwrap();
    let mut stream = stream.into_inner();
    stream.write_all(&bytes).await.unwrap();
    match then {
        Then::Close => {}
        Then::Reset => stream.set_zero_linger().unwrap(),
        Then::Silence => drop(stream.read(&mut [0]).await),
        Then::Repeat(more) => while stream.write_all(more).await.is_ok() {},
    }
}

fn ok(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()
}

/// Answers, and the status that each has; none if it is no answer.
fn answers() -> Vec<(&'static str, Vec<u8>, Then, Option<i16>)> {
    use Then::{Close, Repeat, Reset, Silence};
    let headers = |count: usize| "set-cookie: c=1\r\n".repeat(count) + "content-length: 0\r\n\r\n";
    let huge = format!("x: {}\r\n\r\n", "x".repeat(1 << 20));
    vec![
        ("120 headers", ok(&headers(120)), Silence, Some(200)),
        ("5000 headers", ok(&headers(5000)), Silence, Some(200)),
        ("huge header", ok(&huge), Close, Some(200)),
        ("endless head", ok(""), Repeat(b"x: y\r\n"), Some(200)),
        ("no colon", ok("X-Powered PHP\r\ncontent-length: 0\r\n\r\n"), Silence, Some(200)),
        ("blank before the colon", ok("X-Powered : PHP\r\ncontent-length: 0\r\n\r\n"), Silence, Some(200)),
        ("folded", ok("x: a\r\n b\r\ncontent-length: 0\r\n\r\n"), Silence, Some(200)),
        ("control characters", ok("x: \x01\x00\x7f\r\n\x02: x\r\ncontent-length: 0\r\n\r\n"), Silence, Some(200)),
        ("no length that is one", ok("content-length: many\r\n\r\n"), Close, Some(200)),
        ("two lengths", ok("content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), Close, Some(200)),
        ("longer than it says", ok("content-length: 2\r\n\r\nsuccess"), Close, Some(200)),
        ("shorter than it says", ok("content-length: 20\r\n\r\nsuccess"), Close, Some(200)),
        ("body that is reset", ok("content-length: 20\r\n\r\nsucc"), Reset, Some(200)),
        ("broken chunks", ok("transfer-encoding: chunked\r\n\r\nno size\r\n"), Close, Some(200)),
        ("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), Close, Some(200)),
        ("unknown coding", ok("transfer-encoding: rot13\r\n\r\nx"), Close, Some(200)),
        ("no gzip", ok("content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnone"), Silence, Some(200)),
        ("endless body", ok("\r\n"), Repeat(b"x"), Some(200)),
        ("end after the status line", ok(""), Close, Some(200)),
        ("reset after the status line", ok(""), Reset, Some(200)),
        ("end in a header", ok("x-half"), Close, Some(200)),
        ("bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 0\n\n".to_vec(), Silence, Some(200)),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), Close, Some(200)),
        ("no phrase", b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n".to_vec(), Silence, Some(200)),
        ("odd phrase", b"HTTP/1.1 200 \xe6\x88\x90\x01\r\ncontent-length: 0\r\n\r\n".to_vec(), Close, Some(200)),
        ("other version", b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), Close, Some(200)),
        ("interim", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n".to_vec(), Silence, Some(204)),
        ("interim, then no header", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 Oops\r\n".to_vec(), Close, Some(500)),
        ("a redirection that breaks off", b"HTTP/1.1 302 Found\r\nlocation".to_vec(), Close, Some(302)),
        ("a refusal that breaks off", b"HTTP/1.1 404 Not Found\r\ncontent-length: x\r\n\r\n".to_vec(), Close, Some(404)),
        ("a switch", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_vec(), Close, Some(101)),
        ("nothing", Vec::new(), Close, None),
        ("half a status line", b"HTTP/1.1 20".to_vec(), Close, None),
        ("no HTTP", b"<html>200 OK</html>\r\n\r\n".to_vec(), Close, None),
        ("ICY", b"ICY 200 OK\r\n\r\n".to_vec(), Close, None),
        ("lower case", b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), Close, None),
        ("no number", b"HTTP/1.1 OK\r\n\r\n".to_vec(), Close, None),
        ("interim only", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Close, None),
    ]
}

#[tokio::test]
async fn the_status_line_counts_whatever_follows_it() {
    let db = TestDatabase::create().await;
    // Its endpoint alone has the keys; the answers come from the addresses of single pay orders.
    let merchant = Merchant::start(|_| Reply::OK).await;
    let (mut raw, mut events) = (BTreeMap::new(), Vec::new());
    for (index, (name, bytes, then, status)) in answers().into_iter().enumerate() {
        // A merchant each, for a breaker opens after five failures.
        let (merchant_id, order_no) = (format!("m{index}"), format!("{index}"));
        connect(&db, &merchant_id, &merchant, EndpointChange::default()).await;
        let server = Raw::start(bytes, then).await;
        let mut event = event(&merchant_id, &order_no);
        event.order.notify_url = Some(server.url.clone());
        events.push(event);
        raw.insert(merchant_id, (name, server, status));
    }
    db.notify(&events).await;
    let replica = Replica::start(&db, "1h");
    let attempted = "SELECT count(DISTINCT notification_id) FROM notify.attempts";
    let all = i64::try_from(events.len()).unwrap();
    eventually("attempts", async || (db.value::<i64>(attempted).await == all).then_some(())).await;
    replica.stop().await;
    for (merchant_id, (name, server, expected)) in raw {
        let of = |column: &str| {
            format!(
                "SELECT {column} FROM notify.attempts JOIN notify.notifications USING (notification_id)
                 WHERE merchant_id = '{merchant_id}'"
            )
        };
        let (status, kind, detail): (Option<i16>, Option<String>, Option<String>) = (
            db.value(&of("http_status::smallint")).await,
            db.value(&of("error_kind")).await,
            db.value(&of("error_detail")).await,
        );
        let right = match expected {
            Some(200..=299) => None,
            Some(300..=399) => Some("redirect"),
            Some(_) => Some("status"),
            None => Some("protocol"),
        };
        assert_eq!((status, kind.as_deref()), (expected, right), "{name}: {detail:?}");
        assert_eq!(*server.answered.borrow(), 1, "{name}");
        assert!(detail.is_none_or(|detail| !detail.contains("127.0.0.1")), "{name}: no address is told");
    }
}

#[tokio::test]
async fn a_body_behind_odd_headers_is_read_and_one_that_cannot_be_is_told() {
    let db = TestDatabase::create().await;
    let merchant = Merchant::start(|_| Reply::OK).await;
    let body = "content-length: 7\r\n\r\nsuccess";
    let odd = ok(&format!("{}X-Powered PHP\r\nx : y\r\na: b\r\n c\r\n{body}", "x: y\r\n".repeat(500)));
    for (merchant_id, bytes, expected) in [
        ("odd", odd, None),
        ("unread", ok("content-length: many\r\n\r\nsuccess"), Some("the rest of the answer cannot be read")),
    ] {
        let change = EndpointChange { ack: Some(Ack::Success), ..EndpointChange::default() };
        connect(&db, merchant_id, &merchant, change).await;
        let server = Raw::start(bytes, Then::Close).await;
        let mut event = event(merchant_id, "1");
        event.order.notify_url = Some(server.url.clone());
        db.notify(&[event]).await;
        let replica = Replica::start(&db, "1h");
        let told = format!(
            "SELECT error_kind || ': ' || error_detail FROM notify.attempts
             JOIN notify.notifications USING (notification_id) WHERE merchant_id = '{merchant_id}'"
        );
        let count = "SELECT count(*) FROM notify.attempts JOIN notify.notifications USING (notification_id)
             WHERE merchant_id = '"
            .to_owned()
            + merchant_id
            + "'";
        eventually("an attempt", async || (db.value::<i64>(&count).await == 1).then_some(())).await;
        replica.stop().await;
        let told: Option<String> = db.value(&told).await;
        match expected {
            None => assert_eq!(told, None),
            Some(why) => {
                let told = told.unwrap();
                assert!(
                    told.starts_with("not_acknowledged: HTTP status 200") && told.contains(why),
                    "{told}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_answer_before_on_a_kept_connection_is_not_taken_for_the_next() {
    let db = TestDatabase::create().await;
    let merchant = Merchant::start(|_| Reply::OK).await;
    connect(&db, "m1", &merchant, EndpointChange::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    let connections = tokio::spawn(async move {
        // The first request is acknowledged, the second gets no answer.
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        read(&mut stream).await.unwrap();
        stream.get_mut().write_all(&ok("content-length: 0\r\n\r\n")).await.unwrap();
        read(&mut stream).await.unwrap();
    });
    let replica = Replica::start(&db, "1h");
    for attempts in 1..=2 {
        let mut event = event("m1", &attempts.to_string());
        event.order.notify_url = Some(url.clone());
        db.notify(&[event]).await;
        eventually("an attempt", async || {
            (db.value::<i64>("SELECT count(*) FROM notify.attempts").await == attempts).then_some(())
        })
        .await;
    }
    replica.stop().await;
    connections.await.unwrap();
    let kinds: Vec<Option<String>> =
        db.value("SELECT array_agg(error_kind ORDER BY started_at) FROM notify.attempts").await;
    assert_eq!(kinds, [None, Some("protocol".to_owned())]);
}
