-- The tables of the textbook baseline.
CREATE TABLE endpoints (
    merchant_id text PRIMARY KEY,
    url         text NOT NULL,
    secret      text NOT NULL
);
CREATE TABLE pay_orders (
    pay_order_no     text        PRIMARY KEY,
    merchant_id      text        NOT NULL,
    order_no         text        NOT NULL,
    amount_minor     bigint      NOT NULL,
    status           text        NOT NULL DEFAULT 'WAIT_BUYER_PAY',
    channel_trade_no text,
    paid_at          timestamptz
);
CREATE TABLE callbacks (
    callback_id  uuid        PRIMARY KEY,
    pay_order_no text        NOT NULL,
    body         bytea       NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE events (
    event_id     uuid        PRIMARY KEY,
    pay_order_no text        NOT NULL,
    payload      bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE orders (
    merchant_id  text   NOT NULL,
    order_no     text   NOT NULL,
    amount_minor bigint NOT NULL,
    items        jsonb  NOT NULL,
    status       text   NOT NULL DEFAULT 'AWAITING_PAYMENT',
    pay_order_no text,
    paid_at      timestamptz,
    PRIMARY KEY (order_no, merchant_id)
);
CREATE TABLE handled (
    event_id   uuid        PRIMARY KEY,
    handled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE notifications (
    event_id     uuid        PRIMARY KEY,
    merchant_id  text        NOT NULL,
    order_no     text        NOT NULL,
    http_status  int         NOT NULL,
    delivered_at timestamptz NOT NULL DEFAULT now()
);
