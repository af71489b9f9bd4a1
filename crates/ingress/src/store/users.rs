//! Users, the hashes of their passwords, and how often a password was tried.

use events::{Currency, MerchantId, UserId};
use ledger::{Account, Owner};
use storage::{Client, Error};
use time::{Duration, OffsetDateTime};

/// Passwords that may be tried within [`WINDOW`]; what comes then is refused until it is over, the right one, too.
pub(crate) const MAX_ATTEMPTS: i16 = 5;
/// Counted from the first of them. A right password in time forgets them all.
pub(crate) const WINDOW: Duration = Duration::minutes(15);

/// Whose user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UserKey {
    pub(crate) merchant_id: MerchantId,
    pub(crate) user_id: UserId,
}

impl UserKey {
    /// Its name in the ledger.
    pub(crate) fn owner(&self) -> Owner {
        Owner::User { merchant_id: self.merchant_id.clone(), user_id: self.user_id.clone() }
    }

    /// Its account in a currency, opened or not.
    pub(crate) fn account(&self, currency: Currency) -> Account {
        Account { owner: self.owner(), currency }
    }
}

/// A user.
pub(crate) struct User {
    /// A PHC string.
    pub(crate) password_hash: String,
    pub(crate) created_at: OffsetDateTime,
    /// Until when no password is looked at, if too many were tried.
    pub(crate) locked_until: Option<OffsetDateTime>,
}

const INSERT: &str = "
    INSERT INTO pay.users (merchant_id, user_id, password_hash, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (merchant_id, user_id) DO NOTHING";

/// Makes a user; false if there is one, which stays as it is.
pub(crate) async fn insert(
    client: &Client,
    user: &UserKey,
    password_hash: &str,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let statement = client.prepare_cached(INSERT).await?;
    let key = (user.merchant_id.as_str(), user.user_id.as_str());
    Ok(client.execute(&statement, &[&key.0, &key.1, &password_hash, &now]).await? == 1)
}

const FIND: &str = "
    SELECT password_hash, created_at, CASE WHEN attempts >= $3 THEN attempts_since END AS locked_since
    FROM pay.users WHERE merchant_id = $1 AND user_id = $2";

/// The user as it stands at `now`.
pub(crate) async fn find(
    client: &Client,
    user: &UserKey,
    now: OffsetDateTime,
) -> Result<Option<User>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    let key = (user.merchant_id.as_str(), user.user_id.as_str());
    let Some(row) = client.query_opt(&statement, &[&key.0, &key.1, &MAX_ATTEMPTS]).await? else {
        return Ok(None);
    };
    let locked_since: Option<OffsetDateTime> = row.try_get("locked_since")?;
    Ok(Some(User {
        password_hash: row.try_get("password_hash")?,
        created_at: row.try_get("created_at")?,
        locked_until: locked_since.map(|since| since + WINDOW).filter(|until| *until > now),
    }))
}

const COUNT_ATTEMPT: &str = "
    UPDATE pay.users
    SET attempts = CASE WHEN attempts_since > $4 THEN attempts + 1 ELSE 1 END,
        attempts_since = CASE WHEN attempts_since > $4 THEN attempts_since ELSE $3 END
    WHERE merchant_id = $1 AND user_id = $2 AND (attempts < $5 OR attempts_since <= $4)";

/// Counts that a password is going to be looked at; false if it must not be, for too many were. Counted before, for whoever
/// tries many at once would otherwise try them all.
pub(crate) async fn count_attempt(
    client: &Client,
    user: &UserKey,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let statement = client.prepare_cached(COUNT_ATTEMPT).await?;
    let key = (user.merchant_id.as_str(), user.user_id.as_str());
    let counted = client.execute(&statement, &[&key.0, &key.1, &now, &(now - WINDOW), &MAX_ATTEMPTS]).await?;
    Ok(counted == 1)
}

const FORGET_ATTEMPTS: &str = "
    UPDATE pay.users SET attempts = 0, attempts_since = NULL WHERE merchant_id = $1 AND user_id = $2 AND attempts > 0";

/// Forgets what was counted, for the password was right.
pub(crate) async fn forget_attempts(client: &Client, user: &UserKey) -> Result<(), Error> {
    let statement = client.prepare_cached(FORGET_ATTEMPTS).await?;
    client.execute(&statement, &[&user.merchant_id.as_str(), &user.user_id.as_str()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
