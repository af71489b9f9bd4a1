-- Every index of the notifications is written when one is made, and again when it is delivered: two of them can go.

-- The notification that tells of the event: its own, or the one that another event with its key had made. Null in
-- repetitions that were handled before there was this column.
ALTER TABLE notify.handled ADD COLUMN notification_id uuid;
UPDATE notify.handled h SET notification_id = n.notification_id
FROM notify.notifications n WHERE n.event_id = h.event_id;
DROP INDEX notify.notifications_events;

-- A trace knows no more than the order's number, so the key begins with it.
ALTER TABLE notify.notifications
    DROP CONSTRAINT notifications_event_key,
    ADD CONSTRAINT notifications_event_key UNIQUE (order_no, merchant_id, pay_order_no, event_type, seq);
DROP INDEX notify.notifications_orders;

-- Lower versions of a pay order are found by the event key.
DROP INDEX notify.notifications_versions;
