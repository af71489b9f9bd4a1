//! The status line of an answer whose rest cannot be read.

/// The final status that an answer begins with, if the line that says so is there as a whole. It is read as RFC 9112 (4) has
/// it, but for the version, of which any will do: `HTTP/1.1 200 OK`, with or without a phrase. What is no such line, as
/// `ICY 200 OK` or `http/1.1 200 OK`, is no answer.
pub(super) fn of_answer(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let (line, rest) = line(bytes)?;
        match line {
            // Empty lines before it are passed over.
            [] => bytes = rest,
            line => match status(line)? {
                // Another answer follows an interim one, after the empty line that ends its head.
                100 | 102..=199 => bytes = after_head(rest)?,
                status => return Some(status),
            },
        }
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let line = line.strip_prefix(b"HTTP/")?;
    let (version, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let is_version = version.first().is_some_and(u8::is_ascii_digit)
        && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let digits = rest.trim_ascii_start();
    let (code, phrase) = digits.split_at_checked(3)?;
    let is_code = code.iter().all(u8::is_ascii_digit) && matches!(phrase.first(), None | Some(b' '));
    if !is_version || !is_code {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| *code >= 100)
}

/// What follows the empty line.
fn after_head(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (line, rest) = line(bytes)?;
        if line.is_empty() {
            return Some(rest);
        }
        bytes = rest;
    }
}

/// The first line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_whatever_follows() {
        for (answer, expected) in [
            (b"HTTP/1.1 200 OK\r\n".as_slice(), Some(200)),
            (b"HTTP/1.1 204\r\nno header", Some(204)),
            (b"HTTP/1.0 500 \r\n", Some(500)),
            (b"\r\n\nHTTP/1.1 302 \xe6\x98\x93\x07\n", Some(302)),
            (b"HTTP/2.0  201 Created\r\n", Some(201)),
            (b"HTTP/2 200\r\n", Some(200)),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", Some(200)),
            (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 503 Busy\r\n", Some(503)),
            (b"HTTP/1.1 101 Switching Protocols\r\n", Some(101)),
            (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n", None),
            (b"HTTP/1.1 100 Continue\r\n\r\n", None),
            (b"HTTP/1.1 200 O", None),
            (b"HTTP/1.1 2000 OK\r\n", None),
            (b"HTTP/1.1 20 OK\r\n", None),
            (b"HTTP/1.1 020 OK\r\n", None),
            (b"HTTP/1.1 200OK\r\n", None),
            (b"HTTP/1.1 OK\r\n", None),
            (b"HTTP/ 200 OK\r\n", None),
            (b"HTTP/x 200 OK\r\n", None),
            (b"HTTP/1.1\r\n", None),
            (b"http/1.1 200 OK\r\n", None),
            (b"ICY 200 OK\r\n", None),
            (b"<html>200 OK</html>\r\n", None),
            (b"SSH-2.0-OpenSSH_9.2\r\n", None),
            (b"", None),
        ] {
            assert_eq!(of_answer(answer), expected, "{}", String::from_utf8_lossy(answer));
        }
    }
}
