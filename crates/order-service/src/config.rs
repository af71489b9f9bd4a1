//! What the order service is told by its environment.

use events::MerchantId;
use messaging::RetryDelays;
use service::config::{Ports, Setting};
use service::{Common, Loader, Secret};

const PORTS: Ports = Ports { http: Some(8081), admin: 9081 };

/// What the documents say about the variables of the order service.
pub const SETTINGS: [Setting; 2] = [
    Setting { name: "PAYRELAY_ORDER_API_TOKEN", meaning: "Bearer token that the public HTTP demands." },
    Setting {
        name: "PAYRELAY_DEFAULT_MERCHANT_ID",
        meaning: "The merchant of messages that hold an order number and nothing else. \
                  Without it such messages are dead-lettered.",
    },
];

/// The configuration of the order service.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services share.
    pub common: Common,
    /// `PAYRELAY_ORDER_API_TOKEN`, demanded by the public HTTP.
    pub order_api_token: Secret,
    /// `PAYRELAY_DEFAULT_MERCHANT_ID`, whose orders bare order numbers name. Without it they are dead-lettered.
    pub default_merchant_id: Option<MerchantId>,
    /// `PAYRELAY_RETENTION_DAYS`: how long the log of handled events and what was parked is kept.
    pub retention_days: u16,
    /// `PAYRELAY_RETRY_DELAYS`.
    pub retry_delays: RetryDelays,
}

impl Config {
    /// Reads the environment; what is wrong stays in the loader.
    pub fn load(loader: &mut Loader) -> Self {
        let common = Common::load(loader, PORTS);
        let retry_delays = runtime::config::retry_delays(loader);
        let retention_days = runtime::config::retention_days(loader);
        Self {
            common,
            order_api_token: loader.secret("PAYRELAY_ORDER_API_TOKEN"),
            default_merchant_id: loader.optional("PAYRELAY_DEFAULT_MERCHANT_ID", "M1"),
            retention_days,
            retry_delays,
        }
    }
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const COMPLETE: [(&str, &str); 4] = [
        ("PAYRELAY_DATABASE_URL", "postgres://localhost/x"),
        ("PAYRELAY_AMQP_URL", "amqp://localhost"),
        ("PAYRELAY_ADMIN_TOKEN", "admin"),
        ("PAYRELAY_ORDER_API_TOKEN", "orders"),
    ];

    fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut loader = Loader::from_map(pairs.collect::<BTreeMap<_, _>>());
        let config = Config::load(&mut loader);
        loader.finish().map(|()| config).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = load(&COMPLETE).unwrap();
        assert_eq!(config.common.http_addr.unwrap().port(), 8081);
        assert_eq!(config.common.admin_addr.port(), 9081);
        assert_eq!(config.retention_days, 30);
        assert_eq!(config.retry_delays, "5s,30s,5m".parse().unwrap());
        assert_eq!(config.default_merchant_id, None);
    }

    #[test]
    fn every_error_is_reported_at_once() {
        let wrong = [
            ("PAYRELAY_RETENTION_DAYS", "3"),
            ("PAYRELAY_DEFAULT_MERCHANT_ID", "a b"),
            ("PAYRELAY_RETRY_DELAYS", "soon"),
        ];
        let errors = load(&[&COMPLETE[..3], &wrong].concat()).unwrap_err();
        for name in wrong.map(|(name, _)| name).into_iter().chain(["PAYRELAY_ORDER_API_TOKEN"]) {
            assert!(errors.contains(name), "{name} in {errors}");
        }
    }
}
