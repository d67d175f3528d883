//! The lines of `/proc/net/rpc/*`: a word, then numbers (`svc_seq_show` and `rpc_proc_show` in net/sunrpc/stats.c).
//!
//! `nfs` and `nfsd` show them. Kernels differ in which lines there are and how long: a line or a number that is not
//! there counts as nothing, and an odd line costs itself.

use super::collector::Oddities;

/// A line that is understood.
pub struct Wanted {
    pub word: &'static str,
    pub numbers: Numbers,
}

#[derive(Clone, Copy)]
pub enum Numbers {
    /// At least so many; what follows need not be numbers.
    First(usize),
    /// How many there are, and then they.
    Counted,
}

/// What the lines say, in the order in which they were wanted.
#[derive(Debug)]
pub struct Lines(Vec<(&'static str, Line)>);

#[derive(Debug, PartialEq)]
enum Line {
    Absent,
    Odd,
    Numbers(Vec<u64>),
}

impl Lines {
    pub fn parse(text: &str, wanted: &[Wanted], odd: &mut Oddities) -> Self {
        let mut lines: Vec<_> = wanted.iter().map(|wanted| (wanted.word, Line::Absent)).collect();
        for text in text.lines() {
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            let Some(index) = wanted.iter().position(|wanted| wanted.word == word) else { continue };
            let (Some(wanted), Some((_, line))) = (wanted.get(index), lines.get_mut(index)) else { continue };
            *line = numbers(rest, wanted.numbers).map_or_else(
                || {
                    odd.line(text);
                    Line::Odd
                },
                Line::Numbers,
            );
        }
        Self(lines)
    }

    /// None: the line is odd, and says nothing.
    pub fn number(&self, word: &str, index: usize) -> Option<u64> {
        match &self.0.iter().find(|(name, _)| *name == word)?.1 {
            Line::Absent => Some(0),
            Line::Odd => None,
            Line::Numbers(numbers) => Some(numbers.get(index).copied().unwrap_or_default()),
        }
    }
}

fn numbers(text: &str, numbers: Numbers) -> Option<Vec<u64>> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    match numbers {
        Numbers::First(count) => words.take(count).collect::<Option<Vec<_>>>().filter(|found| found.len() == count),
        Numbers::Counted => {
            let count = words.next()??;
            words.collect::<Option<Vec<_>>>().filter(|found| u64::try_from(found.len()) == Ok(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    const WANTED: [Wanted; 3] = [
        Wanted { word: "net", numbers: Numbers::First(2) },
        Wanted { word: "th", numbers: Numbers::First(1) },
        Wanted { word: "proc3", numbers: Numbers::Counted },
    ];

    #[test]
    fn lines_are_found_by_their_word() {
        let mut odd = Oddities::default();
        let lines = Lines::parse("th 8 0 0.000 1.5\nwdeleg_getattr 3\nproc3 3 5 6 7\n", &WANTED, &mut odd);
        odd.finish(Path::new("nfsd")).unwrap();
        assert_eq!(lines.number("th", 0), Some(8));
        assert_eq!([0, 1, 2, 3].map(|index| lines.number("proc3", index)), [Some(5), Some(6), Some(7), Some(0)]);
        assert_eq!(lines.number("net", 1), Some(0), "a line that is not there");
    }

    #[test]
    fn an_odd_line_says_nothing() {
        for text in ["net 1\n", "net 1 x\n", "net\n", "net 1 -2\n", "proc3 3 1 2\n", "proc3 1 1 2\n", "proc3\n"] {
            let mut odd = Oddities::default();
            let lines = Lines::parse(text, &WANTED, &mut odd);
            let word = text.split_whitespace().next().unwrap();
            assert_eq!(lines.number(word, 0), None, "{text}");
            assert!(odd.finish(Path::new("nfs")).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(
            text in "\\PC*|((net|th|proc3)( [0-9]{1,21}| x){0,5}\n){0,9}",
            index in any::<usize>(),
        ) {
            let lines = Lines::parse(&text, &WANTED, &mut Oddities::default());
            for wanted in WANTED {
                lines.number(wanted.word, index);
            }
        }

        #[test]
        fn numbers_come_out_as_they_went_in(numbers in proptest::collection::vec(any::<u64>(), 0..80)) {
            let words: String = numbers.iter().map(|number| format!(" {number}")).collect();
            let text = format!("proc3 {}{words}\n", numbers.len());
            let lines = Lines::parse(&text, &WANTED, &mut Oddities::default());
            for (index, number) in numbers.into_iter().enumerate() {
                prop_assert_eq!(lines.number("proc3", index), Some(number));
            }
        }
    }
}
