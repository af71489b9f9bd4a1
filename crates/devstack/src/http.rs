//! The little of HTTP that RabbitMQ's management API needs.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Error;

const TIMEOUT: Duration = Duration::from_secs(20);
/// `guest:guest` in base64.
const BASIC_CREDENTIALS: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// A client of the management API, as the user `guest`.
#[derive(Debug, Clone)]
pub(crate) struct Management {
    /// `host:port`
    authority: String,
}

impl Management {
    /// `url` is `http://host:port`.
    pub(crate) fn new(url: &str) -> Result<Self, Error> {
        let authority =
            url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(|| {
                Error::failed("reading RabbitMQ's management URL", format!("{url} is not http://host:port"))
            })?;
        Ok(Self { authority: authority.to_owned() })
    }

    /// Sends one request and returns the body of a 2xx answer, `None` for 404.
    ///
    /// # Errors
    /// [`Error::Failed`] for every other answer and when the broker is away.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Result<Option<String>, Error> {
        let step = || format!("{method} {path} of RabbitMQ's management API");
        let answer = self.exchange(method, path, body).map_err(Error::io(step()))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok()) {
            Some(200..=299) => Ok(Some(body.to_owned())),
            Some(404) => Ok(None),
            _ => Err(Error::failed(step(), answer)),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer is never chunked and ends with the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Basic {BASIC_CREDENTIALS}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Percent-encodes one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The value of the first `"name": number` in a JSON text.
pub(crate) fn number(json: &str, name: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{number, segment};

    #[test]
    fn finds_a_number_by_its_whole_name() {
        let json = r#"{"messages_details":{"rate":0.5},"messages": 17,"name":"q"}"#;
        assert_eq!(number(json, "messages"), Some(17));
        assert_eq!(number(json, "name"), None);
        assert_eq!(number(json, "consumers"), None);
    }

    #[test]
    fn encodes_what_divides_a_path() {
        assert_eq!(segment("pay.retry.5s"), "pay.retry.5s");
        assert_eq!(segment("/a b"), "%2Fa%20b");
    }
}
