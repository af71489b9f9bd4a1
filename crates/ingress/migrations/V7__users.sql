-- Users who pay from their balances. Their accounts, and what is on them, are in the schema `ledger`.
CREATE TABLE pay.users (
    merchant_id    text        NOT NULL,
    user_id        text        NOT NULL,
    -- argon2id as a PHC string, which tells its parameters and salt.
    password_hash  text        NOT NULL,
    created_at     timestamptz NOT NULL,
    -- Passwords that were tried from then on, none of them found right. Each is counted before it is looked at.
    attempts       smallint    NOT NULL DEFAULT 0,
    attempts_since timestamptz,
    PRIMARY KEY (merchant_id, user_id),
    CHECK ((attempts = 0) = (attempts_since IS NULL))
) WITH (fillfactor = 80);
