//! Who calls in a scenario, and by which tokens.

use webhooks::VerifyingKey;

/// `PAYRELAY_ADMIN_TOKEN`
pub const ADMIN_TOKEN: &str = "admin-token-of-the-scenarios";
/// `PAYRELAY_ORDER_API_TOKEN`
pub const ORDER_API_TOKEN: &str = "order-token-of-the-scenarios";
/// `PAYRELAY_DEFAULT_MERCHANT_ID`
pub const DEFAULT_MERCHANT: &str = "legacy";
/// The channel account, of kind `standard`.
pub const CHANNEL: &str = "standard_main";

/// A merchant as `payrelay merchant add` made it.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// Its id.
    pub id: String,
    /// For the ingress.
    pub api_key: String,
    /// For webhooks.
    pub key: VerifyingKey,
}
