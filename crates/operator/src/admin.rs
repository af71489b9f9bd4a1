//! The admin HTTP of the services, as the commands use it.

use std::{env, time::Duration};

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use transport::{shown_path, shown_url};

use crate::failure::Failure;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the services are administered.
#[derive(Clone, Args)]
#[expect(clippy::struct_field_names, reason = "the fields name the options")]
pub(crate) struct AdminOptions {
    /// Admin address of the ingress.
    #[arg(
        long,
        env = "PAYRELAY_INGRESS_ADMIN_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9080",
        global = true
    )]
    ingress_admin_url: String,
    /// Admin address of the order service.
    #[arg(
        long,
        env = "PAYRELAY_ORDER_SERVICE_ADMIN_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9081",
        global = true
    )]
    order_service_admin_url: String,
    /// Admin address of the merchant notifier.
    #[arg(
        long,
        env = "PAYRELAY_NOTIFIER_ADMIN_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9082",
        global = true
    )]
    notifier_admin_url: String,
}

impl std::fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls = [&self.ingress_admin_url, &self.order_service_admin_url, &self.notifier_admin_url];
        f.debug_list().entries(urls.map(|url| shown_url(url))).finish()
    }
}

/// A client of the admin HTTP of all services. The token comes from the environment, never from the command line,
/// where every user of the machine could read it.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) ingress: AdminClient,
    pub(crate) order_service: AdminClient,
    pub(crate) notifier: AdminClient,
}

/// A client of the admin HTTP of one service.
#[derive(Clone)]
pub(crate) struct AdminClient {
    http: Client,
    service: &'static str,
    base_url: String,
    /// Without a user's password.
    shown_url: String,
    token: String,
}

impl std::fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminClient").field("url", &self.shown_url).finish_non_exhaustive()
    }
}

impl Admin {
    /// The services at the addresses given, with the token of `PAYRELAY_ADMIN_TOKEN` or `PAYRELAY_ADMIN_TOKEN_FILE`.
    pub(crate) fn from_options(options: &AdminOptions) -> Result<Self, Failure> {
        let urls =
            [&options.ingress_admin_url, &options.order_service_admin_url, &options.notifier_admin_url];
        Ok(Self::new(urls.map(String::as_str), &token_from_env()?)?)
    }

    /// The services at the URLs of ingress, order service and notifier.
    pub(crate) fn new(urls: [&str; 3], token: &str) -> anyhow::Result<Self> {
        let http = http_client(TIMEOUT)?;
        let client = |service, url: &str| AdminClient {
            http: http.clone(),
            service,
            base_url: url.trim_end_matches('/').to_owned(),
            shown_url: shown_url(url),
            token: token.to_owned(),
        };
        let [ingress, order_service, notifier] = urls;
        Ok(Self {
            ingress: client("ingress", ingress),
            order_service: client("order-service", order_service),
            notifier: client("merchant-notifier", notifier),
        })
    }
}

/// An HTTP client that waits for an answer no longer than `timeout`.
pub(crate) fn http_client(timeout: Duration) -> anyhow::Result<Client> {
    transport::http_client().timeout(timeout).build().context("cannot build an HTTP client")
}

fn token_from_env() -> Result<String, Failure> {
    if let Ok(token) = env::var("PAYRELAY_ADMIN_TOKEN") {
        return Ok(token);
    }
    let file = env::var("PAYRELAY_ADMIN_TOKEN_FILE").map_err(|_| {
        Failure::Usage("PAYRELAY_ADMIN_TOKEN: expected the services' admin token, found none; set it or PAYRELAY_ADMIN_TOKEN_FILE".to_owned())
    })?;
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let file = shown_path(file.as_ref());
        Failure::Usage(format!("PAYRELAY_ADMIN_TOKEN_FILE: cannot read {file}: {error}"))
    })?;
    Ok(text.trim().to_owned())
}

impl AdminClient {
    /// The service's name.
    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// Where it is administered.
    pub(crate) fn url(&self) -> &str {
        &self.shown_url
    }

    /// `GET path`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        self.find(path, query)
            .await?
            .ok_or_else(|| Failure::Findings(format!("{}: {path}: not found", self.service)))
    }

    /// `GET path`, where 404 means that there is none.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Option<T>, Failure> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    /// `PUT path` with a body of JSON.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let answer = self.send(self.request(Method::PUT, path).json(body)).await?;
        answer.ok_or_else(|| Failure::Findings(format!("{}: {path}: not found", self.service)))
    }

    /// `POST path` with a body of JSON.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let answer = self.send(self.request(Method::POST, path).json(body)).await?;
        answer.ok_or_else(|| Failure::Findings(format!("{}: {path}: not found", self.service)))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.token)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, Failure> {
        let response = request.send().await.map_err(|error| {
            Failure::Unreachable(format!(
                "{} does not answer at {}: {}",
                self.service,
                self.shown_url,
                root_cause(error)
            ))
        })?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            let problem: Value = response.json().await.unwrap_or_default();
            let [code, detail] = ["code", "detail"].map(|field| problem[field].as_str().unwrap_or_default());
            return Err(Failure::Other(anyhow!("{} answered {status} {code} {detail}", self.service)));
        }
        // The errors of both quote the address or the answer, which may hold keys.
        let body = response.bytes().await.map_err(|_| anyhow!("{}'s answer broke off", self.service))?;
        let body = serde_json::from_slice(&body).map_err(|error| {
            anyhow!(
                "{} answered something else than expected (line {}, column {})",
                self.service,
                error.line(),
                error.column()
            )
        })?;
        Ok(Some(body))
    }
}

/// The innermost reason: reqwest's own text names the URL once more and hides why.
fn root_cause(error: reqwest::Error) -> String {
    if let Some(told) = service::tls::told(&error) {
        return told;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
