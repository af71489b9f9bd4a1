//! What an error may show of a setting: never what may be a secret.

use std::path::Path;

use url::Url;

/// Stands for what is not shown.
const HIDDEN: &str = "…";
const MIN_SECRET_BYTES: usize = 4;

/// Scheme, host and port of a URL, for errors and logs: all else may hold a password or a token, the path, too.
pub fn shown_url(text: &str) -> String {
    let Ok(url) = text.parse::<Url>() else { return HIDDEN.to_owned() };
    let Some(host) = url.host_str() else { return format!("{}:{HIDDEN}", url.scheme()) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
    format!("{}://{host}{port}{}", url.scheme(), if is_bare { "" } else { "/…" })
}

/// A path, unless its folder is not there either: then it may be a secret that was given in place of the file that holds it.
pub fn shown_path(path: &Path) -> String {
    // Base64 may begin with a slash.
    let is_folder = |folder: &Path| folder.components().count() > 1 && folder.is_dir();
    if path.exists() || path.parent().is_some_and(is_folder) {
        path.display().to_string()
    } else {
        format!("a file in a folder that is not there ({HIDDEN})")
    }
}

/// `text` without what it quotes of `value`. A number, an address, or a very short word is no secret and stays.
pub fn without(text: &str, value: &str) -> String {
    if value.len() < MIN_SECRET_BYTES || !value.contains(char::is_alphabetic) {
        return text.to_owned();
    }
    let escaped = value.escape_debug().to_string();
    [escaped.as_str(), value, value.trim()]
        .iter()
        .fold(text.to_owned(), |text, quoted| text.replace(quoted, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_they_keep() {
        for (url, shown) in [
            ("https://a:hunter2@shop.example/hook?token=hunter2#hunter2", "https://shop.example/…"),
            ("http://127.0.0.1:9080/", "http://127.0.0.1:9080"),
            ("amqp://a:hunter2@mq:1/vhost", "amqp://mq:1/…"),
            ("data:hunter2", "data:…"),
            ("hunter2", "…"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn a_secret_in_place_of_a_file_is_not_shown() {
        for secret in
            ["hunter2", "-----BEGIN PRIVATE KEY-----\nhun/ter2", "hunter2/x", "/hunter2/x", "/hunter2"]
        {
            assert!(!shown_path(Path::new(secret)).contains("unter2"), "{secret}");
        }
        assert_eq!(shown_path(Path::new("/usr/share/missing.pem")), "/usr/share/missing.pem");
    }

    #[test]
    fn what_is_quoted_is_left_out() {
        assert_eq!(without("\"a\\\"hunter2\" is no number", "a\"hunter2"), "\"…\" is no number");
        assert_eq!(without("8080 is no address", "8080"), "8080 is no address");
        assert_eq!(without("got hunter2", " hunter2 "), "got …");
    }
}
