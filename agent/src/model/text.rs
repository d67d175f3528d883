//! Text of a guest, a server or a file, made safe to show.

/// One line: no control characters, nothing that turns the direction of the text or cannot be seen.
pub fn one_line(text: &str) -> String {
    let hidden = |c: char| c.is_whitespace() || c.is_control() || turns(c) || is_invisible(c);
    let words = text.split(hidden).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// But for the two joiners (U+200C and U+200D), which some scripts cannot be written without.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts a text to at most `max` bytes, at a character's edge.
pub fn truncated(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_who_shows_it() {
        assert_eq!(one_line("a\r\n\tb \x1b[2Jc\u{9b}d\u{2028}e"), "a b [2Jc d e");
        assert_eq!(one_line("a\u{202e}gnp.exe \u{2066}x\u{200b}y\u{feff}"), "a gnp.exe x y");
        assert_eq!(one_line("\u{200f}\u{e0041}"), "");
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncated("aäb".into(), 2), "a…");
        assert_eq!(truncated("ab".into(), 2), "ab");
    }

    #[test]
    fn text_of_all_scripts_stays() {
        for text in ["grün – 你好", "می\u{200c}خواهم", "שלום", "👩\u{200d}🔧"] {
            assert_eq!(one_line(text), text);
        }
    }
}
