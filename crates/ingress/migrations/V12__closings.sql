-- A payment updates its pay order in place: no index holds what it changes, and half of each page is left for the rows' second
-- versions. What looks for pay orders by their status or by the time of their payment stands apart.
-- Who waits for this lock lets everybody wait: rather fail, and be tried again with the next start.
SET LOCAL lock_timeout = '10s';
LOCK TABLE pay.pay_orders IN ACCESS EXCLUSIVE MODE;
ALTER TABLE pay.pay_orders SET (fillfactor = 50);

-- When to look whether a pay order is to be closed: one row for each, and one more if its close was asked for. It goes when that
-- time has come and the pay order is settled.
CREATE TABLE pay.closings (
    -- Paid from a balance: nothing of it can be under way when its time is over.
    balance       boolean     NOT NULL,
    payable_until timestamptz NOT NULL,
    pay_order_no  text        NOT NULL,
    PRIMARY KEY (balance, payable_until, pay_order_no)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Written by triggers, for a release that does not know the table may still run beside this one, and a pay order without its row
-- would stay open for ever. Until the last of these replicas has ended, its own search reads all pay orders.
CREATE FUNCTION pay.note_closings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pay.closings SELECT channel = 'balance', payable_until, pay_order_no FROM made ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER closings_noted AFTER INSERT ON pay.pay_orders
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION pay.note_closings();

CREATE FUNCTION pay.note_closing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pay.closings VALUES (NEW.channel = 'balance', NEW.payable_until, NEW.pay_order_no) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER closing_noted AFTER UPDATE OF payable_until ON pay.pay_orders
    FOR EACH ROW WHEN (OLD.payable_until <> NEW.payable_until) EXECUTE FUNCTION pay.note_closing();

INSERT INTO pay.closings
SELECT channel = 'balance', payable_until, pay_order_no FROM pay.pay_orders
WHERE status IN ('NOT_COMMIT', 'WAIT_BUYER_PAY', 'TRADE_FAILED');
DROP INDEX pay.pay_orders_closing;
DROP INDEX pay.pay_orders_recharged;
