-- An order is updated once as a rule, and in place where its page has room for the second version.
ALTER TABLE orders.orders SET (fillfactor = 50);

-- One split of an order is guarded by the primary key, and a split has one part for each shop and warehouse.
ALTER TABLE orders.sub_orders DROP CONSTRAINT sub_orders_order_no_merchant_id_shop_id_warehouse_id_key;
