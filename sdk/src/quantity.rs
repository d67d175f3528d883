//! A number with its unit: what a checker measures.
//!
//! Units are the base units of Prometheus' naming rules (<https://prometheus.io/docs/practices/naming/#base-units>), never
//! milliseconds and never percent, so that a number means the same in every checker. Whatever has a usual unit brings it
//! along: a [`Duration`] is seconds, a bare number has none. What is no number does not compile.

use std::time::Duration;

/// The base unit of a measurement, in Prometheus' sense: never milliseconds, never percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// A plain number: connections, keys, a version.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0 to 1.
    Ratio,
    /// Degrees Celsius.
    Celsius,
    /// Volts.
    Volts,
    /// Amperes.
    Amperes,
    /// Watts, where only the power is known; Prometheus prefers joules.
    Watts,
    /// Joules.
    Joules,
    /// Metres.
    Meters,
    /// Grams.
    Grams,
}

/// A number with its unit, for [`Run::measure`](crate::Run::measure) and [`Run::counter`](crate::Run::counter).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// In the unit; what is not finite is dropped by the agent.
    pub value: f64,
    /// What one is.
    pub unit: Unit,
}

/// So many seconds. A [`Duration`] need not be converted: it is a quantity by itself.
pub fn seconds(value: f64) -> Quantity {
    Unit::Seconds.of(value)
}

/// So many bytes.
pub fn bytes(value: f64) -> Quantity {
    Unit::Bytes.of(value)
}

/// A share of a whole, 0 to 1.
pub fn ratio(value: f64) -> Quantity {
    Unit::Ratio.of(value)
}

impl Unit {
    /// So many of it: `Unit::Volts.of(230.0)`.
    pub fn of(self, value: f64) -> Quantity {
        Quantity { value, unit: self }
    }

    /// As it stands in the names of series.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            Unit::Ratio => "ratio",
            Unit::Celsius => "celsius",
            Unit::Volts => "volts",
            Unit::Amperes => "amperes",
            Unit::Watts => "watts",
            Unit::Joules => "joules",
            Unit::Meters => "meters",
            Unit::Grams => "grams",
        }
    }
}

/// What can be measured: whatever is `Into<Quantity>`. Its own trait for the sake of what the compiler says of others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number that can be measured",
    label = "expected a number, a `Duration`, or a number with its unit",
    note = "write `12`, `run.elapsed()`, `seconds(0.8)`, `bytes(4e9)`, `ratio(0.5)` or `Unit::Volts.of(230.0)`"
)]
pub trait Measurable: Into<Quantity> {}

#[diagnostic::do_not_recommend]
impl<T: Into<Quantity>> Measurable for T {}

impl From<Duration> for Quantity {
    fn from(length: Duration) -> Self {
        seconds(length.as_secs_f64())
    }
}

/// Every number of Rust; beyond 2^53 a whole number is rounded, as Prometheus would.
macro_rules! plain_numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for Quantity {
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "Prometheus has no other numbers")]
            fn from(value: $number) -> Self {
                Unit::None.of(value as f64)
            }
        }
    )*};
}

plain_numbers!(f64 f32 u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_usual_unit_brings_it() {
        assert_eq!(Quantity::from(Duration::from_millis(250)), seconds(0.25));
        assert_eq!(Quantity::from(7_usize), Unit::None.of(7.0));
        assert_eq!(Quantity::from(-1_i32).value, -1.0);
        assert_eq!((bytes(1.0).unit, ratio(0.5).unit.name()), (Unit::Bytes, "ratio"));
    }
}
