//! The lines of an order.

use events::Whole;
use serde::{Deserialize, Serialize};

use crate::label::Label;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What is sold.
    pub sku: Label,
    /// How many; at least 1.
    #[serde(deserialize_with = "Whole::read")]
    pub quantity: i64,
    /// The price of one, in minor units of the order's currency; at least 0.
    #[serde(deserialize_with = "Whole::read")]
    pub price_minor: i64,
    /// Who sells it.
    pub shop_id: Label,
    /// Where it is sent from.
    pub warehouse_id: Label,
}

/// The sum of quantity × price in minor units; `None` beyond an `i64`.
pub fn total(items: &[Item]) -> Option<i64> {
    items.iter().try_fold(0_i64, |sum, item| sum.checked_add(item.quantity.checked_mul(item.price_minor)?))
}
