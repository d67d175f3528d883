//! Measures under names and labels that would give a series twice, or a family two kinds, each beside a good one.

use vitald_sdk::prelude::*;

/// Labels that the agent or Prometheus gives itself.
const TAKEN: [&str; 6] = ["check", "service", "job", "instance", "le", "__name__"];

/// Gives some good measurements, and many that are not. Two checks of it disagree about the kind of one.
#[checker]
fn mislabeler(run: &mut Run) -> Result<Outcome> {
    run.gauge("good", Unit::None, 1.0);
    run.gauge("good", Unit::None, 2.0);
    run.gauge("good_labels", Unit::None, 1.0).label("a", "1").label("b", "2");
    run.gauge("good_labels", Unit::None, 2.0).label("b", "2").label("a", "1");
    run.gauge("good_twice", Unit::None, 1.0).label("a", "1").label("a", "2");
    run.gauge("good_seconds", Unit::None, 1.0);
    run.gauge("good", Unit::Seconds, 2.0);
    run.gauge("good_kind_total", Unit::None, 1.0);
    run.counter("good_kind", Unit::None, 2.0);
    run.gauge("good_text", Unit::None, 1.0).label("text", "a\"b\\c\nd\u{1b}[31m} 1\nup 1");
    if run.check_name().ends_with("-2") {
        run.counter("good_swapped", Unit::None, 1.0);
    } else {
        run.gauge("good_swapped_total", Unit::None, 1.0);
    }
    for name in TAKEN {
        run.gauge("good_taken", Unit::None, 1.0).label(name, "forged");
    }
    for suffix in ["bucket", "sum", "count"] {
        run.gauge(&format!("good_{suffix}"), Unit::None, 1.0);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        run.gauge("good_number", Unit::None, value);
    }
    Ok(up("measured"))
}
