//! What RabbitMQ's management HTTP API shows and AMQP does not: bindings, arguments, policies, alarms.
//!
//! [`Management`] reads, [`examine`](HeldVhost::examine) judges; nothing is ever changed.

mod examine;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPScheme;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use transport::{Tls, TlsFiles, http_client, tls};

use crate::{Broker, Topology, url};

/// For one answer: a list of all queues of a busy broker takes a while.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Some 20,000 queues.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Why the management API could not be read. No text of it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The configured URL is wrong.
    #[error("not a URL of the management API: expected http://host:15672 or https://…, {0}")]
    Url(String),
    /// Nobody answers, or something else than the API does.
    #[error("the management API at {url} cannot be read: {problem}")]
    Unreadable {
        /// Where it was looked for, without credentials.
        url: String,
        /// What happened instead of an answer.
        problem: String,
    },
}

/// A reader of the management API for one vhost.
#[derive(Clone)]
pub struct Management {
    http: Client,
    /// Without credentials, path and query.
    base: Url,
    user: String,
    password: String,
    vhost: String,
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management")
            .field("base", &self.base.as_str())
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

impl Management {
    /// The API at `api_url` for the vhost of `broker`, with the broker's user unless the URL names another,
    /// and under `https://` with the broker's certificates.
    pub fn new(api_url: &str, broker: &Broker) -> Result<Self, ManagementError> {
        let wrong = |problem: &str| ManagementError::Url(problem.to_owned());
        let mut base: Url = api_url.parse().map_err(|_| wrong("got something else"))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(wrong("got another scheme or no host"));
        }
        let user_info = &broker.uri.authority.userinfo;
        let (user, password) = if base.username().is_empty() {
            (user_info.username.clone(), user_info.password.clone())
        } else {
            (decoded(base.username()), decoded(base.password().unwrap_or_default()))
        };
        let cleared = base.set_username("").and_then(|()| base.set_password(None));
        cleared.map_err(|()| wrong("its user cannot be read"))?;
        base.set_query(None);
        base.set_fragment(None);
        let mut http = http_client()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // Credentials go nowhere else than to where they were sent.
            .redirect(redirect::Policy::none());
        if base.scheme() == "https" {
            let tls = broker.tls.clone().map_or_else(|| Tls::new(TlsFiles::default(), url::SETTINGS), Ok);
            let config = tls.and_then(|tls| tls.client_config());
            http = http.tls_backend_preconfigured(config.map_err(|error| wrong(&error.to_string()))?);
        }
        let http = http.build().map_err(|_| wrong("and no HTTP client can be built"))?;
        Ok(Self { http, base, user, password, vhost: broker.uri.vhost.clone() })
    }

    /// Where the API of `broker` is, unless somebody moved it: on its host, under TLS if AMQP is.
    pub fn usual_url(broker: &Broker) -> String {
        let host = &broker.uri.authority.host;
        match broker.uri.scheme {
            AMQPScheme::AMQP => format!("http://{host}:15672"),
            AMQPScheme::AMQPS => format!("https://{host}:15671"),
        }
    }

    /// Where it reads, without credentials.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Reads what the broker holds. What the user may not see of nodes and connections is left out.
    pub async fn read(&self) -> Result<HeldVhost, ManagementError> {
        let vhost = self.vhost.as_str();
        let overview: Overview = self.required(&["overview"], "rabbitmq_version,disable_stats").await?;
        let queues = "name,type,durable,auto_delete,arguments,policy,operator_policy,effective_policy_definition,consumers";
        let policies: Option<Vec<HeldPolicy>> = self.get(&["policies", vhost], "").await?;
        let of_operators: Option<Vec<HeldPolicy>> = self.get(&["operator-policies", vhost], "").await?;
        Ok(HeldVhost {
            version: overview.rabbitmq_version,
            has_no_figures: overview.disable_stats,
            has_no_policy: [&policies, &of_operators]
                .iter()
                .all(|seen| seen.as_ref().is_some_and(Vec::is_empty)),
            exchanges: self.required(&["exchanges", vhost], "").await?,
            queues: self.required(&["queues", vhost], queues).await?,
            bindings: self.required(&["bindings", vhost], "").await?,
            policies: policies.unwrap_or_default(),
            nodes: self.get(&["nodes"], "name,mem_alarm,disk_free_alarm,disk_free_limit").await?,
            connections: self.get(&["vhosts", vhost, "connections"], "user_provided_name").await?,
        })
    }

    async fn required<T: DeserializeOwned>(
        &self,
        path: &[&str],
        columns: &str,
    ) -> Result<T, ManagementError> {
        let answer = self.get(path, columns).await?;
        answer
            .ok_or_else(|| self.unreadable(format!("/api/{} is not there for {}", path.join("/"), self.user)))
    }

