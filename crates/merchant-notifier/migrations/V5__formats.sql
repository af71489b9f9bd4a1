-- In what shape an endpoint gets its webhooks, and more keys than one secret. An older release reads neither column and goes on
-- sending the plain standard, signed with `secret`: while one runs, endpoints should ask for nothing else.
ALTER TABLE notify.endpoints
    ADD COLUMN format  text NOT NULL DEFAULT 'standard' CHECK (format IN ('standard', 'form-md5')),
    -- All keys of the endpoint in one text, sealed as `secret` is; null for `secret` alone. Where the plain standard is asked for,
    -- `secret` is the newest v1 secret of it, else one that nobody was told, so that what an older release sends verifies nowhere.
    ADD COLUMN keyring bytea;
