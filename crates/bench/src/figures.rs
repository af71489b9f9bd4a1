//! What was measured: named numbers, and what is made of several rounds of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::stats::median;

/// Numbers by name. A dot divides the name of a group from that of its member, as `cpu_s_per_10k.ingress`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Notes a number.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// The number of this name.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Takes the numbers of `other`, too.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The members of a group, by their own names.
    pub(crate) fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(name, value)| {
            let member = name.strip_prefix(group)?.strip_prefix('.')?;
            Some((member, *value))
        })
    }

    /// The quotient of two numbers, if both are there and the second is not 0.
    pub(crate) fn ratio(&self, of: &str, to: &str) -> Option<f64> {
        let to = self.get(to).filter(|to| *to != 0.0)?;
        Some(self.get(of)? / to)
    }

    /// Of each number the median over the rounds that hold it.
    pub(crate) fn medians(rounds: &[Self]) -> Self {
        let names: std::collections::BTreeSet<&String> =
            rounds.iter().flat_map(|round| round.0.keys()).collect();
        let median_of = |name: &str| {
            let values: Vec<f64> = rounds.iter().filter_map(|round| round.get(name)).collect();
            median(&values)
        };
        let medians = names.into_iter().filter_map(|name| Some((name.clone(), median_of(name)?)));
        Self(medians.collect())
    }

    /// One JSON object, groups as objects within it; numbers to four significant decimals.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in &self.0 {
            let value = json!((value * 10_000.0).round() / 10_000.0);
            match name.split_once('.') {
                None => object.insert(name.clone(), value),
                Some((group, member)) => {
                    let group = object.entry(group).or_insert_with(|| json!({}));
                    group.as_object_mut().and_then(|group| group.insert(member.to_owned(), value))
                }
            };
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures<const N: usize>(values: [(&str, f64); N]) -> Figures {
        let mut figures = Figures::default();
        for (name, value) in values {
            figures.set(name, value);
        }
        figures
    }

    #[test]
    fn rounds_become_medians_name_by_name() {
        let rounds =
            [figures([("a", 1.0), ("b", 8.0)]), figures([("a", 9.0)]), figures([("a", 2.0), ("b", 4.0)])];
        assert_eq!(Figures::medians(&rounds), figures([("a", 2.0), ("b", 6.0)]));
    }

    #[test]
    fn groups_become_objects() {
        let figures = figures([("a", 1.0), ("peak.x", 2.5), ("peak.y", 3.0)]);
        assert_eq!(Value::Object(figures.to_json()), json!({"a": 1.0, "peak": {"x": 2.5, "y": 3.0}}));
        assert_eq!(figures.group("peak").collect::<Vec<_>>(), [("x", 2.5), ("y", 3.0)]);
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        let figures = figures([("a", 6.0), ("b", 3.0), ("zero", 0.0)]);
        assert_eq!(figures.ratio("a", "b"), Some(2.0));
        assert_eq!(figures.ratio("a", "zero"), None);
        assert_eq!(figures.ratio("a", "missing"), None);
    }
}
