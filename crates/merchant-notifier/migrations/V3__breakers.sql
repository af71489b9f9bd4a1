-- Circuit breakers. A merchant has a row only while its last attempts failed: the first success deletes it.
CREATE TABLE notify.breakers (
    merchant_id text PRIMARY KEY,
    -- In a row, of whichever notifications, by whichever replica.
    failures    integer NOT NULL CHECK (failures > 0),
    -- Since when nothing is sent but one attempt at a time, the probe; null while the breaker is closed.
    opened_at   timestamptz,
    -- When the next probe may be made. While one is in flight: when its lease ends, by which it is known.
    probe_at    timestamptz,
    CONSTRAINT breakers_open_with_probe CHECK ((opened_at IS NULL) = (probe_at IS NULL))
) WITH (fillfactor = 50);
