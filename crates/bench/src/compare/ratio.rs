//! What pairs of measurements say about a quotient: pure arithmetic.

use crate::stats::float;

/// Half the width of a 95 % interval in standard errors, by degrees of freedom from 1 on: the 0.975 quantiles of Student's t.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A quotient, with the interval that holds the true one in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Ratio {
    /// The geometric mean of the quotients of the pairs, with a t interval on their logarithms. `None` of fewer than two, or of
    /// one that is not positive.
    pub(super) fn of(quotients: &[f64]) -> Option<Self> {
        if quotients.iter().any(|quotient| !quotient.is_finite() || *quotient <= 0.0) {
            return None;
        }
        let count = float(quotients.len() as u64);
        let logs: Vec<f64> = quotients.iter().map(|quotient| quotient.ln()).collect();
        let mean = logs.iter().sum::<f64>() / count;
        // Of more pairs than the table has, its last value is a little too wide.
        let t = T.get(quotients.len().checked_sub(2)?).or(T.last())?;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let half = t * (variance / count).sqrt();
        Some(Self { mean: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
    }

    /// Whether the true quotient is above the bound, as far as the pairs can tell: all of the interval is.
    pub(super) fn is_above(&self, bound: f64) -> bool {
        self.low > bound
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.mean, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    #[test]
    fn four_pairs_have_the_mean_and_the_interval_of_the_books() {
        // exp(m ± 3.182 s / 2) of the logarithms' mean m and standard deviation s.
        let ratio = Ratio::of(&[1.10, 1.00, 0.95, 1.05]).unwrap();
        close(ratio.mean, 1.023_473_017);
        close(ratio.low, 0.925_723_771);
        close(ratio.high, 1.131_543_824);
        assert_eq!(ratio.to_string(), "1.02 (0.93 to 1.13)");
    }

    #[test]
    fn pairs_that_agree_leave_no_doubt() {
        let ratio = Ratio::of(&[1.25; 8]).unwrap();
        close(ratio.mean, 1.25);
        close(ratio.low, ratio.high);
        assert!(ratio.is_above(1.2) && !ratio.is_above(1.3));
    }

    #[test]
    fn twice_and_half_cancel_out() {
        let ratio = Ratio::of(&[2.0, 0.5]).unwrap();
        close(ratio.mean, 1.0);
        close(ratio.low * ratio.high, 1.0);
    }

    #[test]
    fn only_an_interval_that_is_above_as_a_whole_is_above() {
        assert!(!Ratio { mean: 1.06, low: 1.01, high: 1.11 }.is_above(1.02));
        assert!(Ratio { mean: 1.06, low: 1.03, high: 1.09 }.is_above(1.02));
    }

    #[test]
    fn many_pairs_use_the_last_quantile_and_too_few_say_nothing() {
        assert!(Ratio::of(&[1.0, 1.1].repeat(32)).unwrap().high < 1.07);
        assert_eq!(Ratio::of(&[1.0]), None);
        assert_eq!(Ratio::of(&[]), None);
        assert_eq!(Ratio::of(&[1.0, 0.0]), None);
        assert_eq!(Ratio::of(&[1.0, f64::INFINITY]), None);
    }
}
