-- What operators decide about contradictions. There is one decision for each, and it stands.
ALTER TABLE pay.contradictions
    ADD COLUMN contradiction_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- What is stated, by kind: a success and its refunds are one contradiction, and accepting it books them all. Of refunds
    -- the largest. `theirs` stays what was stated first.
    ADD COLUMN stated           jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN resolution       text  CHECK (resolution IN ('dismissed', 'accepted')),
    ADD COLUMN note             text,
    ADD COLUMN resolved_by      text,
    ADD COLUMN resolved_at      timestamptz,
    ADD CHECK (num_nonnulls(resolution, note, resolved_by, resolved_at) IN (0, 4));

CREATE UNIQUE INDEX contradictions_id ON pay.contradictions (contradiction_id);
-- The open ones, by when they came last; and their number.
CREATE INDEX contradictions_open ON pay.contradictions (last_seen_at) WHERE resolution IS NULL;

COMMENT ON COLUMN pay.pay_orders.active IS
    'Whether it keeps its order from getting another pay order. Once false, true again only if a payment after the close is accepted.';
