-- The schema `ledger`: accounts and the double-entry flows between them. Owned by the ingress; its statements stand in the crate `ledger`.

CREATE SCHEMA IF NOT EXISTS ledger;

-- An owner has one account in each currency: `user/{merchant_id}/{user_id}`, `merchant/{merchant_id}`, `channel/{account}` or
-- `shortfall/{merchant_id}`. Above zero is what is owed to the owner, below zero what the owner owes.
CREATE TABLE ledger.accounts (
    owner         text        NOT NULL COLLATE "C"
        CHECK (owner ~ '^(user/[^/]+/[^/]+|(merchant|channel|shortfall)/[^/]+)$'),
    currency      text        NOT NULL COLLATE "C",
    -- Of users alone: the balances of all others are sums over entries, or every payment would wait for the same row.
    balance_minor bigint      CONSTRAINT accounts_balance CHECK (balance_minor >= 0),
    opened_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, currency),
    CHECK (starts_with(owner, 'user/') = (balance_minor IS NOT NULL))
) WITH (fillfactor = 80);

-- One movement of money, for one reason. The ids of the flows of a user's account grow in the order of its balances.
CREATE TABLE ledger.flows (
    flow_id      bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    trans_no     text        NOT NULL CONSTRAINT flows_trans_no UNIQUE,
    kind         text        NOT NULL CHECK (kind IN ('balance_payment', 'recharge', 'recharge_refund')),
    pay_order_no text        NOT NULL,
    occurred_at  timestamptz NOT NULL
);
CREATE INDEX flows_pay_order ON ledger.flows (pay_order_no, kind);

-- No foreign keys: `check_flow` sees that flow and accounts are there, and locks nothing.
CREATE TABLE ledger.entries (
    flow_id       bigint NOT NULL,
    owner         text   NOT NULL COLLATE "C",
    currency      text   NOT NULL COLLATE "C",
    amount_minor  bigint NOT NULL CHECK (amount_minor <> 0),
    -- Of a user's account, after this flow.
    balance_minor bigint,
    PRIMARY KEY (flow_id, currency, owner) INCLUDE (amount_minor)
);
CREATE INDEX entries_account ON ledger.entries (owner, currency, flow_id) INCLUDE (amount_minor);

-- At the commit: a flow has two entries or more, of accounts that exist, and they sum to zero in every currency.
CREATE FUNCTION ledger.check_flow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    flow     record;
    currency text;
BEGIN
    SELECT f.trans_no,
           (SELECT count(*) FROM ledger.entries e WHERE e.flow_id = f.flow_id) AS entries,
           (SELECT count(*) FROM ledger.entries e
            JOIN ledger.accounts a ON a.owner = e.owner AND a.currency = e.currency
                AND (a.balance_minor IS NULL) = (e.balance_minor IS NULL)
            WHERE e.flow_id = f.flow_id) AS sound
    INTO flow FROM ledger.flows f WHERE f.flow_id = NEW.flow_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ledger: entries of a flow that is not there: %', NEW.flow_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF flow.entries < 2 THEN
        RAISE EXCEPTION 'ledger: flow % has % entries, expected two or more', flow.trans_no, flow.entries
            USING ERRCODE = 'check_violation';
    END IF;
    IF flow.sound < flow.entries THEN
        RAISE EXCEPTION 'ledger: flow % has an entry of an account that is not there', flow.trans_no
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT e.currency INTO currency FROM ledger.entries e WHERE e.flow_id = NEW.flow_id
    GROUP BY e.currency HAVING sum(e.amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger: flow % does not sum to zero in %', flow.trans_no, currency
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER flow_is_balanced AFTER INSERT ON ledger.flows
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_flow();
CREATE CONSTRAINT TRIGGER flow_stays_balanced AFTER INSERT ON ledger.entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_flow();

-- What is written stands: a mistake is set right by another flow.
CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: % of % is refused, for what is written stands', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Set it right by another flow.';
END $$;

CREATE TRIGGER flows_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.flows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER entries_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER accounts_stand BEFORE UPDATE OF owner, currency, opened_at OR DELETE OR TRUNCATE ON ledger.accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
