//! Phrases that readers stumbled over. None may come back.

/// In small letters; enough of each to know it by.
const PHRASES: [&str; 33] = [
    "an order that wants to be paid",
    "what became of it",
    "lock the user until",
    "for the right one, too",
    "who comes to know of several",
    "its others wait, using up no attempt",
    "start more of it",
    "nothing else is to be told",
    "so it is when a consumer",
    "all that are given hold",
    "takes or refuses its api key",
    "are taken all the same",
    "so it does at its start",
    "is guessed at",
    "climb everybody's ladder",
    "told on as refunded",
    "give it to the buyer otherwise",
    "for to declare",
    "whoever works in batches",
    "worth its transaction",
    "no plan may depend on how long",
    "nobody waits in a circle",
    "is counted before it is looked at",
    "looks whether its own is gone",
    "of two of the same name",
    "whoever looks twice",
    "keep its order from getting another",
    "above that of consumers without any",
    "half the time of the careful one",
    "asks the catalog for its day",
    "not endlessly many",
    "of the ledger by itself",
    "resolved otherwise",
];

/// The phrases in a text, and where they stand.
pub(super) fn find(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    // Of the same length, so that places stay.
    let text = text.to_ascii_lowercase();
    PHRASES.into_iter().filter_map(move |phrase| Some((text.find(phrase)?, phrase)))
}
