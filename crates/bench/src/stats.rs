//! Percentiles, medians, slopes and the composite limit: pure arithmetic.

/// The middle of the values; `None` of none. Of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The value below or at which `per_mille` of the values lie, by nearest rank; 0 of none. `sorted` ascends.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// By how much y grows with each unit of x, by least squares; 0 of fewer than two different x.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = float(points.len() as u64);
    let mean = |values: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(values).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(&|point| point.0), mean(&|point| point.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

/// Payments per second that `cores` can bear if each costs the sum of these CPU seconds.
pub(crate) fn composite_limit(cores: f64, cpu_seconds_per_payment: &[f64]) -> f64 {
    cores / cpu_seconds_per_payment.iter().sum::<f64>()
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Nanoseconds in milliseconds.
pub(crate) fn millis(nanos: u64) -> f64 {
    float(nanos) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0]), Some(3.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let thousand: Vec<u64> = (1..=1000).collect();
        assert_eq!([500, 990, 999].map(|p| percentile(&thousand, p)), [500, 990, 999]);
        assert_eq!(percentile(&[7], 999), 7);
        assert_eq!(percentile(&[1, 100], 500), 1);
        assert_eq!(percentile(&[1, 100], 501), 100);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn a_slope_is_growth_per_unit() {
        assert!((slope(&[(0.0, 5.0), (10.0, 25.0), (20.0, 45.0)]) - 2.0).abs() < 1e-9);
        assert!(slope(&[(0.0, 5.0), (10.0, 5.0)]).abs() < 1e-9);
        assert!(slope(&[(3.0, 5.0)]).abs() < 1e-9);
    }

    #[test]
    fn the_limit_is_what_the_cores_hold_of_the_sum() {
        assert!((composite_limit(2.0, &[0.0001, 0.0002, 0.0001]) - 5000.0).abs() < 1e-6);
    }
}
