use super::*;

fn recharges(numbers: &[&str]) -> BTreeMap<PayOrderNo, PayOrder> {
    let mut orders = known(numbers);
    for order in orders.values_mut() {
        order.purpose = Purpose::Recharge;
    }
    orders
}

const REUSED: FactOutcome = FactOutcome::Contradiction(ContradictionReason::TradeReused);

#[test]
fn a_trade_pays_one_recharge_of_a_batch_and_any_number_of_orders() {
    let jobs = [stated("P1", PAID, "T1"), stated("P2", PAID, "T1"), stated("P1", PAID, "T1")];
    let folded = fold(recharges(&["P1", "P2"]), none(), &jobs);
    assert_eq!(folded.outcomes, [FactOutcome::Applied, REUSED, FactOutcome::Duplicate]);
    assert_eq!((folded.changed.len(), folded.events.len()), (1, 1));
    assert_eq!(folded.contradictions[0].reason, ContradictionReason::TradeReused);
    let folded = fold(known(&["P1", "P2"]), none(), &jobs);
    assert_eq!(folded.outcomes, [FactOutcome::Applied, FactOutcome::Applied, FactOutcome::Duplicate]);
}

#[test]
fn a_trade_that_has_paid_another_recharge_pays_nothing_and_the_right_one_still_does() {
    let trades = || Trades::from([("gateway_main/T1".to_owned(), PayOrderNo::parse("P9").unwrap())]);
    let jobs = [
        stated("P1", PAID, "T1"),
        // Before its success, the refund brings that along.
        stated("P1", refunded(TOTAL), "T1"),
        stated("P1", PAID, "T2"),
    ];
    let folded = fold(recharges(&["P1"]), (Counted::new(), trades()), &jobs);
    assert_eq!(folded.outcomes, [REUSED, REUSED, FactOutcome::Applied]);
    assert_eq!(folded.changed[0].channel_trade_no.as_deref(), Some("T2"));
    // Its own trade is no other's, stated again or not.
    let jobs = [stated("P9", PAID, "T1")];
    let folded = fold(recharges(&["P9"]), (Counted::new(), trades()), &jobs);
    assert_eq!(folded.outcomes, [FactOutcome::Applied]);
}
