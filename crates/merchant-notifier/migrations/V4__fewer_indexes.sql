-- Every index of the notifications is written when one is made, and again when it is delivered: three of them can go.

-- At once and in the order in which the consumers take their locks: one after the other they would wait in a circle.
LOCK TABLE notify.notifications, notify.handled IN ACCESS EXCLUSIVE MODE;

-- The notification that tells of the event: its own, or the one that another event with its key had made. Null in what was
-- handled before there was this column.
ALTER TABLE notify.handled ADD COLUMN notification_id uuid;
DROP INDEX notify.notifications_events;

-- A trace knows no more than the order's number, so the key begins with it. Lower versions of a pay order are found by it, too.
ALTER TABLE notify.notifications
    DROP CONSTRAINT notifications_event_key,
    ADD CONSTRAINT notifications_event_key UNIQUE (order_no, merchant_id, pay_order_no, event_type, seq);
DROP INDEX notify.notifications_orders;
DROP INDEX notify.notifications_versions;
