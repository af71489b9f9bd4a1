-- The schema `pay`: merchants, pay orders, and everything that is told about them. Owned by the ingress alone.

CREATE TABLE pay.merchants (
    merchant_id    text        PRIMARY KEY,
    name           text,
    enabled        boolean     NOT NULL DEFAULT true,
    -- Of 256 random bits, so a plain hash is enough: there is nothing to guess.
    api_key_sha256 bytea       NOT NULL UNIQUE CHECK (octet_length(api_key_sha256) = 32),
    created_at     timestamptz NOT NULL
);

CREATE TABLE pay.pay_orders (
    pay_order_no       text        PRIMARY KEY,
    -- No foreign key: merchants are never deleted, and it would lock one row of a busy merchant for every insert.
    merchant_id        text        NOT NULL,
    order_no           text        NOT NULL,
    purpose            text        NOT NULL CHECK (purpose IN ('ORDER', 'EXTERNAL', 'RECHARGE')),
    amount_minor       bigint      NOT NULL CHECK (amount_minor > 0),
    currency           text        NOT NULL,
    channel            text        NOT NULL,
    status             text        NOT NULL CHECK (status IN (
        'NOT_COMMIT', 'WAIT_BUYER_PAY', 'TRADE_SUCCESS', 'TRADE_FAILED', 'TRADE_CLOSED', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED')),
    -- Whether it keeps its order from getting another pay order. Once false, false for ever.
    active             boolean     NOT NULL,
    version            bigint      NOT NULL,
    refunded_minor     bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    channel_trade_no   text,
    paid_at            timestamptz,
    subject            text,
    notify_url         text,
    attach             text,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    close_requested_at timestamptz,
    -- From then on new payments are refused: its expiry, or the close that came before it.
    payable_until      timestamptz NOT NULL
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX pay_orders_active ON pay.pay_orders (merchant_id, order_no) WHERE active;
CREATE INDEX pay_orders_order ON pay.pay_orders (order_no, merchant_id, created_at);
CREATE INDEX pay_orders_closing ON pay.pay_orders ((channel = 'balance'), payable_until)
    WHERE status IN ('NOT_COMMIT', 'WAIT_BUYER_PAY', 'TRADE_FAILED');

-- What channels sent, as it came, with what became of it.
CREATE TABLE pay.callbacks (
    received_at  timestamptz NOT NULL,
    callback_id  uuid        NOT NULL,
    account      text        NOT NULL,
    dedupe_id    text        NOT NULL,
    pay_order_no text        NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('applied', 'duplicate', 'contradiction')),
    reason       text,
    traceparent  text        NOT NULL,
    headers      jsonb       NOT NULL,
    body         bytea       NOT NULL,
    PRIMARY KEY (received_at, callback_id)
) PARTITION BY RANGE (received_at);
CREATE INDEX callbacks_pay_order ON pay.callbacks (pay_order_no);

-- Every event, written once and never changed.
CREATE TABLE pay.events (
    occurred_at  timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    pay_order_no text        NOT NULL,
    version      bigint      NOT NULL,
    type         text        NOT NULL CHECK (type IN ('pay.success', 'pay.failed', 'pay.closed', 'pay.refunded')),
    traceparent  text        NOT NULL,
    tracestate   text,
    -- pay.v1.PayEvent
    payload      bytea       NOT NULL,
    PRIMARY KEY (occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_pay_order ON pay.events (pay_order_no);

-- The events that the broker has not confirmed yet. Narrow and short-lived: rows are inserted and deleted, rarely updated.
CREATE TABLE pay.outbox_pending (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- A hash of the pay order number; the number of relays divides the slots among them.
    slot        smallint    NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    -- How often the broker returned it as unroutable.
    attempts    integer     NOT NULL DEFAULT 0,
    not_before  timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Statements of channels that cannot be true together with what is known. Somebody must look.
CREATE TABLE pay.contradictions (
    pay_order_no     text        NOT NULL,
    reason           text        NOT NULL,
    -- Empty if the channel named none.
    channel_trade_no text        NOT NULL,
    account          text        NOT NULL,
    -- Null if there is no such pay order.
    merchant_id      text,
    order_no         text,
    ours             jsonb,
    theirs           jsonb       NOT NULL,
    count            bigint      NOT NULL,
    first_seen_at    timestamptz NOT NULL,
    last_seen_at     timestamptz NOT NULL,
    PRIMARY KEY (pay_order_no, reason, channel_trade_no)
);
CREATE INDEX contradictions_last_seen ON pay.contradictions (last_seen_at);
