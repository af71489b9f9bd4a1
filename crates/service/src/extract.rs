//! Extractors whose rejections are problem documents.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Problem;

/// A JSON body, as request or response. Rejected with `unsupported_media_type` (415), `invalid_json` (400), `invalid` (422:
/// a field is missing or wrong, named in the detail) or `body_too_large` (413).
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        if is_json(request.headers()) {
            // In the one form that axum reads for certain.
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Whether a body is said to be JSON: `application/json` or `application/…+json`, in any case, whatever parameters follow and
/// whatever white space stands before them (RFC 9110, section 8.3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let subtype = essence.strip_prefix(b"application/").unwrap_or_default();
    subtype == b"json" || subtype.ends_with(b"+json")
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    let detail = without_values(&rejection.body_text());
    match rejection {
        JsonRejection::JsonDataError(_) => Problem::invalid(detail),
        JsonRejection::JsonSyntaxError(_) => Problem::bad_request("invalid_json", detail),
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON with the header `Content-Type: application/json`",
        ),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        _ => Problem::bad_request("unreadable_body", detail),
    }
}

/// What serde says, without the value that it quotes: that may be a password or a key.
pub fn without_values(told: &str) -> String {
    ["invalid type: ", "invalid value: ", "unknown variant"].iter().fold(told.to_owned(), |told, wrong| {
        let Some((before, quoted)) = told.split_once(wrong) else { return told };
        let (value, expected) = quoted.rsplit_once(", expected ").unwrap_or((quoted, "something else"));
        let kind = value.split(['"', '`']).next().unwrap_or_default().trim_end();
        format!("{before}{wrong}{kind}, expected {expected}")
    })
}

/// The query string. Rejected with `invalid_query` (400).
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad_request("invalid_query", rejection.body_text())),
        }
    }
}

/// The parameters of the path. Rejected with `invalid_path` (400).
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::bad_request("invalid_path", rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn what_serde_quotes_is_left_out() {
        for (told, expected) in [
            (
                "secret: invalid type: string \"hunter2, expected \\\"x\", expected u32 at line 1 column 9",
                "secret: invalid type: string, expected u32 at line 1 column 9",
            ),
            ("invalid type: integer `4711`, expected a string", "invalid type: integer, expected a string"),
            ("unknown variant `hunter2`, expected `a` or `b`", "unknown variant, expected `a` or `b`"),
            ("invalid value: string \"hunter2\"", "invalid value: string, expected something else"),
            ("missing field `secret` at line 1 column 2", "missing field `secret` at line 1 column 2"),
        ] {
            assert_eq!(without_values(told), expected);
        }
    }

    #[tokio::test]
    async fn a_body_is_json_whatever_parameters_its_type_has() {
        for (media_type, expected) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json;charset=utf-8", true),
            ("application/json; Charset=\"UTF-8\"", true),
            ("application/json ; charset=utf-8", true),
            ("application/json;", true),
            ("application/vnd.shop+json; v=1", true),
            ("text/json", false),
            ("application/jsonl", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let request = Request::builder().header(CONTENT_TYPE, media_type).body(Body::from("[1]"));
            let read = Json::<Vec<u8>>::from_request(request.expect("a request"), &()).await;
            match read {
                Ok(Json(body)) => assert!(expected && body == [1], "{media_type}"),
                Err(problem) => {
                    assert_eq!((expected, problem.code), (false, "unsupported_media_type"), "{media_type}");
                }
            }
        }
    }
}
