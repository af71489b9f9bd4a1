//! Digests of sets of ids, computed where the ids are.

/// SQL for the sum of a 64-bit hash of every `$id`, a column of type `uuid`, as text: the first eight bytes of its SHA-256,
/// big-endian, read as a signed number. PostgreSQL adds them up in 128 bits.
///
/// The operator compares these sums between services, so all of them use this and nothing else.
#[macro_export]
macro_rules! id_digest {
    ($id:literal) => {
        concat!(
            "sum(('x' || encode(substr(sha256(uuid_send(",
            $id,
            ")), 1, 8), 'hex'))::bit(64)::bigint)::text"
        )
    };
}
