//! The shape in which the ingress tells whether its books are sound, for `payrelay audit`.

use serde::{Deserialize, Serialize};

/// All that the ledger holds, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialBalance {
    /// What there is of each currency.
    pub currencies: Vec<CurrencySum>,
    /// What does not hold; not endlessly many of each kind.
    pub findings: Vec<LedgerFinding>,
}

/// All entries of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencySum {
    /// The currency, an ISO 4217 code.
    pub currency: String,
    /// How many entries.
    pub entries: i64,
    /// All that was given, in minor units.
    pub given_minor: i64,
    /// What they sum to: zero, or there is a finding.
    pub sum_minor: i64,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFinding {
    /// What.
    pub kind: LedgerFindingKind,
    /// Of which flow (its `trans_no`), account (its owner), currency or pay order.
    pub subject: String,
    /// The currency, if there is one.
    pub currency: Option<String>,
    /// What should be there, in minor units.
    pub expected_minor: i64,
    /// What is there.
    pub found_minor: i64,
}

/// What may be wrong with books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerFindingKind {
    /// All entries of a currency do not sum to zero.
    CurrencyUnbalanced,
    /// The entries of a flow do not sum to zero, or there are none.
    FlowUnbalanced,
    /// A user's running balance is not the sum of its entries.
    BalanceDiffers,
    /// What was posted for a recharge is not what its pay order says was paid.
    RechargeDiffers,
    /// What was posted for the refunds of a recharge is not what its pay order says was refunded.
    RechargeRefundDiffers,
}

impl LedgerFindingKind {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CurrencyUnbalanced => "currency_unbalanced",
            Self::FlowUnbalanced => "flow_unbalanced",
            Self::BalanceDiffers => "balance_differs",
            Self::RechargeDiffers => "recharge_differs",
            Self::RechargeRefundDiffers => "recharge_refund_differs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LedgerFindingKind;

    #[test]
    fn the_name_of_a_finding_is_the_one_in_json() {
        for kind in [
            LedgerFindingKind::CurrencyUnbalanced,
            LedgerFindingKind::FlowUnbalanced,
            LedgerFindingKind::BalanceDiffers,
            LedgerFindingKind::RechargeDiffers,
            LedgerFindingKind::RechargeRefundDiffers,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
