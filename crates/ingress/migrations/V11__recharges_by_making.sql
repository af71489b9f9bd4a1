-- For the audit of a window, in place of the index by the time of payment, which the next migration drops. By itself, for readers and
-- payments that only look need not wait for it.
CREATE INDEX pay_orders_recharges ON pay.pay_orders (created_at) WHERE purpose = 'RECHARGE';
