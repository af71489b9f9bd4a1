//! Whatever is posted, the books hold.

use std::collections::BTreeMap;

use ledger::{Flow, Posted};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{Books, Failure, merchant, payment, recharge, user};

const USERS: [&str; 3] = ["u1", "u2", "u3"];

/// A flow of one of a few users, with one of a few numbers: many are repeated, taken, or too much.
fn any_flow() -> impl Strategy<Value = Flow> {
    (0..USERS.len(), 1..100_i64, 0..40_u32, any::<bool>()).prop_map(|(user, amount, number, pays)| {
        let make = if pays { payment } else { recharge };
        make(&format!("T{number}"), USERS[user], amount)
    })
}

/// What the books should hold, kept the simplest way.
#[derive(Clone, Default)]
struct Model {
    flows: BTreeMap<String, Flow>,
    balances: BTreeMap<String, i64>,
}

impl Model {
    /// The model after these flows, if all can be posted.
    fn after(&self, flows: &[Flow]) -> Option<(Self, Vec<Posted>)> {
        let (mut next, mut posted) = (self.clone(), Vec::new());
        for flow in flows {
            if let Some(known) = next.flows.get(&flow.trans_no) {
                (known == flow).then_some(())?;
                posted.push(Posted::Known);
                continue;
            }
            for entry in flow.entries.iter() {
                let balance = next.balances.entry(entry.owner.to_string()).or_default();
                *balance += entry.amount_minor;
                (*balance >= 0 || !entry.owner.is_user()).then_some(())?;
            }
            next.flows.insert(flow.trans_no.clone(), flow.clone());
            posted.push(Posted::New);
        }
        Some((next, posted))
    }
}

#[test]
fn random_flows_keep_every_invariant() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let batches = prop::collection::vec(prop::collection::vec(any_flow(), 1..6), 1..30);
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let checked = runner.run(&batches, |batches| {
        runtime.block_on(check(&batches));
        Ok(())
    });
    checked.unwrap();
}

async fn check(batches: &[Vec<Flow>]) {
    let books = Books::open(&USERS).await;
    let mut model = Model::default();
    for batch in batches {
        match (books.post(batch).await, model.after(batch)) {
            (Ok(posted), Some((next, expected))) => {
                assert_eq!(posted, expected);
                model = next;
            }
            (Err(Failure::Post(_)), None) => {}
            (got, expected) => panic!("{got:?}, expected {:?}", expected.map(|(_, posted)| posted)),
        }
    }
    let held = |owner: &str| model.balances.get(owner).copied().unwrap_or_default();
    let client = books.client().await;
    for user_id in USERS {
        let balance = books.balance(user(user_id)).await.unwrap();
        assert_eq!(balance, held(&user(user_id).to_string()));
        let flows = ledger::flows(&client, &crate::cny(user(user_id)), None, 1000).await.unwrap();
        // Read backwards, every balance is that of the flow before and what was added.
        let mut expected = balance;
        for flow in &flows {
            assert_eq!(flow.balance_minor, Some(expected));
            expected -= flow.amount_minor;
        }
        assert_eq!(expected, 0);
    }
    assert_eq!(books.balance(merchant()).await.unwrap_or_default(), held("merchant/m1"));
    let trial = ledger::trial_balance(&client).await.unwrap();
    assert_eq!(trial.findings, []);
    assert_eq!(books.count("ledger.flows").await, i64::try_from(model.flows.len()).unwrap());
}
