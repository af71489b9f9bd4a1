//! Columns of text that are parsed as they are read.

use std::error::Error as StdError;
use std::str::FromStr;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::Error;

/// A column of text that is parsed as it is read. What does not parse was not written by us: the driver reports it, and it is
/// [`Error::Rejected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<'a, T: FromStr<Err: StdError + Send + Sync + 'static>> FromSql<'a> for Parsed<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(<&str>::from_sql(ty, raw)?.parse()?))
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}

/// Reads a column that [`Parsed`] reads.
///
/// # Errors
/// [`Error::Rejected`] when it does not parse.
pub fn parsed<T: FromStr<Err: StdError + Send + Sync + 'static>>(
    row: &Row,
    column: &str,
) -> Result<T, Error> {
    Ok(row.try_get::<_, Parsed<T>>(column)?.0)
}
