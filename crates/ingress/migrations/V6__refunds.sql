-- Refunds of channels that state each by itself, by its own number. What was counted is found here, however late it is repeated: rows
-- stay as long as their pay orders. A channel that states what it refunded in all leaves no row; `pay_orders.refunded_minor` tells.
CREATE TABLE pay.refunds (
    pay_order_no text        NOT NULL,
    refund_no    text        NOT NULL,
    -- What this refund alone gave back.
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    -- By the channel's clock.
    refunded_at  timestamptz NOT NULL,
    PRIMARY KEY (pay_order_no, refund_no)
);
