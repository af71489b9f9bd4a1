//! Movements of money. What does not balance cannot be made.

use std::collections::BTreeSet;
use std::{fmt, str::FromStr};

use events::{Currency, Money, PayOrderNo};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{Account, Owner};

/// One movement of money, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// What it is known by: posted once, whatever is repeated.
    pub trans_no: String,
    /// Why money moves.
    pub kind: FlowKind,
    /// The pay order that it belongs to.
    pub pay_order_no: PayOrderNo,
    /// When, to the microsecond.
    pub occurred_at: OffsetDateTime,
    /// From whom to whom.
    pub entries: Entries,
}

/// Why money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowKind {
    /// A user pays a merchant from its balance.
    BalancePayment,
    /// A channel has taken money for a user's balance.
    Recharge,
    /// A channel has given back money of a recharge.
    RechargeRefund,
}

/// What changes in one account: the amount is in minor units, and not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose account.
    pub owner: Owner,
    /// Above zero more is owed to the owner afterwards, below zero less.
    pub amount_minor: i64,
}

/// Entries of one currency that sum to zero, each owner at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    currency: Currency,
    entries: Vec<Entry>,
}

/// Why entries are no movement of money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidFlow {
    /// Money comes from somebody and goes to somebody.
    #[error("flow: expected two entries or more, got {0}")]
    TooFew(usize),
    /// An entry of nothing.
    #[error("flow: expected an amount other than 0 for {0}")]
    Nothing(Owner),
    /// Two entries of one account.
    #[error("flow: expected one entry for {0}, got several")]
    Twice(Owner),
    /// Money would come from nowhere, or vanish.
    #[error("flow: expected entries that sum to 0, got {0}")]
    Unbalanced(i128),
    /// A transfer of nothing, or backwards.
    #[error("flow: expected more than 0 to transfer, got {0}")]
    NotPositive(i64),
}

/// A text that names no kind of flow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("kind: expected balance_payment, recharge or recharge_refund, got {0:?}")]
pub struct UnknownKind(pub String);

impl Entries {
    /// Takes entries that are a movement of money.
    pub fn new(currency: Currency, entries: Vec<Entry>) -> Result<Self, InvalidFlow> {
        if entries.len() < 2 {
            return Err(InvalidFlow::TooFew(entries.len()));
        }
        let mut owners = BTreeSet::new();
        for entry in &entries {
            if entry.amount_minor == 0 {
                return Err(InvalidFlow::Nothing(entry.owner.clone()));
            }
            if !owners.insert(&entry.owner) {
                return Err(InvalidFlow::Twice(entry.owner.clone()));
            }
        }
        match entries.iter().map(|entry| i128::from(entry.amount_minor)).sum() {
            0 => Ok(Self { currency, entries }),
            sum => Err(InvalidFlow::Unbalanced(sum)),
        }
    }

    /// All of `amount` from one owner to another.
    pub fn transfer(amount: Money, from: Owner, to: Owner) -> Result<Self, InvalidFlow> {
        let Money { amount_minor, currency } = amount;
        if amount_minor <= 0 {
            return Err(InvalidFlow::NotPositive(amount_minor));
        }
        let (from, to) =
            (Entry { owner: from, amount_minor: -amount_minor }, Entry { owner: to, amount_minor });
        Self::new(currency, vec![from, to])
    }

    /// The currency of all of them.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// The entries, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// What is added to each account, below zero taken from it.
    pub fn amounts(&self) -> impl Iterator<Item = (Account, i64)> {
        let account = |owner: &Owner| Account { owner: owner.clone(), currency: self.currency };
        self.entries.iter().map(move |entry| (account(&entry.owner), entry.amount_minor))
    }
}

impl FlowKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::BalancePayment, Self::Recharge, Self::RechargeRefund];

    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BalancePayment => "balance_payment",
            Self::Recharge => "recharge",
            Self::RechargeRefund => "recharge_refund",
        }
    }
}

impl fmt::Display for FlowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FlowKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use events::MerchantId;
    use proptest::prelude::*;

    use super::*;

    fn currency() -> Currency {
        Currency::parse("CNY").unwrap()
    }

    fn owner(name: &str) -> Owner {
        Owner::Merchant(MerchantId::parse(name).unwrap())
    }

    fn entry(name: &str, amount_minor: i64) -> Entry {
        Entry { owner: owner(name), amount_minor }
    }

    #[test]
    fn only_what_balances_is_a_flow() {
        let new = |entries: &[Entry]| Entries::new(currency(), entries.to_vec()).map(|_| ());
        assert_eq!(new(&[entry("a", -3), entry("b", 2), entry("c", 1)]), Ok(()));
        assert_eq!(new(&[]), Err(InvalidFlow::TooFew(0)));
        assert_eq!(new(&[entry("a", 0), entry("b", 0)]), Err(InvalidFlow::Nothing(owner("a"))));
        assert_eq!(new(&[entry("a", 1), entry("a", -1)]), Err(InvalidFlow::Twice(owner("a"))));
        assert_eq!(new(&[entry("a", 1), entry("b", -2)]), Err(InvalidFlow::Unbalanced(-1)));
        let wraps = [entry("a", i64::MAX), entry("b", i64::MAX), entry("c", 2)];
        assert_eq!(new(&wraps), Err(InvalidFlow::Unbalanced(1 << 64)));
        for amount_minor in [0, -1, i64::MIN] {
            let transfer = Entries::transfer(Money::new(amount_minor, currency()), owner("a"), owner("b"));
            assert_eq!(transfer, Err(InvalidFlow::NotPositive(amount_minor)));
        }
    }

    #[test]
    fn every_kind_is_read_back_from_its_name() {
        for kind in FlowKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("gift".parse::<FlowKind>().is_err());
    }

    proptest! {
        #[test]
        fn a_transfer_always_balances(amount_minor in 1..=i64::MAX) {
            let made = Entries::transfer(Money::new(amount_minor, currency()), owner("a"), owner("b")).unwrap();
            prop_assert_eq!(made.iter().map(|entry| entry.amount_minor).collect::<Vec<_>>(), [-amount_minor, amount_minor]);
        }
    }
}
