-- These rows are written by the transaction that holds the lock of their order, and orders are never deleted: what the
-- foreign keys would look up again for every row is known, and looking it up cost more than writing the row.
ALTER TABLE orders.sub_orders DROP CONSTRAINT sub_orders_order_no_merchant_id_fkey;
ALTER TABLE orders.payments DROP CONSTRAINT payments_order_no_merchant_id_fkey;
