//! What a terminal can show: how wide it is, and which characters are safe.

use std::env;
use std::fmt::Write;
use std::io::{self, IsTerminal};

/// The columns that a table may take; `None` where nobody wraps: a pipe or a file.
pub(crate) fn width() -> Option<usize> {
    /// For a terminal that doesn't tell.
    const UNTOLD: usize = 100;

    if let Some(columns) = env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
    {
        return Some(columns).filter(|&columns| columns > 0);
    }
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let told = terminal_size::terminal_size_of(stdout)
        .map(|(terminal_size::Width(columns), _)| usize::from(columns));
    Some(told.filter(|&columns| columns > 0).unwrap_or(UNTOLD))
}

/// Columns and rows of the terminal that standard output is.
pub(crate) fn size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let (terminal_size::Width(columns), terminal_size::Height(rows)) =
        terminal_size::terminal_size_of(stdout)?;
    Some((columns.into(), rows.into())).filter(|&(columns, rows)| columns > 0 && rows > 0)
}

/// Whether standard output shows colours, and nobody has said that they are not wanted (no-color.org).
pub(crate) fn has_colours() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `text` with every character escaped that would move the cursor, start an escape sequence or
/// change the order of what follows: names and messages come from the network.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_format(character) {
            // Writing to a `String` can't fail.
            write!(safe, "{}", character.escape_default()).unwrap_or_default();
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Zero-width, line- and paragraph-separating, and bidirectional controls (UAX #9 §2).
fn is_format(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(
            printable("web\x1b[2J\r\n\t\u{9b}31m"),
            "web\\u{1b}[2J\\r\\n\\t\\u{9b}31m"
        );
    }

    #[test]
    fn text_that_turns_round_is_shown_in_its_order() {
        assert_eq!(printable("permit\u{202e}yned"), "permit\\u{202e}yned");
    }

    #[test]
    fn letters_of_any_script_stay() {
        assert_eq!(printable("büro-出口"), "büro-出口");
    }
}
