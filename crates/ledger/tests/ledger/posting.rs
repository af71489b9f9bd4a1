//! What flows do to accounts, alone and at once.

use std::sync::Arc;

use events::{Currency, Money};
use ledger::{Account, Balance, Entries, Entry, FlowKind, InvalidFlow, Owner, PostError, Posted};

use crate::{Books, Failure, channel, cny, flow, merchant, merchant_id, payment, recharge, user};

#[tokio::test]
async fn money_moves_and_every_account_tells_how() {
    let books = Books::open(&["u1"]).await;
    let flows = [recharge("T1", "u1", 1000), payment("P1", "u1", 300), payment("P2", "u1", 200)];
    assert_eq!(books.post(&flows).await.unwrap(), [Posted::New; 3]);
    assert_eq!(books.balance(user("u1")).await, Some(500));
    assert_eq!(books.balance(merchant()).await, Some(500));
    assert_eq!(books.balance(channel()).await, Some(-1000));
    assert_eq!(books.balance(Owner::Shortfall(merchant_id())).await, None);

    let client = books.client().await;
    let flows = ledger::flows(&client, &cny(user("u1")), None, 10).await.unwrap();
    let told: Vec<_> = flows
        .iter()
        .map(|flow| (flow.trans_no.as_str(), flow.kind, flow.amount_minor, flow.balance_minor))
        .collect();
    assert_eq!(
        told,
        [
            ("P2", FlowKind::BalancePayment, -200, Some(500)),
            ("P1", FlowKind::BalancePayment, -300, Some(700)),
            ("T1", FlowKind::Recharge, 1000, Some(1000)),
        ]
    );
    let older = ledger::flows(&client, &cny(user("u1")), Some(flows[0].flow_id), 1).await.unwrap();
    assert_eq!(older, flows[1..2]);
    let of_channel = ledger::flows(&client, &cny(channel()), None, 10).await.unwrap();
    assert_eq!((of_channel.len(), of_channel[0].amount_minor, of_channel[0].balance_minor), (1, -1000, None));
}

#[tokio::test]
async fn a_flow_has_moved_the_money_of_its_own_accounts_and_of_no_other() {
    let books = Books::open(&["u1", "u2"]).await;
    books.post(&[recharge("T1", "u1", 1000), payment("P1", "u1", 300)]).await.unwrap();
    let client = books.client().await;
    let moved = async |trans_no: &str, account| ledger::moved(&client, trans_no, &account).await.unwrap();
    assert_eq!(moved("T1", cny(user("u1"))).await, Some(1000));
    assert_eq!(moved("P1", cny(user("u1"))).await, Some(-300));
    assert_eq!(moved("P1", cny(merchant())).await, Some(300));
    assert_eq!(moved("P1", cny(user("u2"))).await, None, "another user's");
    assert_eq!(moved("P2", cny(user("u1"))).await, None, "no flow");
    let dollars = Account { owner: user("u1"), currency: Currency::parse("USD").unwrap() };
    assert_eq!(moved("P1", dollars).await, None, "another currency");
}

#[tokio::test]
async fn what_is_repeated_is_known_and_what_is_other_is_refused() {
    let books = Books::open(&["u1", "u2"]).await;
    let first = recharge("T1", "u1", 1000);
    assert_eq!(books.post(&[first.clone(), first.clone()]).await.unwrap(), [Posted::New, Posted::Known]);
    // The whole balance is spent: what is known is not judged by what is there now.
    assert_eq!(books.post(&[payment("P1", "u1", 1000)]).await.unwrap(), [Posted::New]);
    let again = [first.clone(), payment("P1", "u1", 1000), recharge("T2", "u2", 1)];
    assert_eq!(books.post(&again).await.unwrap(), [Posted::Known, Posted::Known, Posted::New]);

    let mut of_another = first.clone();
    of_another.pay_order_no = payment("P9", "u1", 1).pay_order_no;
    let mut of_another_kind = first.clone();
    of_another_kind.kind = FlowKind::RechargeRefund;
    for other in [recharge("T1", "u1", 999), recharge("T1", "u2", 1000), of_another, of_another_kind] {
        let refused = books.post(&[recharge("T3", "u1", 5), other]).await.unwrap_err();
        assert!(matches!(&refused, Failure::Post(PostError::TransNoTaken(no)) if no == "T1"), "{refused}");
    }
    assert_eq!((books.balance(user("u1")).await, books.balance(user("u2")).await), (Some(0), Some(1)));
    assert_eq!((books.count("ledger.flows").await, books.count("ledger.entries").await), (3, 6));
}

#[tokio::test]
async fn an_account_gives_no_more_than_it_holds_and_must_be_there() {
    let books = Books::open(&["u1"]).await;
    books.post(&[recharge("T1", "u1", 1000)]).await.unwrap();
    let refused = books.post(&[payment("P1", "u1", 600), payment("P2", "u1", 600)]).await.unwrap_err();
    let Failure::Post(PostError::Insufficient { owner, balance_minor, needed_minor }) = &refused else {
        panic!("{refused}")
    };
    assert_eq!((owner, *balance_minor, *needed_minor), (&user("u1"), 400, 600));
    let refused = books.post(&[recharge("T2", "nobody", 1)]).await.unwrap_err();
    assert_eq!(refused.to_string(), "user/m1/nobody CNY: there is no such account");
    let refused = books.post(&[recharge("T3", "u1", i64::MAX)]).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::Post(PostError::Overflow(owner)) if *owner == user("u1")),
        "{refused}"
    );
    assert_eq!((books.balance(user("u1")).await, books.count("ledger.flows").await), (Some(1000), 1));
}

