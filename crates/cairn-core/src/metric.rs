//! Metric values, and what MLflow's database can hold of them.

/// The largest finite double; MLflow stores an infinity as plus or minus this.
pub const INFINITY_STAND_IN: f64 = f64::MAX;

/// One measured value: any double, NaN and the infinities included.
///
/// MLflow's tables have a number and a flag `is_nan`: NaN is (0, true), and an infinity is clamped
/// to the largest finite double. Reading cannot tell a clamped infinity from the largest double, so
/// both are shown as infinity on screen and as the number on the MLflow port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricValue(pub f64);

impl MetricValue {
    /// The pair (value, is_nan) for MLflow's tables.
    pub fn to_columns(self) -> (f64, bool) {
        if self.0.is_nan() {
            (0.0, true)
        } else {
            (self.0.clamp(-INFINITY_STAND_IN, INFINITY_STAND_IN), false)
        }
    }

    /// The value that a pair (value, is_nan) stands for, as MLflow answers it: NaN, or the number.
    pub fn from_columns(value: f64, is_nan: bool) -> Self {
        Self(if is_nan { f64::NAN } else { value })
    }

    /// The value for a person: a clamped infinity becomes an infinity again.
    pub fn unclamped(self) -> f64 {
        if self.0 >= INFINITY_STAND_IN {
            f64::INFINITY
        } else if self.0 <= -INFINITY_STAND_IN {
            f64::NEG_INFINITY
        } else {
            self.0
        }
    }
}

/// One row of a metric's history.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// The metric's name.
    pub key: String,
    /// The measured value.
    pub value: MetricValue,
    /// When it was measured, milliseconds since 1970.
    pub timestamp: i64,
    /// The step it belongs to; may be negative.
    pub step: i64,
}

impl MetricPoint {
    /// Whether this point replaces `other` as the latest value of the metric.
    ///
    /// The triple (step, timestamp, value) must be strictly greater; NaN counts as 0.
    /// Source: MLflow's rule for the table `latest_metrics`.
    pub fn is_later_than(&self, other: &Self) -> bool {
        let key = |point: &Self| (point.step, point.timestamp);
        match key(self).cmp(&key(other)) {
            std::cmp::Ordering::Equal => self.value.to_columns().0 > other.value.to_columns().0,
            ordering => ordering.is_gt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: i64, timestamp: i64, value: f64) -> MetricPoint {
        MetricPoint { key: "loss".into(), value: MetricValue(value), timestamp, step }
    }

    #[test]
    fn columns_hold_nan_as_a_flag_and_clamp_infinities() {
        assert_eq!(MetricValue(f64::NAN).to_columns(), (0.0, true));
        assert_eq!(MetricValue(f64::INFINITY).to_columns(), (f64::MAX, false));
        assert_eq!(MetricValue(f64::NEG_INFINITY).to_columns(), (f64::MIN, false));
        assert_eq!(MetricValue(-0.0).to_columns(), (-0.0, false));
        assert!(MetricValue::from_columns(0.0, true).0.is_nan());
        assert_eq!(MetricValue(f64::MAX).unclamped().to_bits(), f64::INFINITY.to_bits());
        assert_eq!(MetricValue(1.5).unclamped().to_bits(), 1.5_f64.to_bits());
    }

    #[test]
    fn later_step_wins_over_later_time() {
        assert!(point(2, 10, 0.1).is_later_than(&point(1, 99, 0.9)));
        assert!(!point(1, 99, 0.9).is_later_than(&point(2, 10, 0.1)));
        assert!(point(1, 11, 0.1).is_later_than(&point(1, 10, 0.9)));
        assert!(point(1, 10, 0.9).is_later_than(&point(1, 10, 0.1)));
        assert!(!point(1, 10, 0.9).is_later_than(&point(1, 10, 0.9)));
        assert!(!point(1, 10, f64::NAN).is_later_than(&point(1, 10, 0.0)));
        assert!(point(1, 10, f64::NAN).is_later_than(&point(1, 10, -1.0)));
    }
}
