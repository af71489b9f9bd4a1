//! Sentences, and the words in them.

/// Words whose full stop ends no sentence, in small letters.
const ABBREVIATIONS: [&str; 5] = ["e.g.", "i.e.", "cf.", "vs.", "approx."];
/// Their full stop ends a sentence only before a capital letter.
const ENDING_ABBREVIATIONS: [&str; 2] = ["etc.", "al."];
/// What may follow a full stop within its sentence.
const CLOSING: [char; 8] = ['"', '\'', '”', '’', ')', ']', '*', '_'];
/// Full stops of Chinese, after which no blank stands.
const WIDE_STOPS: [char; 4] = ['。', '！', '？', '；'];

/// The sentences of a text in one line, and where each begins. Code stands in backticks; its stops end nothing.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut sentences = Vec::new();
    let mut from = 0;
    let mut is_code = false;
    for (at, char) in text.char_indices() {
        is_code ^= char == '`';
        if is_code {
            continue;
        }
        let after = &text[at + char.len_utf8()..];
        let is_end = match char {
            '.' => ends(&text[from..=at], after),
            '!' | '?' => is_followed_by_blank(after),
            _ => WIDE_STOPS.contains(&char),
        };
        if is_end {
            let end = text.len() - after.trim_start_matches(CLOSING).len();
            sentences.push((from, &text[from..end]));
            from = end;
        }
    }
    sentences.push((from, &text[from..]));
    let trimmed = sentences.into_iter().map(|(from, sentence)| {
        let begun = sentence.trim_start();
        (from + sentence.len() - begun.len(), begun.trim_end())
    });
    trimmed.filter(|(_, sentence)| !sentence.is_empty()).collect()
}

/// Whether the full stop that closes `text` ends a sentence.
fn ends(text: &str, after: &str) -> bool {
    if !is_followed_by_blank(after) {
        return false;
    }
    let last = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_start_matches(['(', '[', '"', '“', '*', '_']).to_lowercase();
    if ENDING_ABBREVIATIONS.contains(&last.as_str()) {
        return !after.trim_start_matches(CLOSING).trim_start().starts_with(char::is_lowercase);
    }
    !ABBREVIATIONS.contains(&last.as_str())
}

fn is_followed_by_blank(after: &str) -> bool {
    after.trim_start_matches(CLOSING).chars().next().is_none_or(char::is_whitespace)
}

/// Counts the words. What stands in backticks is one word, and so is every two characters of Chinese.
pub(super) fn count_words(sentence: &str) -> usize {
    let mut words = 0;
    for (index, part) in sentence.split('`').enumerate() {
        if index % 2 == 1 {
            words += 1;
            continue;
        }
        let (wide, narrow): (Vec<char>, Vec<char>) = part.chars().partition(|char| is_wide(*char));
        words += wide.len().div_ceil(2);
        let narrow: String = narrow.into_iter().collect();
        words += narrow.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
    }
    words
}

/// Whether a character is one of Chinese.
fn is_wide(char: char) -> bool {
    matches!(char, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}
