-- A paid recharge without its credit would stay so for ever: every repetition of its callback is a duplicate. A release that does
-- not know recharges, and still runs beside this one, must not commit such a thing; its channel asks again.
CREATE FUNCTION pay.check_recharge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM ledger.flows f WHERE f.pay_order_no = NEW.pay_order_no AND f.kind = 'recharge';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pay: the recharge % is paid, and nothing is credited for it', NEW.pay_order_no
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- At the commit, for the flow is written beside the pay order.
CREATE CONSTRAINT TRIGGER paid_recharges_are_credited AFTER UPDATE OF status ON pay.pay_orders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.purpose = 'RECHARGE'
        AND NEW.status IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED')
        AND OLD.status NOT IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED'))
    EXECUTE FUNCTION pay.check_recharge();
