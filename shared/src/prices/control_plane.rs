//! What everything except the runners costs.

/// Jobs a month, and dollars for the control plane in it, with the monitoring `basic`. These are rows of the model in
/// `tests/bench/src/cost.rs`, which a test there compares with these; `docs/PERFORMANCE.md` shows them by component.
pub const BILLS: [(f64, f64); 6] = [(0.0, 1.42), (1e3, 3.09), (1e4, 4.36), (1e5, 7.42), (1e6, 18.58), (1e7, 98.22)];

const DAYS_A_MONTH: f64 = 30.0;

/// Dollars for the control plane in so many days with so many jobs; between the rows of [`BILLS`] on a straight line.
pub fn control_plane(days: f64, jobs: f64) -> f64 {
    let months = days / DAYS_A_MONTH;
    if months <= 0.0 {
        return 0.0;
    }
    let a_month = jobs / months;
    let last = BILLS.len() - 1;
    let after = BILLS.iter().position(|(jobs, _)| *jobs > a_month).unwrap_or(last).clamp(1, last);
    let ((few, low), (many, high)) = (BILLS[after - 1], BILLS[after]);
    (low + (high - low) * (a_month - few) / (many - few)) * months
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_costs_what_the_model_says_and_a_part_of_one_its_share() {
        let is = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        for (jobs, dollars) in BILLS {
            is(control_plane(30.0, jobs), dollars);
            is(control_plane(3.0, jobs / 10.0), dollars / 10.0);
        }
        is(control_plane(30.0, 500.0), 1.42 + (3.09 - 1.42) / 2.0);
        is(control_plane(30.0, 2e7), 98.22 + (98.22 - 18.58) / 9.0 * 10.0);
        is(control_plane(0.0, 5.0), 0.0);
    }
}
