//! Reading the URL of a broker. Nothing of it is quoted in an error: what cannot be read may be a part of the password.

use lapin::uri::AMQPUri;
use transport::{ClientFiles, TlsFiles};
use url::Url;

/// Where an operator names certificates.
pub(crate) const SETTINGS: &str = "PAYRELAY_AMQP_CA_FILE, cacertfile in the AMQP URL, or SSL_CERT_FILE";

/// The URL as the client wants it, and the files that its parameters name as RabbitMQ's own clients do.
pub(crate) fn parse(text: &str) -> Result<(AMQPUri, TlsFiles), String> {
    let url: Url = text.parse().map_err(|_| {
        "got something else; percent-encode @ : / ? # % of user, password and vhost".to_owned()
    })?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err("it begins neither with amqp:// nor with amqps://".to_owned());
    }
    if text.contains("://[") || text.contains("@[") {
        // The client's parser would silently take it for localhost.
        return Err("an IPv6 address; give a host name instead".to_owned());
    }
    let files = files(&url)?;
    let parsed: Result<AMQPUri, _> = text.parse();
    let mut uri = parsed.map_err(|_| {
        "got something else: a number or word among its parameters, or what is percent-encoded, cannot be read".to_owned()
    })?;
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    Ok((uri, files))
}

fn files(url: &Url) -> Result<TlsFiles, String> {
    let named = |name: &str| {
        let values =
            url.query_pairs().filter(|(other, _)| other == name).map(|(_, value)| value.into_owned());
        values.last()
    };
    if named("verify").is_some_and(|verify| verify != "verify_peer") {
        return Err("verify: expected verify_peer or nothing, for brokers are always verified".to_owned());
    }
    let client = match (named("certfile"), named("keyfile")) {
        (Some(cert), Some(key)) => Some(ClientFiles { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        _ => return Err("certfile and keyfile: expected both or none, got one".to_owned()),
    };
    Ok(TlsFiles { ca: named("cacertfile").map(Into::into), client })
}

#[cfg(test)]
mod tests {
    use lapin::uri::AMQPScheme;

    use super::*;

    #[test]
    fn files_are_named_as_for_other_clients() {
        let text = "amqps://pay:x@mq/%2Fvh?cacertfile=/etc/ca.pem&certfile=c.pem&keyfile=k.pem&verify=verify_peer&heartbeat=7";
        let (uri, files) = parse(text).unwrap();
        assert_eq!(
            (uri.scheme, uri.vhost.as_str(), uri.query.heartbeat),
            (AMQPScheme::AMQPS, "/vh", Some(7))
        );
        assert_eq!(files.ca, Some("/etc/ca.pem".into()));
        assert_eq!(files.client, Some(ClientFiles { cert: "c.pem".into(), key: "k.pem".into() }));
        let (uri, files) = parse("amqp://pay:certfile=x%3Fkeyfile=y@mq").unwrap();
        assert_eq!((uri.vhost.as_str(), files), ("/", TlsFiles::default()));
        assert_eq!(uri.authority.userinfo.password, "certfile=x?keyfile=y");
    }

    #[test]
    fn what_is_wrong_is_told_and_nothing_quoted() {
        for text in [
            "hunter2",
            "hunter2:hunter2",
            "amqp:hunter2",
            "http://pay:hunter2@mq",
            "hunter2://pay@mq",
            "amqp://pay:hunter2@mq:hunter2",
            "amqp://pay:hunter2@[::1]:5672",
            "amqp://pay:hunter2@mq:99999",
            "amqp://pay:hun/ter2@mq",
            "amqp://pay:hunter2@mq/%ff",
            "amqp://pay:%ffhunter2@mq",
            "amqp://pay:hunter2@mq?auth_mechanism=hunter2",
            "amqp://pay:hunter2@mq?heartbeat=hunter2",
            "amqps://pay:hunter2@mq?verify=verify_none",
            "amqps://pay:hunter2@mq?certfile=hunter2",
            "",
        ] {
            let error = parse(text).map(|_| ()).expect_err(text);
            assert!(!error.contains("hunter2") && !error.contains("ter2"), "{text}: {error}");
        }
    }
}
