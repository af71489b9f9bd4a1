-- Recharges: pay orders whose success credits a user's account. Everything else of them is in the pay order.
CREATE TABLE pay.recharges (
    merchant_id  text NOT NULL,
    recharge_no  text NOT NULL,
    pay_order_no text NOT NULL,
    user_id      text NOT NULL,
    PRIMARY KEY (merchant_id, recharge_no)
);
CREATE UNIQUE INDEX recharges_pay_order ON pay.recharges (pay_order_no);
