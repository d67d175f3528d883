//! A pattern as operators write it: text, in which `*` stands for any text.
//!
//! No regular expression: an engine for them would be a third of a small plugin, and a line that says "I am here" or a
//! mount point is rarely worth one. Every text is a pattern, so nothing here can fail.

/// Whether the whole text is what the pattern says: `220 *` and `220 ready`, `/var/*` and `/var/lib/data`. A `*` stands
/// for any text, also for none.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut line) = (pattern.as_bytes(), text.as_bytes());
    // Behind the last star: the pattern, and where it was tried. An earlier star needs no second try, because a later
    // place for what follows it would only leave less for the rest.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        (pattern, line) = match (pattern, line) {
            ([], []) => return true,
            ([b'*', rest @ ..], line) => {
                star = Some((rest, line));
                (rest, line)
            }
            ([wanted, pattern @ ..], [byte, line @ ..]) if wanted == byte => (pattern, line),
            _ => match star {
                Some((rest, [_, later @ ..])) => {
                    star = Some((rest, later));
                    (rest, later)
                }
                _ => return false,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::wildcard_matches as matches;

    #[test]
    fn text_is_itself() {
        assert!(matches("+PONG", "+PONG"));
        assert!(!matches("+PONG", "+PONG!"));
        assert!(matches("", ""));
        assert!(!matches("", "x"));
    }

    #[test]
    fn a_star_is_any_text() {
        for pattern in ["220 *", "*ready", "*mail*", "2*m*l*y", "*", "**", "220 mail*ready*", "*220 mail ready*"] {
            assert!(matches(pattern, "220 mail ready"), "{pattern}");
        }
        for pattern in ["221*", "*steady", "*male*", "2*y*l*y", "*mail", "mail*", "220 mail ready*ready"] {
            assert!(!matches(pattern, "220 mail ready"), "{pattern}");
        }
    }

    #[test]
    fn nothing_is_used_twice() {
        assert!(!matches("aba*aba", "aba"));
        assert!(!matches("ab*ab", "aab"));
        assert!(matches("ab*ab", "abab"));
        assert!(!matches("*a*a*", "a"));
    }
}
