//! What is to be written for a batch of flows. Pure.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap};

use events::PayOrderNo;

use super::{PostError, Posted};
use crate::{Account, Flow, FlowKind};

/// What makes two flows of one `trans_no` the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    kind: FlowKind,
    pay_order_no: PayOrderNo,
    pub(super) amounts: BTreeMap<Account, i64>,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// One for each flow.
    pub(super) posted: Vec<Posted>,
    /// The flows that are new, and their entries.
    pub(super) new: Vec<&'a Flow>,
    pub(super) entries: Vec<PlannedEntry<'a>>,
    /// The balances of the users afterwards.
    pub(super) balances: BTreeMap<Account, i64>,
}

#[derive(Debug)]
pub(super) struct PlannedEntry<'a> {
    pub(super) trans_no: &'a str,
    pub(super) account: Account,
    pub(super) amount_minor: i64,
    /// Of a user, after this entry.
    pub(super) balance_minor: Option<i64>,
}

impl Content {
    pub(super) const fn new(kind: FlowKind, pay_order_no: PayOrderNo) -> Self {
        Self { kind, pay_order_no, amounts: BTreeMap::new() }
    }

    fn of(flow: &Flow) -> Self {
        Self { amounts: flow.entries.amounts().collect(), ..Self::new(flow.kind, flow.pay_order_no.clone()) }
    }
}

impl<'a> Plan<'a> {
    /// Posts `flows` in their order to accounts that hold `balances`; `known` is what was posted before, by `trans_no`.
    pub(super) fn make(
        flows: &'a [Flow],
        balances: BTreeMap<Account, i64>,
        mut known: HashMap<String, Content>,
    ) -> Result<Self, PostError> {
        let mut plan = Self { posted: Vec::new(), new: Vec::new(), entries: Vec::new(), balances };
        for flow in flows {
            let posted = match known.entry(flow.trans_no.clone()) {
                Place::Occupied(place) if *place.get() == Content::of(flow) => Posted::Known,
                Place::Occupied(place) => return Err(PostError::TransNoTaken(place.key().clone())),
                Place::Vacant(place) => {
                    place.insert(Content::of(flow));
                    plan.add(flow)?;
                    Posted::New
                }
            };
            plan.posted.push(posted);
        }
        Ok(plan)
    }

    fn add(&mut self, flow: &'a Flow) -> Result<(), PostError> {
        self.new.push(flow);
        for (account, amount_minor) in flow.entries.amounts() {
            let balance_minor =
                if account.owner.is_user() { Some(self.change(&account, amount_minor)?) } else { None };
            self.entries.push(PlannedEntry {
                trans_no: &flow.trans_no,
                account,
                amount_minor,
                balance_minor,
            });
        }
        Ok(())
    }

    /// The balance of a user's account after the change.
    fn change(&mut self, account: &Account, amount_minor: i64) -> Result<i64, PostError> {
        let Some(balance) = self.balances.get_mut(account) else {
            return Err(PostError::NoAccount(account.clone()));
        };
        let changed =
            balance.checked_add(amount_minor).ok_or_else(|| PostError::Overflow(account.owner.clone()))?;
        if changed < 0 {
            let (owner, balance_minor, needed_minor) =
                (account.owner.clone(), *balance, amount_minor.saturating_neg());
            return Err(PostError::Insufficient { owner, balance_minor, needed_minor });
        }
        *balance = changed;
        Ok(changed)
    }
}
