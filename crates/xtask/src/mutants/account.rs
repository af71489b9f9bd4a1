//! What came of the mutants, beside what is known.

use std::collections::BTreeMap;

use super::survivors::Survivors;

/// What came of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A test failed, or did not end.
    Caught,
    /// It does not compile.
    Unviable,
    /// Every test passed.
    Survived,
}

/// The mutants of one key.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// How many there are, in all shards.
    all: usize,
    tested: usize,
    survived: usize,
}

/// The mutants that were tested so far.
#[derive(Debug, Default)]
pub(super) struct Account {
    keys: BTreeMap<String, Tally>,
    caught: usize,
    unviable: usize,
}

/// What a run has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) caught: usize,
    pub(super) unviable: usize,
    /// How many survived and may.
    pub(super) known: usize,
    /// The keys of those that survived and may not, once for each mutant.
    pub(super) new: Vec<String>,
    /// The keys that are listed as survivors, and no longer are.
    pub(super) stale: Vec<String>,
}

impl Account {
    /// Counts a mutant that there is, whether or not this shard tests it.
    pub(super) fn there_is(&mut self, key: &str) {
        self.keys.entry(key.to_owned()).or_default().all += 1;
    }

    pub(super) fn add(&mut self, key: &str, fate: Fate) {
        let tally = self.keys.entry(key.to_owned()).or_default();
        tally.tested += 1;
        match fate {
            Fate::Caught => self.caught += 1,
            Fate::Unviable => self.unviable += 1,
            Fate::Survived => tally.survived += 1,
        }
    }

    /// Of what another shard tests, nothing is said. Where the parts are `complete`, a survivor is stale, too, if there is no such
    /// mutant.
    pub(super) fn close(self, survivors: &Survivors, complete: bool) -> Report {
        let mut report = Report { caught: self.caught, unviable: self.unviable, ..Report::default() };
        let gone = survivors.0.keys().filter(|key| complete && !self.keys.contains_key(*key));
        report.stale.extend(gone.cloned());
        for (key, tally) in self.keys {
            let listed = survivors.0.get(&key).copied().unwrap_or_default();
            let known = tally.survived.min(listed);
            report.known += known;
            report.new.extend(vec![key.clone(); tally.survived - known]);
            if tally.tested == tally.all && tally.survived < listed {
                report.stale.push(key);
            }
        }
        report
    }
}

impl Report {
    pub(super) fn tested(&self) -> usize {
        self.caught + self.unviable + self.known + self.new.len()
    }

    /// Whether nothing survived that may not. What is stale is told, and breaks nothing.
    pub(super) fn is_good(&self) -> bool {
        self.new.is_empty()
    }
}