#[tokio::test]
async fn an_owner_has_an_account_in_each_currency_and_opening_it_again_changes_nothing() {
    let books = Books::open(&["u1"]).await;
    let usd = Account { owner: user("u1"), currency: Currency::parse("USD").unwrap() };
    let refused = books.post(&[dollars(5)]).await.unwrap_err();
    assert!(matches!(&refused, Failure::Post(PostError::NoAccount(account)) if *account == usd), "{refused}");
    assert!(books.open_account(&usd).await);
    books.post(&[dollars(5), recharge("T1", "u1", 7)]).await.unwrap();
    assert!(!books.open_account(&usd).await);
    let held = ledger::balances(&books.client().await, &user("u1")).await.unwrap();
    let held: Vec<_> = held
        .iter()
        .map(|Balance { currency, balance_minor, .. }| (currency.code(), *balance_minor))
        .collect();
    assert_eq!(held, [("CNY", 7), ("USD", 5)]);
}

fn dollars(amount_minor: i64) -> ledger::Flow {
    let amount = Money::new(amount_minor, Currency::parse("USD").unwrap());
    flow("T-USD", FlowKind::Recharge, Entries::transfer(amount, channel(), user("u1")).unwrap())
}

#[tokio::test]
async fn a_flow_may_have_more_than_two_sides() {
    let books = Books::open(&["u1"]).await;
    books.post(&[recharge("T1", "u1", 300)]).await.unwrap();
    let entry = |owner, amount_minor| Entry { owner, amount_minor };
    let shortfall = Owner::Shortfall(merchant_id());
    let sides = vec![entry(user("u1"), -300), entry(shortfall.clone(), -700), entry(channel(), 1000)];
    let refund = Entries::new(crate::currency(), sides).unwrap();
    books.post(&[flow("R1", FlowKind::RechargeRefund, refund)]).await.unwrap();
    assert_eq!((books.balance(user("u1")).await, books.balance(shortfall).await), (Some(0), Some(-700)));
    assert_eq!(books.balance(channel()).await, Some(700));
    let uneven = Entries::new(crate::currency(), vec![entry(user("u1"), -300), entry(channel(), 200)]);
    assert_eq!(uneven, Err(InvalidFlow::Unbalanced(-100)));
}

#[tokio::test]
async fn concurrent_debits_never_overdraw() {
    let books = Arc::new(Books::open(&["u1", "u2"]).await);
    books.post(&[recharge("T1", "u1", 1000), recharge("T2", "u2", 1000)]).await.unwrap();
    // Fifty at once, each of both users, in opposite orders: 20 fit.
    let posts = (0..50).map(|n| {
        let books = Arc::clone(&books);
        tokio::spawn(async move {
            let mut flows = [payment(&format!("A{n}"), "u1", 50), payment(&format!("B{n}"), "u2", 50)];
            if n % 2 == 0 {
                flows.reverse();
            }
            books.post(&flows).await
        })
    });
    let mut paid = 0;
    for post in posts.collect::<Vec<_>>() {
        match post.await.unwrap() {
            Ok(_) => paid += 1,
            Err(Failure::Post(PostError::Insufficient { balance_minor: 0, needed_minor: 50, .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(paid, 20);
    assert_eq!((books.balance(user("u1")).await, books.balance(user("u2")).await), (Some(0), Some(0)));
    assert_eq!(books.balance(merchant()).await, Some(2000));
}

#[tokio::test]
async fn one_trans_no_posted_by_many_at_once_moves_money_once() {
    let books = Arc::new(Books::open(&["u1", "u2"]).await);
    let same = (0..20).map(|_| {
        let books = Arc::clone(&books);
        tokio::spawn(async move { books.post(&[recharge("T1", "u1", 10)]).await.unwrap() })
    });
    let mut new = 0;
    for post in same.collect::<Vec<_>>() {
        new += post.await.unwrap().iter().filter(|posted| **posted == Posted::New).count();
    }
    assert_eq!(new, 1);
    // For two users, nothing but the trans_no makes one wait for the other.
    let other = ["u1", "u2"].map(|user_id| {
        let books = Arc::clone(&books);
        tokio::spawn(async move { books.post(&[recharge("T2", user_id, 10)]).await })
    });
    let mut refused = Vec::new();
    for post in other {
        refused.extend(post.await.unwrap().err());
    }
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    let by_the_database = |error: &PostError| match error {
        PostError::Database(error) => error.constraint() == Some("flows_trans_no"),
        _ => false,
    };
    assert!(
        matches!(refused, Failure::Post(error) if matches!(error, PostError::TransNoTaken(_)) || by_the_database(error)),
        "{refused}"
    );
    let all = books.balance(user("u1")).await.unwrap() + books.balance(user("u2")).await.unwrap();
    assert_eq!((all, books.count("ledger.flows").await), (20, 2));
}
