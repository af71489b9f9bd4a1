//! `crates/messaging/asyncapi.yaml`: tools load it, and it describes the events that are sent.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use uuid::Uuid;

use events::codec::encode_json;
use events::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status,
};
use time::macros::datetime;

use super::{assert_lints, file, node};
use crate::architecture::workspace::{read, root};

const DOCUMENT: &str = "crates/messaging/asyncapi.yaml";
const PROTO: &str = "proto/pay/v1/pay_event.proto";

#[test]
fn redocly_finds_nothing_in_the_asyncapi_document() {
    assert_lints(DOCUMENT);
}

#[test]
fn the_official_parser_loads_the_document_and_events_fit_it() {
    let Some(node) = node() else { return };
    let mut command = node.script(&file("asyncapi.js"));
    command.arg(root().join(DOCUMENT)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("node");
    let lines = events().iter().fold(String::new(), |mut lines, event| {
        let _ = writeln!(lines, "{}", encode_json(event).expect("JSON"));
        lines
    });
    // Closes the pipe when it is dropped.
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_document_holds_the_protobuf_word_for_word() {
    let (document, proto) = (read(DOCUMENT), read(PROTO));
    let block = document.split_once("      x-protobuf: |\n").expect("x-protobuf").1;
    let held: String = block
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("        "))
        .flat_map(|line| [line.get(8..).unwrap_or_default(), "\n"])
        .collect();
    assert_eq!(held, proto, "{DOCUMENT} holds another text than {PROTO}");
}

#[test]
fn the_payload_names_every_field_of_the_protobuf() {
    let (document, proto) = (read(DOCUMENT), read(PROTO));
    let schema =
        document.split_once("\n    payEvent:\n      type: object\n      required:").expect("a payload").1;
    let properties = schema.split_once("      properties:\n").expect("properties").1;
    let described: Vec<_> = properties
        .lines()
        .take_while(|line| line.starts_with("      "))
        .filter_map(|line| line.strip_prefix("        ")?.split_once(':'))
        .filter(|(name, _)| !name.starts_with(' '))
        .map(|(name, _)| name.to_owned())
        .collect();
    let message = proto.split_once("message PayEvent {").expect("the message").1;
    let fields: Vec<_> = message
        .lines()
        .filter_map(|line| line.split_once(" = ")?.0.rsplit(' ').next().map(json_name))
        .collect();
    assert_eq!(described, fields);
}

/// As proto3 JSON names a field.
fn json_name(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// One of each type, with and without what may be left out.
fn events() -> Vec<PayEvent> {
    let paid_at = datetime!(2026-01-01 00:00 UTC);
    let cases = [
        (EventType::Success, Status::TradeSuccess, 0),
        (EventType::Failed, Status::TradeFailed, 0),
        (EventType::Closed, Status::TradeClosed, 0),
        (EventType::Refunded, Status::PartiallyRefunded, 1),
        (EventType::Refunded, Status::TradeRefunded, i64::MAX),
    ];
    let event = |(event_type, status, refunded_minor): (EventType, Status, i64)| {
        let paid = status.is_paid();
        PayEvent {
            event_id: EventId(Uuid::now_v7()),
            event_type,
            occurred_at: paid_at + time::Duration::milliseconds(1500),
            order: PayOrder {
                pay_order_no: PayOrderNo::new(paid_at, [0xAB; 10]),
                merchant_id: MerchantId::parse("m1").expect("an id"),
                order_no: OrderNo::parse("a-_.:@1").expect("a number"),
                purpose: if paid { Purpose::Order } else { Purpose::External },
                amount: Money::new(i64::MAX, Currency::parse("CNY").expect("a currency")),
                channel: ChannelAccount::parse("balance").expect("an account"),
                status,
                version: 2,
                refunded_minor,
                channel_trade_no: paid.then(|| "T1".to_owned()),
                paid_at: paid.then_some(paid_at),
                subject: paid.then(|| "红茶 500g".to_owned()),
                notify_url: paid.then(|| "https://shop.example/hooks".to_owned()),
                attach: paid.then(|| "x=1".to_owned()),
            },
        }
    };
    cases.into_iter().map(event).collect()
}
