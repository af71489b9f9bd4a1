//! What stands beside the rows of a test.

use devstack::testing::Twinned;

/// Rows of another merchant beside all that a test makes. Where the number of a pay order or a key must be another one, it is;
/// what acts for all merchants, as the sweep, has no reason to touch a twin, for its time never comes.
pub(super) const TWINS: [Twinned<'_>; 4] = [
    Twinned {
        table: "pay.pay_orders",
        merchant: "merchant_id",
        differs: "jsonb_build_object('pay_order_no', 'TWIN' || $1.pay_order_no, 'payable_until', '9999-01-01T00:00:00Z',
            'created_at', $1.created_at + interval '1 second')",
    },
    Twinned {
        table: "pay.recharges",
        merchant: "merchant_id",
        differs: "jsonb_build_object('pay_order_no', 'TWIN' || $1.pay_order_no)",
    },
    Twinned {
        table: "pay.merchants",
        merchant: "merchant_id",
        differs: "jsonb_build_object('api_key_sha256', sha256($1.api_key_sha256))",
    },
    Twinned {
        table: "pay.rotated_api_keys",
        merchant: "merchant_id",
        differs: "jsonb_build_object('api_key_sha256', sha256($1.api_key_sha256), 'valid_until', '9999-01-01T00:00:00Z')",
    },
];

/// All but the twins'.
pub(super) const CLOSINGS: &str = "pay.closings WHERE payable_until < '9999-01-01'";
