-- An order of a merchant. What it may become is decided in src/decide.rs, under a lock of its row.
-- The key begins with order_no, for a trace knows no more than that.
CREATE TABLE orders.orders (
    merchant_id      text        NOT NULL,
    order_no         text        NOT NULL,
    buyer_id         text        NOT NULL,
    amount_minor     bigint      NOT NULL CHECK (amount_minor > 0),
    currency         text        NOT NULL,
    items            jsonb       NOT NULL,
    status           text        NOT NULL DEFAULT 'AWAITING_PAYMENT'
        CHECK (status IN ('AWAITING_PAYMENT', 'PAID', 'PARTIALLY_REFUNDED', 'REFUNDED', 'CLOSED')),
    refunded_minor   bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    -- The facts of the payment. Null in an order that a bare order number has marked paid.
    pay_order_no     text,
    channel_trade_no text,
    paid_at          timestamptz CHECK ((paid_at IS NULL) = (pay_order_no IS NULL)),
    -- Grows by one with every change.
    version          bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    marked_paid_at   timestamptz,
    closed_at        timestamptz,
    PRIMARY KEY (order_no, merchant_id),
    CHECK (status IN ('AWAITING_PAYMENT', 'CLOSED') = (marked_paid_at IS NULL)),
    CHECK ((status = 'CLOSED') = (closed_at IS NOT NULL))
) WITH (fillfactor = 80);

-- The parts of a paid order, one per shop and warehouse, written once when the order is first paid.
CREATE TABLE orders.sub_orders (
    merchant_id  text   NOT NULL,
    order_no     text   NOT NULL,
    -- From 1, in the order of shop and warehouse.
    seq          int    NOT NULL,
    shop_id      text   NOT NULL,
    warehouse_id text   NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    items        jsonb  NOT NULL,
    PRIMARY KEY (order_no, merchant_id, seq),
    UNIQUE (order_no, merchant_id, shop_id, warehouse_id),
    FOREIGN KEY (order_no, merchant_id) REFERENCES orders.orders (order_no, merchant_id)
);

-- Pay orders that failed or were closed, noted on the order that they should have paid.
CREATE TABLE orders.payments (
    merchant_id  text        NOT NULL,
    order_no     text        NOT NULL,
    -- Empty for a bare order number.
    pay_order_no text        NOT NULL,
    status       text        NOT NULL CHECK (status IN ('TRADE_FAILED', 'TRADE_CLOSED')),
    -- By the event; null for a bare order number.
    occurred_at  timestamptz,
    noted_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_no, merchant_id, pay_order_no, status),
    FOREIGN KEY (order_no, merchant_id) REFERENCES orders.orders (order_no, merchant_id)
);

-- The log of handled events, for audit and trace. It is pruned by the day; what keeps an event from being applied
-- twice is the order itself.
CREATE TABLE orders.handled (
    occurred_at  timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    type         text        NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('applied', 'duplicate', 'not_mine')),
    merchant_id  text        NOT NULL,
    order_no     text        NOT NULL,
    pay_order_no text        NOT NULL,
    -- Made by another publisher than the ingress.
    upstream     boolean     NOT NULL,
    traceparent  text,
    handled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX handled_order_no ON orders.handled (order_no);

-- What was dead-lettered, written before the dead letter is published.
CREATE TABLE orders.parked (
    queue        text        NOT NULL,
    message_id   text        NOT NULL,
    reason       text        NOT NULL,
    detail       text        NOT NULL,
    attempts     int         NOT NULL,
    first_seen   timestamptz NOT NULL,
    -- Made by another publisher than the ingress.
    upstream     boolean     NOT NULL,
    traceparent  text,
    -- Null in what could not be decoded, and the event's own fields in a bare order number.
    type         text,
    merchant_id  text,
    order_no     text,
    pay_order_no text,
    event_id     uuid,
    occurred_at  timestamptz,
    parked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, queue, reason)
);

CREATE INDEX parked_parked_at ON orders.parked (parked_at);
CREATE INDEX parked_occurred_at ON orders.parked (occurred_at) WHERE occurred_at IS NOT NULL;
CREATE INDEX parked_order_no ON orders.parked (order_no) WHERE order_no IS NOT NULL;
