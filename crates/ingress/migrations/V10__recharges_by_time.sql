-- For the audit of a window: the recharges that were paid in it, and those whose money moved in it.
CREATE INDEX pay_orders_recharged ON pay.pay_orders (paid_at) WHERE purpose = 'RECHARGE';
CREATE INDEX flows_recharged ON ledger.flows (occurred_at) WHERE kind IN ('recharge', 'recharge_refund');
