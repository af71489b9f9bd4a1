//! Money: an amount in minor units of an ISO 4217 currency. Never a float.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::Whole;

/// An active ISO 4217 currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

/// An amount in minor units: 1999 CNY is 19.99 yuan, 500 JPY is 500 yen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount in minor units of the currency.
    #[serde(deserialize_with = "Whole::read")]
    pub amount_minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// A code that ISO 4217 does not list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("currency: expected an ISO 4217 code such as CNY, got {0:?}")]
pub struct UnknownCurrency(pub String);

/// A decimal text that is not an amount of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Anything but ASCII digits with at most one point between them.
    #[error("amount: expected ASCII digits with at most one decimal point between them, such as 19.99")]
    BadFormat,
    /// More decimals than the currency has.
    #[error("amount: {currency} has {exponent} decimals, got more")]
    TooManyDecimals {
        /// The currency.
        currency: Currency,
        /// How many decimals it has.
        exponent: u8,
    },
    /// More than an `i64` of minor units.
    #[error("amount: more than 9223372036854775807 minor units")]
    Overflow,
}

/// ISO 4217, table A.1: the active codes with two decimals, without funds, metals and testing codes.
const TWO_DECIMALS: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD",
    "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY",
    "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD",
    "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS",
    "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD",
    "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD",
    "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB",
    "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP", "STN", "SVC", "SYP",
    "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU", "UZS", "VED",
    "VES", "WST", "XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG", "ZWL",
];
/// ISO 4217: the codes without decimals.
const NO_DECIMALS: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// ISO 4217: the codes with three decimals.
const THREE_DECIMALS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// ISO 4217: the codes with four decimals.
const FOUR_DECIMALS: &[&str] = &["CLF", "UYW"];

/// The tables by the number of their decimals.
const TABLES: [(u8, &[&str]); 4] =
    [(2, TWO_DECIMALS), (0, NO_DECIMALS), (3, THREE_DECIMALS), (4, FOUR_DECIMALS)];

impl Currency {
    /// Every currency.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLES.iter().flat_map(|(_, codes)| codes.iter()).map(|code| Self(code))
    }

    /// Takes an upper-case ISO 4217 code.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        Self::all()
            .find(|known| known.0 == code)
            .ok_or_else(|| UnknownCurrency(code.chars().take(16).collect()))
    }

    /// The code, three upper-case letters.
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// How many decimals the currency has.
    pub fn exponent(self) -> u8 {
        TABLES.iter().find(|(_, codes)| codes.contains(&self.0)).map_or(2, |(exponent, _)| *exponent)
    }
}

impl Money {
    /// An amount of minor units.
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Reads decimal text exactly, by integers: `19.99` CNY is 1999. No sign, no exponent, no separators, no rounding.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(AmountError::BadFormat),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
            return Err(AmountError::BadFormat);
        }
        let exponent = currency.exponent();
        let missing = usize::from(exponent)
            .checked_sub(fraction.len())
            .ok_or(AmountError::TooManyDecimals { currency, exponent })?;
        let zeros = std::iter::repeat_n(b'0', missing);
        let amount_minor = whole
            .bytes()
            .chain(fraction.bytes())
            .chain(zeros)
            .try_fold(0_i64, |sum, byte| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')));
        Ok(Self { amount_minor: amount_minor.ok_or(AmountError::Overflow)?, currency })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        Self::parse(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The decimal form with the code, as in `19.99 CNY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.currency.exponent());
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.amount_minor.unsigned_abs(), width = exponent + 1);
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        let point = if exponent == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction} {}", self.currency)
    }
}

#[cfg(test)]
mod tests;
