use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::series::Points;

/// Steps, times and values.
type Columns = (Vec<i64>, Vec<i64>, Vec<f64>);

/// A run with metrics of (step, value); times are a thousandfold of the steps.
#[derive(Default)]
struct Run {
    metrics: BTreeMap<&'static str, Columns>,
    params: BTreeMap<&'static str, f64>,
}

impl Run {
    fn with(mut self, key: &'static str, points: &[(i64, f64)]) -> Self {
        let steps: Vec<i64> = points.iter().map(|point| point.0).collect();
        let times = steps.iter().map(|step| step * 1_000).collect();
        self.metrics.insert(key, (steps, times, points.iter().map(|point| point.1).collect()));
        self
    }
}

impl SeriesOf for Run {
    fn metric(&self, key: &str) -> Option<Points<'_>> {
        let (steps, times, values) = self.metrics.get(key)?;
        Some(Points { steps, times, values })
    }

    fn param(&self, key: &str) -> Option<f64> {
        self.params.get(key).copied()
    }
}

impl Numbers for Run {
    fn metric(&self, key: &str, pick: Pick) -> Option<f64> {
        pick.of(key, SeriesOf::metric(self, key)?)
    }

    fn param(&self, key: &str) -> Option<f64> {
        self.params.get(key).copied()
    }
}

fn run() -> Run {
    let mut run = Run::default()
        .with("loss", &[(0, 4.0), (10, 2.0), (20, 1.0)])
        .with("val_acc", &[(0, 0.5), (20, 0.75), (20, 0.7)])
        .with("train/loss", &[(0, 3.0), (10, f64::NAN), (20, 0.5)])
        .with("empty", &[]);
    run.params = BTreeMap::from([("lr", 0.1), ("batch size", 32.0)]);
    run
}

/// The number of a run.
fn check(formula: &str, expected: f64) {
    let found = Formula::parse(formula).unwrap().number(&run()).unwrap();
    let is_near = (found - expected).abs() <= 1e-12;
    assert!(is_near || (found.is_nan() && expected.is_nan()), "{formula}: {found}");
}

/// The points of a run.
fn check_series(formula: &str, expected: &[(i64, f64)]) {
    let run = run();
    let Outcome::Series(found) = Formula::parse(formula).unwrap().series(&run).unwrap() else {
        panic!("{formula} is one number")
    };
    let points: Vec<(i64, f64)> =
        found.steps.iter().copied().zip(found.values.iter().copied()).collect();
    assert_eq!(format!("{points:?}"), format!("{expected:?}"), "{formula}");
    assert!(found.times.iter().zip(found.steps.iter()).all(|(time, step)| *time == step * 1_000));
}

/// What is refused, with the text at its place.
fn check_refused(formula: &str, message: &str, place: &str) {
    let error = Formula::parse(formula).unwrap_err();
    let span = error.span.expect("a place");
    assert!(error.message.contains(message), "{formula}: {error}");
    assert_eq!(&formula[span.start..span.end], place, "{formula}: {error}");
}

#[test]
fn ranks_are_those_of_school() {
    check("1 + 2 * 3", 7.0);
    check("(1 + 2) * 3", 9.0);
    check("10 - 4 - 3", 3.0);
    check("24 / 4 / 2", 3.0);
    check("2 ^ 3 ^ 2", 512.0);
    check("-2 ^ 2", -4.0);
    check("2 ^ -1", 0.5);
    check("--3 - +1", 2.0);
    check("1.5e3 + .5 + 2.", 1502.5);
    check("6 × 2 − 1", 11.0);
}

#[test]
fn a_number_of_a_run_is_made_of_its_metrics_and_parameters() {
    check("loss", 1.0);
    check("metrics.loss * params.lr", 0.1);
    check("params.`batch size` / 4", 8.0);
    check("`train/loss`", 0.5);
    check("metrics.`train/loss`", 0.5);
    check("best(val_acc) - best(loss)", 0.75 - 1.0);
    check("first(loss) + min(loss) + max(loss) + mean(loss)", 4.0 + 1.0 + 4.0 + 7.0 / 3.0);
    check("min(`train/loss`) + max(`train/loss`)", 3.5);
    check("at(loss, 10) + at(loss, 19) + at(loss, 99)", 5.0);
    check("log(exp(2)) + ln(1) + log2(8) + log10(100) + sqrt(abs(-16))", 11.0);
    check("min(3, loss, 2) + max(1, params.lr)", 2.0);
    check("max(loss, 0 / 0)", f64::NAN);
}

#[test]
fn what_a_run_lacks_is_named() {
    for (formula, key, kind) in [
        ("loss + nothing", "nothing", NameKind::Metric),
        ("best(nothing)", "nothing", NameKind::Metric),
        ("at(loss, -1)", "loss", NameKind::Metric),
        ("mean(empty)", "empty", NameKind::Metric),
        ("1 + params.depth", "depth", NameKind::Param),
    ] {
        let formula = Formula::parse(formula).unwrap();
        let missing = formula.number(&run()).unwrap_err();
        assert_eq!((missing.name.key.as_str(), missing.name.kind), (key, kind));
        assert_eq!(formula.series(&run()).unwrap_err(), missing);
    }
}

