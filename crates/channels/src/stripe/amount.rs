//! Stripe's smallest units, where they are not those of ISO 4217.

use events::{Currency, Money};
use thiserror::Error;

/// An amount that cannot be turned into the minor units of its currency, or into Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum UnitError {
    #[error("expected an amount of {currency} that is not negative and ends in {zeros} zeros, got {amount}")]
    Inexact { currency: Currency, zeros: u32, amount: i64 },
    #[error("expected an amount of {currency} that fits 64 bits, got {amount}")]
    Overflow { currency: Currency, amount: i64 },
}

/// How many decimals Stripe's amounts of a currency have.
fn decimals(currency: Currency) -> u32 {
    match currency.code() {
        "MGA" => 0,
        "ISK" | "UGX" => 2,
        _ => currency.exponent().into(),
    }
}

/// How many zeros Stripe's amounts of a currency end in: fractions of krónur and shillings are not paid, nor thousandths of dinars.
fn zeros(currency: Currency) -> u32 {
    match currency.exponent() {
        3 => 1,
        exponent => decimals(currency).saturating_sub(exponent.into()),
    }
}

/// Turns an amount of Stripe's into money, exactly.
pub(super) fn to_money(amount: i64, currency: Currency) -> Result<Money, UnitError> {
    let zeros = zeros(currency);
    if amount < 0 || amount % 10_i64.pow(zeros) != 0 {
        return Err(UnitError::Inexact { currency, zeros, amount });
    }
    let (theirs, ours) = (decimals(currency), u32::from(currency.exponent()));
    let amount_minor = if theirs > ours {
        Some(amount / 10_i64.pow(theirs - ours))
    } else {
        amount.checked_mul(10_i64.pow(ours - theirs))
    };
    Ok(Money::new(amount_minor.ok_or(UnitError::Overflow { currency, amount })?, currency))
}

/// Turns money into an amount of Stripe's, exactly.
pub(super) fn from_money(money: Money) -> Result<i64, UnitError> {
    let Money { amount_minor, currency } = money;
    let (theirs, ours) = (decimals(currency), u32::from(currency.exponent()));
    let amount = if theirs > ours {
        amount_minor
            .checked_mul(10_i64.pow(theirs - ours))
            .ok_or(UnitError::Overflow { currency, amount: amount_minor })?
    } else {
        amount_minor / 10_i64.pow(ours - theirs)
    };
    if to_money(amount, currency)? == money {
        Ok(amount)
    } else {
        Err(UnitError::Inexact { currency, zeros: ours - theirs, amount: amount_minor })
    }
}

#[cfg(test)]
mod tests;
