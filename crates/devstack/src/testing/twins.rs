//! Rows of another merchant beside the rows of a test.

use super::Server;

/// A table whose rows get twins.
#[derive(Debug, Clone, Copy)]
pub struct Twinned<'a> {
    /// `schema.table`
    pub table: &'a str,
    /// The column that is the merchant's name, or holds it after a first slash, as in `user/m1/u1`.
    pub merchant: &'a str,
    /// What else differs in a twin: an SQL expression of the type `jsonb`, in which `$1` is the row.
    pub differs: &'a str,
}

impl<'a> Twinned<'a> {
    /// A table whose keys all hold the merchant, so that a twin differs in nothing else.
    pub const fn by_merchant(table: &'a str) -> Self {
        Self { table, merchant: "merchant_id", differs: "'{}'" }
    }
}

const FUNCTIONS: &str = "
    CREATE SCHEMA twins;
    CREATE SCHEMA ours;
    CREATE FUNCTION twins.named(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT regexp_replace(value, '^([^/]+/)?[^/]+', '\\1twin')
    $$;
    CREATE FUNCTION twins.make() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('INSERT INTO %I.%I SELECT (jsonb_populate_record($1, to_jsonb($1)
                || jsonb_build_object(%L, twins.named($1.%I)) || %s)).* ON CONFLICT DO NOTHING',
            TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[0], TG_ARGV[1]) USING NEW;
        RETURN NULL;
    END $$;
    CREATE FUNCTION twins.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a row of another merchant is touched: % of %', TG_OP, TG_TABLE_NAME;
    END $$;";

/// From now on the insert of a row into one of these tables makes a twin of it as well: the same row of the merchant `twin`, for
/// whom no test acts. The server refuses every change of a twin. A statement that forgets the merchant so fails in whichever
/// test runs it. For tests that look into a table of theirs, the view `ours.table` shows and changes the rows without the twins.
/// May be repeated, also by several replicas at once.
///
/// # Panics
/// When a table or column does not exist.
pub fn add_twins(database_url: &str, tables: &[Twinned<'_>]) {
    let triggers = tables.iter().map(|Twinned { table, merchant, differs }| {
        let (_, name) = table.split_once('.').unwrap_or(("", table));
        let differs = differs.replace('\'', "''");
        format!(
            "
    CREATE TRIGGER twins_are_made AFTER INSERT ON {table} FOR EACH ROW
        WHEN (NEW.{merchant} <> twins.named(NEW.{merchant})) EXECUTE FUNCTION twins.make('{merchant}', '{differs}');
    CREATE TRIGGER twins_are_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW
        WHEN (OLD.{merchant} = twins.named(OLD.{merchant})) EXECUTE FUNCTION twins.refuse();
    CREATE VIEW ours.{name} AS SELECT * FROM {table} WHERE {merchant} <> twins.named({merchant});"
        )
    });
    let statement = format!(
        "DO $twins$ BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('twins'));
    IF to_regnamespace('twins') IS NOT NULL THEN RETURN; END IF;{FUNCTIONS}{}
END $twins$",
        triggers.collect::<String>()
    );
    let made = Server::shared().execute_in(database_url, &statement);
    made.unwrap_or_else(|error| panic!("twins of a test's rows: {error}"));
}
