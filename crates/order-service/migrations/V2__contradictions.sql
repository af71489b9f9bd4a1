-- What operators decide about payments that an order cannot take. The payment is settled elsewhere, so there is one decision.
ALTER TABLE orders.parked
    ADD COLUMN contradiction_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN resolution       text CHECK (resolution = 'dismissed'),
    ADD COLUMN note             text,
    ADD COLUMN resolved_by      text,
    ADD COLUMN resolved_at      timestamptz,
    ADD CHECK (num_nonnulls(resolution, note, resolved_by, resolved_at) IN (0, 4));

CREATE UNIQUE INDEX parked_contradiction_id ON orders.parked (contradiction_id);
CREATE INDEX parked_contradictions ON orders.parked (parked_at) WHERE reason IN ('second_payment', 'order_closed');
