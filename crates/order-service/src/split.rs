//! The split of a paid order by shop and warehouse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::item::{Item, total};
use crate::label::Label;

/// The part of a paid order that one shop sends from one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubOrder {
    /// From 1, in the order of shop and warehouse.
    pub seq: i32,
    /// Who sells.
    pub shop_id: Label,
    /// Where it is sent from.
    pub warehouse_id: Label,
    /// The sum of its items in minor units; all sub-orders add up to the order.
    pub amount_minor: i64,
    /// Its lines, in the order's own sequence.
    pub items: Vec<Item>,
}

/// Splits the items of an order. `None` if their sum exceeds an `i64`, which no order that was accepted does.
pub fn split(items: &[Item]) -> Option<Vec<SubOrder>> {
    let mut parts: BTreeMap<(Label, Label), Vec<Item>> = BTreeMap::new();
    for item in items {
        parts.entry((item.shop_id.clone(), item.warehouse_id.clone())).or_default().push(item.clone());
    }
    let numbered = (1..).zip(parts);
    numbered
        .map(|(seq, ((shop_id, warehouse_id), items))| {
            let amount_minor = total(&items)?;
            Some(SubOrder { seq, shop_id, warehouse_id, amount_minor, items })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn item()(sku in 0..9_u8, quantity in 1..1_000_i64, price_minor in 0..1_000_000_i64, shop in 0..3_u8, warehouse in 0..3_u8) -> Item {
            let label = |number: u8| number.to_string().parse().unwrap();
            Item { sku: label(sku), quantity, price_minor, shop_id: label(shop), warehouse_id: label(warehouse) }
        }
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_order_and_keep_every_line(items in prop::collection::vec(item(), 1..50)) {
            let parts = split(&items).unwrap();
            let sum: i64 = parts.iter().map(|part| part.amount_minor).sum();
            prop_assert_eq!(Some(sum), total(&items));
            prop_assert_eq!(parts.iter().map(|part| part.items.len()).sum::<usize>(), items.len());
            for (seq, part) in (1..).zip(&parts) {
                prop_assert_eq!(part.seq, seq);
                let own: Vec<_> = items.iter().filter(|item| item.shop_id == part.shop_id && item.warehouse_id == part.warehouse_id).cloned().collect();
                prop_assert_eq!(&part.items, &own);
            }
        }
    }

    #[test]
    fn a_sum_beyond_an_i64_is_none() {
        let one = || "1".parse().unwrap();
        let item = |quantity, price_minor| Item {
            sku: one(),
            quantity,
            price_minor,
            shop_id: one(),
            warehouse_id: one(),
        };
        assert_eq!(total(&[item(2, i64::MAX)]), None);
        assert_eq!(total(&[item(1, i64::MAX), item(1, 1)]), None);
        assert_eq!(total(&[item(1, i64::MAX), item(1, 0)]), Some(i64::MAX));
    }
}
