//! Measures under names and labels that would give a series twice, or a family two kinds, each beside a good one.

use vitald_sdk::prelude::*;

/// Labels that the agent or Prometheus gives itself.
const TAKEN: [&str; 6] = ["check", "service", "job", "instance", "le", "__name__"];

/// Gives some good measurements, and many that are not. Two checks of it disagree about the kind of one.
#[checker]
fn mislabeler(run: &mut Run) -> Result<Outcome> {
    run.measure("good", 1.0);
    run.measure("good", 2.0);
    run.measure("good_labels", 1.0).label("a", "1").label("b", "2");
    run.measure("good_labels", 2.0).label("b", "2").label("a", "1");
    run.measure("good_twice", 1.0).label("a", "1").label("a", "2");
    run.measure("good_seconds", 1.0);
    run.measure("good", seconds(2.0));
    run.measure("good_kind_total", 1.0);
    run.counter("good_kind", 2.0);
    run.measure("good_text", 1.0).label("text", "a\"b\\c\nd\u{1b}[31m} 1\nup 1");
    if run.check_name().ends_with("-2") {
        run.counter("good_swapped", 1.0);
    } else {
        run.measure("good_swapped_total", 1.0);
    }
    for name in TAKEN {
        run.measure("good_taken", 1.0).label(name, "forged");
    }
    for suffix in ["bucket", "sum", "count"] {
        run.measure(&format!("good_{suffix}"), 1.0);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        run.measure("good_number", value);
    }
    Ok(up("measured"))
}