    /// `None` for what is not there or not for this user.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        columns: &str,
    ) -> Result<Option<T>, ManagementError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        if !columns.is_empty() {
            url.query_pairs_mut().append_pair("columns", columns);
        }
        let request = self.http.get(url).basic_auth(&self.user, Some(&self.password));
        let mut response = request.send().await.map_err(|error| self.unreadable(root_cause(error)))?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(self.unreadable(format!("it answers {status}")));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreadable(root_cause(error)))? {
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(self.unreadable(format!("it answers with more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&part);
        }
        // The parser's own text quotes what it read.
        let strange = |error: serde_json::Error| {
            self.unreadable(format!(
                "it answers something else than expected (line {}, column {})",
                error.line(),
                error.column()
            ))
        };
        serde_json::from_slice(&body).map(Some).map_err(strange)
    }

    fn unreadable(&self, problem: String) -> ManagementError {
        ManagementError::Unreadable { url: self.url().to_owned(), problem }
    }
}

/// What a broker holds in one vhost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldVhost {
    /// As `3.10.8`.
    pub version: String,
    /// All exchanges.
    pub exchanges: Vec<HeldExchange>,
    /// All queues.
    pub queues: Vec<HeldQueue>,
    /// All bindings, also those to the default exchange.
    pub bindings: Vec<HeldBinding>,
    /// All policies but those of operators, which show in their queues.
    pub policies: Vec<HeldPolicy>,
    /// Whether there surely is none, of an operator neither: not where this user may not see them.
    pub has_no_policy: bool,
    /// Whether the broker was told to keep no figures: it never shows which policies a queue has.
    pub has_no_figures: bool,
    /// The nodes; `None` for a user without the tag `monitoring`.
    pub nodes: Option<Vec<HeldNode>>,
    /// The connections; `None` for a user who may not see them.
    pub connections: Option<Vec<HeldConnection>>,
}

impl HeldVhost {
    /// Whether the figures of every queue of `topology` have come in, the policies among them: those of a new queue come some
    /// seconds later.
    pub fn is_complete(&self, topology: &Topology) -> bool {
        let shown = |name: &str| self.queues.iter().any(|held| held.name == name && held.consumers.is_some());
        topology.queues().iter().all(|queue| shown(&queue.name))
    }

    /// How many consumers a queue has; 0 for a queue that is not there.
    pub fn consumers(&self, queue: &str) -> u64 {
        let queue = self.queues.iter().find(|held| held.name == queue);
        queue.and_then(|queue| queue.consumers).unwrap_or(0)
    }

    /// How many connections have this name.
    pub fn connections_named(&self, name: &str) -> usize {
        let connections = self.connections.iter().flatten();
        connections.filter(|held| held.user_provided_name.as_deref() == Some(name)).count()
    }
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
    #[serde(default)]
    disable_stats: bool,
}

/// An exchange as the broker holds it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the API's own")]
pub struct HeldExchange {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub arguments: Map<String, Value>,
    #[serde(default)]
    pub policy: Option<String>,
}

/// A queue as the broker holds it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the API's own")]
pub struct HeldQueue {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    #[serde(default)]
    pub arguments: Map<String, Value>,
    #[serde(default)]
    pub policy: Option<String>,
    #[serde(default)]
    pub operator_policy: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub effective_policy_definition: Map<String, Value>,
    #[serde(default)]
    pub consumers: Option<u64>,
}

/// A binding as the broker holds it. The source `""` is the default exchange.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the API's own")]
pub struct HeldBinding {
    pub source: String,
    pub destination: String,
    pub destination_type: String,
    pub routing_key: String,
}

/// A policy as the broker holds it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the API's own")]
pub struct HeldPolicy {
    pub name: String,
    pub definition: BTreeMap<String, Value>,
}

/// A node of the cluster. One that is down shows no figures.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the API's own")]
pub struct HeldNode {
    pub name: String,
    #[serde(default)]
    pub mem_alarm: bool,
    #[serde(default)]
    pub disk_free_alarm: bool,
    /// In bytes.
    #[serde(default)]
    pub disk_free_limit: Option<u64>,
}

/// A connection of a client.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HeldConnection {
    /// What the client calls itself.
    #[serde(default)]
    pub user_provided_name: Option<String>,
}

/// The API writes an empty object as an empty list.
fn object<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(object) => Ok(object),
        _ => Ok(Map::new()),
    }
}

/// Undoes the percent-encoding of a user or password, as a form decodes a name.
fn decoded(text: &str) -> String {
    let mut form = Url::parse("http://form").ok();
    if let Some(form) = &mut form {
        // These mean something in forms only.
        form.set_query(Some(&text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D")));
    }
    let name = form.and_then(|form| Some(form.query_pairs().next()?.0.into_owned()));
    name.unwrap_or_else(|| text.to_owned())
}

/// The innermost reason: the client's own text names the URL once more and hides why.
fn root_cause(error: reqwest::Error) -> String {
    if let Some(told) = tls::told(&error) {
        return told;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_the_urls_are_taken_and_never_shown() {
        let broker = Broker::new("amqp://pay:hunter%2F2@mq:5672/vh", "test").unwrap();
        let of = |url: &str| Management::new(url, &broker).unwrap();
        let brokers = of("http://mq:15672/prefix/?x=1");
        assert_eq!((brokers.user.as_str(), brokers.password.as_str()), ("pay", "hunter/2"));
        assert_eq!(brokers.url(), "http://mq:15672/prefix");
        let own = of("https://us%40er:h%26u+n%2Ft=er&2@mq");
        assert_eq!((own.user.as_str(), own.password.as_str()), ("us@er", "h&u+n/t=er&2"));
        let shown = format!("{brokers:?} {own:?} {}", own.unreadable("x".to_owned()));
        assert!(!shown.contains("unter") && !shown.contains("u+n"), "{shown}");
        for wrong in ["mq:15672", "ftp://mq", "", "http://"] {
            assert!(Management::new(wrong, &broker).is_err(), "{wrong}");
        }
        assert_eq!(Management::usual_url(&broker), "http://mq:15672");
        let tls = Broker::new("amqps://pay:x@mq", "test").unwrap();
        assert_eq!(Management::usual_url(&tls), "https://mq:15671");
    }
}
