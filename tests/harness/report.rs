//! The table of faults, as lines of a test's output: what a watcher of the registry saw, and what it should see.

/// One line of it.
pub fn report(fault: &str, seen: &str, expected: &str) {
    println!("FAULT | {fault} | {seen} | {expected}");
}

/// `1 DELETE, 2 PUT`: how many events of each kind, in the order in which the kinds began; `nothing`.
pub fn tally<T: AsRef<str>>(events: &[T]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for verb in events.iter().filter_map(|event| event.as_ref().split(' ').next()) {
        match counts.iter_mut().find(|(known, _)| *known == verb) {
            Some((_, count)) => *count += 1,
            None => counts.push((verb, 1)),
        }
    }
    let counts: Vec<_> = counts.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
    if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }
}
