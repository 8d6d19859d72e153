//! Least squares with costs that are not below zero.

/// The amounts of a load and its measured cost.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) amounts: Vec<f64>,
    pub(super) cost: f64,
}

/// Costs that explain the rows.
#[derive(Debug)]
pub(super) struct Fit {
    /// The cost of each amount.
    pub(super) costs: Vec<f64>,
    /// The standard deviation of each, by leaving out one row after the other.
    pub(super) deviations: Vec<f64>,
    /// The error of each row, as a share of its cost.
    pub(super) errors: Vec<f64>,
}

impl Fit {
    /// The root of the mean square of the errors.
    pub(super) fn typical_error(&self) -> f64 {
        let squares: f64 = self.errors.iter().map(|error| error * error).sum();
        (squares / self.errors.len() as f64).sqrt()
    }
}

/// Fits the costs so that the sum of the squares of the errors is the least. An error is relative to
/// the row's cost, or to `noise` where that is more.
pub(super) fn fit(rows: &[Row], noise: f64) -> Fit {
    let scaled: Vec<_> = rows.iter().map(|row| row.relative(noise)).collect();
    let costs = solve(&scaled, None);
    let errors = scaled
        .iter()
        .map(|row| (row.expected(&costs) - row.cost).abs());
    let without: Vec<_> = (0..rows.len())
        .map(|left_out| solve(&scaled, Some(left_out)))
        .collect();
    Fit {
        errors: errors.collect(),
        deviations: deviations(&without),
        costs,
    }
}

impl Row {
    fn relative(&self, noise: f64) -> Self {
        let unit = self.cost.max(noise);
        Self {
            amounts: self.amounts.iter().map(|amount| amount / unit).collect(),
            cost: self.cost / unit,
        }
    }

    fn expected(&self, costs: &[f64]) -> f64 {
        let amounts = self.amounts.iter();
        amounts.zip(costs).map(|(amount, cost)| amount * cost).sum()
    }
}

/// The least squares of all rows but one: each cost in turn takes its best value for the others, which
/// ends at the one minimum.
fn solve(rows: &[Row], left_out: Option<usize>) -> Vec<f64> {
    let count = rows.first().map_or(0, |row| row.amounts.len());
    let rows = rows.iter().enumerate();
    let rows: Vec<_> = rows
        .filter(|(index, _)| Some(*index) != left_out)
        .map(|(_, row)| row)
        .collect();
    let product = |one: &dyn Fn(&Row) -> f64, other: &dyn Fn(&Row) -> f64| -> f64 {
        rows.iter().map(|row| one(row) * other(row)).sum()
    };
    let squares: Vec<Vec<f64>> = (0..count)
        .map(|a| {
            let products = (0..count).map(|b| product(&|r| r.amounts[a], &|r| r.amounts[b]));
            products.collect()
        })
        .collect();
    let costs: Vec<f64> = (0..count)
        .map(|a| product(&|r| r.amounts[a], &|r| r.cost))
        .collect();
    let mut found = vec![0.0_f64; count];
    for _ in 0..SWEEPS {
        let mut change = 0.0_f64;
        for (index, row) in squares.iter().enumerate() {
            if row[index] == 0.0 {
                continue;
            }
            let all: f64 = row.iter().zip(&found).map(|(one, cost)| one * cost).sum();
            let others = all - row[index] * found[index];
            let best = ((costs[index] - others) / row[index]).max(0.0);
            change = change.max((best - found[index]).abs() / best.max(f64::MIN_POSITIVE));
            found[index] = best;
        }
        if change < ENOUGH {
            break;
        }
    }
    found
}

/// The jackknife's standard deviations.
fn deviations(without: &[Vec<f64>]) -> Vec<f64> {
    let rows = without.len() as f64;
    let count = without.first().map_or(0, Vec::len);
    let of = |index: usize| {
        let mean = without.iter().map(|costs| costs[index]).sum::<f64>() / rows;
        let squares = without.iter().map(|costs| (costs[index] - mean).powi(2));
        (squares.sum::<f64>() * (rows - 1.0) / rows).sqrt()
    };
    (0..count).map(of).collect()
}

/// More than any fit takes.
const SWEEPS: usize = 50_000;
/// The relative change of a cost in one sweep at which it is found.
const ENOUGH: f64 = 1e-9;
