//! Bearer tokens (RFC 6750).

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::{Problem, Secret};

/// The bearer token of a request; without one the request is answered 401.
#[derive(Clone)]
pub struct Bearer(pub Secret);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        bearer(&parts.headers).map(|token| Self(token.into())).ok_or_else(Problem::unauthorized)
    }
}

/// The token in `Authorization: Bearer <token>`, the scheme in any case.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Answers every request to `routes` that does not carry `token` with 401, compared in constant time.
pub fn protect(routes: Router, token: Secret) -> Router {
    routes.layer(middleware::from_fn_with_state(token, check))
}

async fn check(State(token): State<Secret>, request: Request, next: Next) -> Response {
    if bearer(request.headers()).is_some_and(|given| token.matches(given)) {
        next.run(request).await
    } else {
        Problem::unauthorized().into_response()
    }
}
