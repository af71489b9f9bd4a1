-- What is paid from a balance, and what recharges one, is in the ledger: else a commit is refused. A recharge that is paid without its
-- credit would stay so for ever, for every repetition of its callback is a duplicate; and a release that knows no ledger may still run
-- beside this one. Its channel asks again.
CREATE FUNCTION pay.check_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pay_order record;
    posted    record;
BEGIN
    -- As it is at the commit, for the trigger is deferred: the flows are written beside the pay order.
    SELECT p.purpose, p.amount_minor, p.refunded_minor INTO pay_order
    FROM pay.pay_orders p WHERE p.pay_order_no = NEW.pay_order_no;
    SELECT coalesce(-sum(e.amount_minor) FILTER (WHERE f.kind IN ('recharge', 'balance_payment') AND e.amount_minor < 0), 0) AS paid_minor,
           coalesce(sum(e.amount_minor) FILTER (WHERE f.kind = 'recharge_refund' AND e.amount_minor > 0), 0) AS refunded_minor
    INTO posted
    FROM ledger.flows f JOIN ledger.entries e ON e.flow_id = f.flow_id WHERE f.pay_order_no = NEW.pay_order_no;
    IF posted.paid_minor <> pay_order.amount_minor THEN
        RAISE EXCEPTION 'pay: the pay order % is paid with %, and the ledger has %', NEW.pay_order_no, pay_order.amount_minor, posted.paid_minor
            USING ERRCODE = 'check_violation';
    END IF;
    IF pay_order.purpose = 'RECHARGE' AND posted.refunded_minor <> pay_order.refunded_minor THEN
        RAISE EXCEPTION 'pay: of the recharge % is refunded %, and the ledger has %', NEW.pay_order_no, pay_order.refunded_minor, posted.refunded_minor
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- Of all other pay orders nothing is asked but this condition.
CREATE CONSTRAINT TRIGGER paid_is_posted AFTER UPDATE OF status, refunded_minor ON pay.pay_orders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((NEW.purpose = 'RECHARGE' OR NEW.channel = 'balance')
        AND NEW.status IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED')
        AND (OLD.status <> NEW.status OR OLD.refunded_minor <> NEW.refunded_minor))
    EXECUTE FUNCTION pay.check_posted();