#[test]
fn a_series_has_a_value_at_each_step() {
    check_series("loss", &[(0, 4.0), (10, 2.0), (20, 1.0)]);
    check_series("loss * 100 - params.lr * 10", &[(0, 399.0), (10, 199.0), (20, 99.0)]);
    check_series("-loss / min(loss)", &[(0, -4.0), (10, -2.0), (20, -1.0)]);
    check_series("log2(loss)", &[(0, 2.0), (10, 1.0), (20, 0.0)]);
    check_series("loss - `train/loss`", &[(0, 1.0), (10, f64::NAN), (20, 0.5)]);
    check_series("max(loss, 1.5)", &[(0, 4.0), (10, 2.0), (20, 1.5)]);
    check_series("empty + 1", &[]);
}

#[test]
fn series_meet_by_step_at_the_last_point_of_each() {
    check_series("loss + val_acc", &[(0, 4.5), (20, 1.7)]);
    check_series("val_acc + loss", &[(0, 4.5), (20, 1.7)]);
    // With itself every point stays.
    check_series("val_acc + val_acc", &[(0, 1.0), (20, 1.5), (20, 1.4)]);
    check_series("loss + empty", &[]);
}

#[test]
fn numbers_alone_are_no_series() {
    let formula = Formula::parse("best(loss) + params.lr").unwrap();
    assert!(!formula.is_series());
    assert_eq!(formula.series(&run()).unwrap(), Outcome::Number(1.1));
    assert!(Formula::parse("loss - best(loss)").unwrap().is_series());
}

#[test]
fn names_are_listed_once() {
    let formula = Formula::parse("loss + best(loss) - params.loss + metrics.loss").unwrap();
    let names: Vec<_> = formula.names().iter().map(|name| (name.kind, &name.key[..])).collect();
    assert_eq!(names, [(NameKind::Metric, "loss"), (NameKind::Param, "loss")]);
    assert_eq!(Formula::parse(" `a b` ").unwrap().as_metric(), Some("a b"));
    assert_eq!(Formula::parse("loss + 0").unwrap().as_metric(), None);
    assert_eq!(Formula::of_metric("1 + `").as_metric(), Some("1 + `"));
    // A metric that is named as a group is.
    assert_eq!(Formula::parse("metrics").unwrap().as_metric(), Some("metrics"));
}

#[test]
fn what_is_refused_has_its_place() {
    check_refused("", "empty", "");
    check_refused("  ", "empty", "  ");
    check_refused("loss +", "ends where", "");
    check_refused("loss 2", "An operator (+ - * / ^) is missing before “2”", "2");
    check_refused("val loss", "missing before “loss”", "loss");
    check_refused("(loss + 1", "not closed", "(");
    check_refused("loss)", "no “(”", ")");
    check_refused("(loss, 1)", "An operator or “)”", ",");
    check_refused("* 2", "before “*”", "*");
    check_refused("loss ** 2", "written ^", "**");
    check_refused("é + 'loss'", "backquotes", "'");
    check_refused("1 + `loss", "not closed", "`loss");
    check_refused("``", "no name", "``");
    check_refused("loss & 1", "“&” has no meaning", "&");
    check_refused("cos(loss)", "no function “cos”", "cos");
    check_refused("log(loss, 2)", "one argument, not 2", "log(loss, 2)");
    check_refused("log()", "one argument, not 0", "log()");
    check_refused("best()", "one metric, not 0", "best()");
    check_refused("best(loss, 1)", "one metric, not 2", "best(loss, 1)");
    check_refused("best(loss * 2)", "not a formula", "best(loss * 2)");
    check_refused("last(params.lr)", "not a formula", "last(params.lr)");
    check_refused("at(loss)", "a metric and a step", "at(loss)");
    check_refused("at(loss, 1.5)", "a whole step", "at(loss, 1.5)");
    check_refused("params. + 1", "should follow “params.”", "+");
    let deep = "(".repeat(100) + "1";
    check_refused(&deep, "too deeply", "(");
    let long = "1".repeat(MAX_FORMULA_BYTES + 1);
    check_refused(&long, "at most", &long);
    check_refused(&"1+".repeat(600), "too many parts", "1");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_place(
        text in prop_oneof![
            "\\PC{0,40}",
            prop::collection::vec(prop::sample::select(vec![
                "loss", "params.", "`a/b`", "best", "(", ")", ",", "+", "-", "*", "^", "2", ".5",
                "1e", " ", "at", "é",
            ]), 0..20).prop_map(|parts| parts.concat()),
        ]
    ) {
        match Formula::parse(&text) {
            Ok(formula) => {
                let _ = formula.number(&run());
                let _ = formula.series(&run());
            }
            Err(error) => {
                let span = error.span.expect("a place");
                prop_assert!(text.get(span.start..span.end).is_some());
            }
        }
    }

    #[test]
    fn sums_and_products_are_those_of_doubles(a in -1e3..1e3_f64, b in -1e3..1e3_f64, c in 1.0..9_f64) {
        let found = Formula::parse(&format!("{a:?} + {b:?} * ({a:?} - {c:?}) / {c:?}")).unwrap();
        let number = found.number(&Run::default()).unwrap();
        prop_assert_eq!(number.to_bits(), (a + b * (a - c) / c).to_bits());
    }
}
