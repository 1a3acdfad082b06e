//! What a drawn chart is made of.

mod pictures;

use cairn_charts::{Axis, ChartError, LineChart, Series, svg};

fn chart(series: Vec<Series>) -> LineChart {
    LineChart {
        title: "Calls a second, by clients".to_owned(),
        description: "More clients share one commit.".to_owned(),
        x: Axis::log("clients"),
        y: Axis::log("calls per second"),
        series,
    }
}

fn line(name: &str, points: &[(f64, f64)]) -> Series {
    Series { name: name.to_owned(), points: points.to_vec() }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn two_lines_on_logarithmic_axes() {
    let drawn = svg(&chart(vec![
        line("Cairn", &[(1.0, 3000.0), (4.0, 9000.0), (32.0, 40_000.0)]),
        line("MLflow", &[(1.0, 70.0), (4.0, 90.0), (32.0, 80.0)]),
    ]))
    .expect("a chart");
    insta::assert_snapshot!(drawn);
}

#[test]
fn text_stays_text_and_is_the_name_for_screen_readers() {
    let drawn = svg(&chart(vec![line("Cairn", &[(1.0, 2.0), (2.0, 4.0)])])).expect("a chart");
    assert!(drawn.starts_with("<svg "));
    assert!(drawn.contains("role=\"img\" aria-label=\"Calls a second, by clients\""));
    assert!(drawn.contains("<title>Calls a second, by clients</title>"));
    assert!(drawn.contains("<desc>More clients share one commit.</desc>"));
    for words in ["Calls a second, by clients", "clients", "calls per second"] {
        assert!(drawn.lines().any(|line| line.trim() == words), "{words} is no text in {drawn}");
    }
    assert!(drawn.contains("prefers-color-scheme:dark"));
}

#[test]
fn a_single_line_has_no_legend() {
    let one = svg(&chart(vec![line("Cairn", &[(1.0, 2.0), (2.0, 4.0)])])).expect("a chart");
    assert!(!one.contains("Cairn"));
    let two = vec![line("Cairn", &[(1.0, 2.0)]), line("MLflow", &[(1.0, 1.0)])];
    let two = svg(&chart(two)).expect("a chart");
    assert!(two.contains("Cairn") && two.contains("MLflow"));
}

#[test]
fn a_value_that_is_not_finite_is_a_gap() {
    let whole = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0), (5.0, 5.0)];
    let mut broken = whole;
    broken[2].1 = f64::NAN;
    let lines = |points| {
        let drawn = svg(&chart(vec![line("Cairn", points)])).expect("a chart");
        (count(&drawn, "stroke=\"#0072B2\" stroke-width=\"2\""), count(&drawn, "<circle"))
    };
    assert_eq!(lines(&whole), (1, 5));
    assert_eq!(lines(&broken), (2, 4));
}

#[test]
fn names_cannot_end_the_text_they_stand_in() {
    let mut hostile =
        chart(vec![line("</text><script>a()</script>", &[(1.0, 1.0)]), line("\"&", &[(1.0, 1.0)])]);
    hostile.title = "<b>\"bold\" & more".to_owned();
    hostile.description = "\"><script>b()</script>".to_owned();
    let drawn = svg(&hostile).expect("a chart");
    assert!(!drawn.contains("<script") && !drawn.contains("<b>"), "{drawn}");
    assert!(drawn.contains("&lt;b&gt;&quot;bold&quot; &amp; more"));
}

#[test]
fn what_has_no_place_is_named() {
    let refused = svg(&chart(vec![line("Cairn", &[(1.0, 0.0)])])).expect_err("no place for 0");
    assert_eq!(
        refused,
        ChartError::NotPositive {
            series: "Cairn".to_owned(),
            axis: "calls per second".to_owned(),
            value: 0.0
        }
    );
    for empty in [vec![], vec![line("Cairn", &[])], vec![line("Cairn", &[(f64::NAN, 1.0)])]] {
        assert!(matches!(svg(&chart(empty)), Err(ChartError::NoPoints { .. })));
    }
}

#[test]
fn linear_axes_have_a_place_for_everything_finite() {
    let mut falling = chart(vec![line("loss", &[(-1.0, -2.0), (0.0, 0.0), (1.0, 5.0)])]);
    (falling.x, falling.y) = (Axis::linear("step"), Axis::linear("loss"));
    let drawn = svg(&falling).expect("a chart");
    for mark in ["-2", "0", "4"] {
        assert!(drawn.lines().any(|line| line.trim() == mark), "no mark {mark} in {drawn}");
    }
    // The same specification always gives the same bytes.
    assert_eq!(drawn, svg(&falling).expect("a chart"));
}
