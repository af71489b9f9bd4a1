//! Foreign text on its way into the database and onto screens.

/// At most `max_bytes` of `text`, cut between characters, control characters replaced by spaces: what is neither may break
/// a terminal or be refused by PostgreSQL.
pub(crate) fn printable(text: &str, max_bytes: usize) -> String {
    let fits = text.char_indices().take_while(|(start, character)| start + character.len_utf8() <= max_bytes);
    fits.map(|(_, character)| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_short_and_printable() {
        assert_eq!(printable("a\0b\nc\u{1b}[2J", 64), "a b c [2J");
        assert_eq!(printable("支付成功", 7), "支付");
        assert_eq!(printable("", 7), "");
    }
}
