//! Measures too much under names that would break a scrape, and says it in control characters.

use vitald_sdk::prelude::*;

const NASTY: [&str; 6] = ["", "1starts_with_a_digit", "has space", "new\nline 1\nup", "quo\"te{}", "ümläut"];

/// Gives 200 measurements, 200 parts, and a message with an escape sequence.
#[checker]
fn flood(run: &mut Run) -> Result<Outcome> {
    for turn in 0..200_u32 {
        let nasty = NASTY.iter().cycle().nth(turn as usize).copied().unwrap_or_default();
        let value = if turn % 50 == 49 { f64::NAN } else { turn.into() };
        if turn % 2 == 1 {
            run.measure(&format!("fine_{turn}"), seconds(value)).label("long", "y".repeat(500));
        } else {
            run.measure(nasty, seconds(value))
                .label(nasty, nasty)
                .label("le", "\\\"\n} 1")
                .label("__name__", "up")
                .label("x".repeat(500), "y".repeat(500))
                .label("fifth", "one too many");
        }
        run.part(format!("part {turn}\u{1b}[2J"), Status::Down, "\r\nHTTP/1.1 200 OK\r\n\r\n");
    }
    Ok(up("\u{1b}[31mred\u{1b}[0m\r\nlevel=error msg=forged\u{0}\u{202e}backwards"))
}
