-- API keys that were replaced and are taken for a while longer. The present key stays in `pay.merchants`.
CREATE TABLE pay.rotated_api_keys (
    api_key_sha256 bytea       PRIMARY KEY CHECK (octet_length(api_key_sha256) = 32),
    merchant_id    text        NOT NULL REFERENCES pay.merchants,
    valid_until    timestamptz NOT NULL
);
CREATE INDEX rotated_api_keys_merchant ON pay.rotated_api_keys (merchant_id);
