//! Makes the pages of `docs/` that say what is in the code: commands, variables and metrics. The tests hold the pages to it.

mod cli;
mod configuration;
mod metrics;

use std::env;
use std::fs;
use std::path::Path;

/// Writes the pages anew instead of comparing them.
const WRITE: &str = "PAYRELAY_TEST_WRITE_GENERATED";
/// Characters of a line of prose.
const WIDTH: usize = 100;

/// Holds a page of `docs/` to `content`, which is everything below the note at its head.
fn hold(page: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let expected = format!(
        "<!-- Generated from the code by `cargo xtask generate`: do not edit. -->\n\n{}\n",
        content.trim()
    );
    if env::var_os(WRITE).is_some() {
        fs::write(&path, &expected).expect("the page can be written");
    }
    let current = fs::read_to_string(&path).unwrap_or_default();
    assert!(current == expected, "docs/{page} is not what the code says: run `cargo xtask generate`");
}

/// A text with a full stop, which clap takes off the end of help.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let is_closed = text.is_empty() || text.ends_with(['.', '!', '?', ':']);
    if is_closed { text.to_owned() } else { format!("{text}.") }
}

/// A text in lines of [`WIDTH`] characters at most.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// Adds a part under a heading of its own.
fn add_part(page: &mut String, heading: &str, body: &str) {
    for text in ["\n## ", heading, "\n\n", body] {
        page.push_str(text);
    }
}

/// A text as it stands in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A table of Markdown with these columns.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = line(header.map(str::to_owned).to_vec());
    let rule = format!("|{}\n", "---|".repeat(N));
    let body: String = rows.into_iter().map(|row| line(row.map(|text| cell(&text)).to_vec())).collect();
    format!("{head}{rule}{body}")
}

#[test]
fn tables_and_lines_are_markdown() {
    let text = table(["a", "b"], [["`x|y`".to_owned(), "one\n  two".to_owned()]]);
    assert_eq!(text, "| a | b |\n|---|---|\n| `x\\|y` | one two |\n");
    assert_eq!(["One", "Two.", ""].map(sentence), ["One.", "Two.", ""]);
    assert_eq!(wrapped("one\n two  three"), "one two three");
    let long = wrapped(&vec!["word"; 50].join(" "));
    assert!(long.lines().count() == 3 && long.lines().all(|line| line.len() <= WIDTH), "{long}");
}
