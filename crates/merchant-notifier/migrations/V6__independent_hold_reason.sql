-- The same function with its body as text, which depends on no column and no row type: a table whose row type a body of the
-- form RETURN uses cannot be altered on PostgreSQL 15.20, 17.12 and later.
CREATE OR REPLACE FUNCTION notify.hold_reason(endpoint notify.endpoints, own_url text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT endpoint.enabled THEN 'endpoint_disabled'
                WHEN coalesce(own_url, endpoint.url) IS NULL THEN 'no_endpoint' END
$$;
