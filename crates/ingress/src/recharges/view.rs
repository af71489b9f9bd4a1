//! How a recharge looks to its merchant.

use std::time::Duration;

use events::{RechargeNo, UserId};
use serde::Serialize;
use time::OffsetDateTime;

use crate::pay_orders::PayOrderView;
use crate::store::recharges::Recharge;

/// Its pay order, and whose account that credits.
#[derive(Debug, Serialize)]
pub(crate) struct RechargeView {
    recharge_no: RechargeNo,
    user_id: UserId,
    #[serde(flatten)]
    pay_order: PayOrderView,
}

impl RechargeView {
    pub(super) fn new(recharge: Recharge, close_grace: Duration, now: OffsetDateTime) -> Self {
        let Recharge { number: recharge_no, user_id, pay_order } = recharge;
        Self { recharge_no, user_id, pay_order: PayOrderView::new(pay_order, close_grace, now) }
    }
}
