-- Retries by hand: a fresh ladder beside the attempts already made, and when it was asked for.
ALTER TABLE notify.notifications
    -- How many attempts were made before the present ladder began.
    ADD COLUMN ladder_start integer NOT NULL DEFAULT 0,
    ADD COLUMN retried_at   timestamptz;
