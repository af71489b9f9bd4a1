-- What the merchant notifier owns. Times are UTC, amounts are minor units.

-- Where each merchant wants its webhooks. A merchant without a row is unknown.
CREATE TABLE notify.endpoints (
    merchant_id text PRIMARY KEY,
    url         text,
    enabled     boolean NOT NULL DEFAULT true,
    ack         text NOT NULL DEFAULT 'any_2xx' CHECK (ack IN ('any_2xx', 'success')),
    -- The endpoint's own retry delays in milliseconds; null for the configured ones.
    ladder_ms   bigint[] CHECK (cardinality(ladder_ms) BETWEEN 1 AND 64),
    -- 12 bytes nonce, then the AES-256-GCM ciphertext of the signing secret; the merchant id is authenticated with it.
    secret      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Why a notification cannot be sent as its endpoint stands; null if it can. The one place that decides it.
CREATE FUNCTION notify.hold_reason(endpoint notify.endpoints, own_url text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN NOT endpoint.enabled THEN 'endpoint_disabled'
                WHEN coalesce(own_url, endpoint.url) IS NULL THEN 'no_endpoint' END;

-- One row per event key, kept for ever: the guard against telling a merchant twice. `body` is pruned after delivery.
CREATE TABLE notify.notifications (
    notification_id uuid PRIMARY KEY,
    event_id        uuid NOT NULL,
    merchant_id     text NOT NULL,
    order_no        text NOT NULL,
    pay_order_no    text NOT NULL,
    event_type      text NOT NULL CHECK (event_type IN ('pay.success', 'pay.failed', 'pay.closed', 'pay.refunded')),
    seq             bigint NOT NULL,
    version         bigint NOT NULL,
    occurred_at     timestamptz NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'PARKED')),
    reason          text CHECK (reason IN ('no_endpoint', 'endpoint_disabled', 'attempts_exhausted', 'gone')),
    -- The pay order's own address; null for the endpoint's.
    url             text,
    body            bytea,
    traceparent     text,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_token     uuid,
    lease_until     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT notifications_event_key UNIQUE (merchant_id, order_no, pay_order_no, event_type, seq),
    CONSTRAINT notifications_parked_with_reason CHECK ((status = 'PARKED') = (reason IS NOT NULL)),
    CONSTRAINT notifications_pending_with_body CHECK (body IS NOT NULL OR status = 'DELIVERED')
) WITH (
    -- Room for the claim of a lease on the same page, and a vacuum that keeps up with a queue.
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000
);

-- The queue of each merchant, in the order of its due times.
CREATE INDEX notifications_due ON notify.notifications (merchant_id, next_attempt_at) WHERE status = 'PENDING';
-- What a notification may have to wait for.
CREATE INDEX notifications_versions ON notify.notifications (pay_order_no, version) WHERE status = 'PENDING';
CREATE INDEX notifications_parked ON notify.notifications (merchant_id, reason) WHERE status = 'PARKED';
CREATE INDEX notifications_orders ON notify.notifications (order_no);
CREATE INDEX notifications_events ON notify.notifications (event_id);
CREATE INDEX notifications_bulky ON notify.notifications (finished_at)
    WHERE status = 'DELIVERED' AND body IS NOT NULL;

-- Every webhook attempt.
CREATE TABLE notify.attempts (
    notification_id  uuid NOT NULL,
    attempt          integer NOT NULL,
    started_at       timestamptz NOT NULL,
    duration_ms      integer NOT NULL,
    http_status      smallint,
    -- Null for an acknowledged attempt.
    error_kind       text,
    error_detail     text,
    response_excerpt text,
    PRIMARY KEY (notification_id, attempt, started_at)
) PARTITION BY RANGE (started_at);

-- Every event id with what became of it, partitioned by the event's own day, so that no repetition slips over midnight.
CREATE TABLE notify.handled (
    occurred_at timestamptz NOT NULL,
    event_id    uuid NOT NULL,
    event_type  text NOT NULL,
    merchant_id text NOT NULL,
    order_no    text NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('applied', 'duplicate')),
    -- Whether another publisher than the ingress made it.
    upstream    boolean NOT NULL,
    handled_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX handled_order_no ON notify.handled (order_no);

-- What was dead-lettered, written before the dead letter is published. Columns about the event are null where it could
-- not be decoded.
CREATE TABLE notify.parked (
    queue       text NOT NULL,
    -- Tells a repetition of the same dead letter: the message id, or a digest of the body where there is none.
    message_key text NOT NULL,
    event_id    uuid,
    occurred_at timestamptz,
    event_type  text,
    merchant_id text,
    order_no    text,
    upstream    boolean NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    attempts    integer NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_key, queue)
);
CREATE INDEX parked_occurred_at ON notify.parked (occurred_at);
CREATE INDEX parked_order_no ON notify.parked (order_no);
CREATE INDEX parked_parked_at ON notify.parked (parked_at);
