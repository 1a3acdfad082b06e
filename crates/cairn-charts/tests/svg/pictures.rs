//! Pictures of a chosen size: what they are made of.

use cairn_charts::{
    Bar, Body, Chart, ChartError, Curve, Dots, LineStyle, ParallelAxis, PlotAxis, Theme,
    picture_svg, png,
};

fn axis(name: &str) -> PlotAxis {
    PlotAxis { name: name.to_owned(), ..PlotAxis::default() }
}

fn chart(body: Body) -> Chart {
    Chart {
        title: "Loss".to_owned(),
        description: "Two runs.".to_owned(),
        width: 400,
        height: 260,
        theme: Theme::Light,
        body,
    }
}

fn lines(curves: Vec<Curve>) -> Chart {
    chart(Body::Lines { x: axis("step"), y: axis("loss"), curves })
}

fn curve(name: &str, color: usize, points: &[(f64, f64)]) -> Curve {
    Curve {
        name: name.to_owned(),
        style: LineStyle { color, dash: 0 },
        points: points.to_vec(),
        ..Curve::default()
    }
}

fn drawn(chart: &Chart) -> String {
    picture_svg(chart).expect("a picture")
}

/// The texts with their places, pixels from the left and from the top.
fn texts(svg: &str) -> Vec<(String, f64, f64)> {
    svg.split("<text ")
        .skip(1)
        .map(|part| {
            let (head, rest) = part.split_once('>').unwrap();
            let words = rest.split('<').next().unwrap().trim().to_owned();
            let number = |name: &str| {
                let from = head.split(&format!("{name}=\"")).nth(1).unwrap();
                from.split('"').next().unwrap().parse::<f64>().unwrap() / 10.0
            };
            (words, number("x"), number("y"))
        })
        .collect()
}

fn place(svg: &str, words: &str) -> (f64, f64) {
    let found = texts(svg).into_iter().find(|text| text.0 == words);
    found.map_or_else(|| panic!("no {words} in {svg}"), |text| (text.1, text.2))
}

/// Every place that something is drawn at, pixels.
fn places(svg: &str) -> Vec<(f64, f64)> {
    svg.split("points=\"")
        .skip(1)
        .flat_map(|part| part.split('"').next().unwrap().split_whitespace())
        .map(|pair| pair.split_once(',').unwrap())
        .map(|(x, y)| (x.parse::<f64>().unwrap() / 10.0, y.parse::<f64>().unwrap() / 10.0))
        .collect()
}

fn every_kind() -> Vec<Chart> {
    let many: Vec<f64> = (0..50).map(|at| f64::from(at * at % 37) - 5.0).collect();
    let points: Vec<(f64, f64)> = many.iter().map(|value| (*value, value * 2.0)).collect();
    let names = || vec!["a".to_owned(), "a name that is longer than its place ".repeat(4)];
    let bodies = vec![
        Body::Lines { x: axis("step"), y: axis("loss"), curves: vec![curve("a", 0, &points)] },
        Body::Scatter {
            x: axis("x"),
            y: PlotAxis { is_log: true, ..axis("y") },
            groups: (0..5)
                .map(|color| Dots { name: format!("{color}"), color, points: points.clone() })
                .collect(),
        },
        Body::Bars {
            value: axis("accuracy"),
            bars: many
                .iter()
                .map(|value| Bar {
                    name: names()[1].clone(),
                    value: *value,
                    interval: Some((value - 1.0, value + 1.0)),
                    color: 1,
                })
                .collect(),
        },
        Body::Boxes {
            value: axis("loss"),
            boxes: vec![("a".into(), many.clone()), ("empty".into(), vec![])],
        },
        Body::Histogram {
            value: axis("loss"),
            groups: vec![("a".into(), many.clone()), ("b".into(), many.clone())],
            columns: 0,
        },
        Body::HeatMap {
            name: "r".into(),
            columns: names(),
            rows: names(),
            values: vec![1.0, f64::NAN, -1.0, 0.5],
            range: None,
        },
        Body::Parallel {
            axes: vec![
                ParallelAxis::Numbers { name: "lr".into(), is_log: true },
                ParallelAxis::Categories { name: "optimizer".into(), texts: names() },
                ParallelAxis::Numbers { name: names()[1].clone(), is_log: false },
            ],
            lines: vec![
                vec![0.1, 0.0, 5.0],
                vec![0.01, 1.0, f64::NAN],
                vec![0.5],
                vec![-1.0, 1.0, 2.0],
            ],
            color_by: Some(2),
        },
    ];
    bodies.into_iter().map(chart).collect()
}

#[test]
fn two_runs_with_a_band_and_a_gap() {
    let mut first =
        curve("first", 0, &[(0.0, 4.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.5)]);
    first.marks = vec![(2.0, f64::NAN)];
    let mut second = curve("second", 1, &[(0.0, 3.0), (4.0, 1.5)]);
    second.style.dash = 1;
    second.band = vec![(0.0, 2.5, 3.5), (4.0, 1.0, 2.0)];
    second.ghost = vec![(0.0, 3.4), (2.0, 2.0), (4.0, 1.4)];
    insta::assert_snapshot!(drawn(&lines(vec![first, second])));
}

#[test]
fn every_kind_stays_in_its_picture_light_and_dark() {
    for mut chart in every_kind() {
        for theme in [Theme::Light, Theme::Dark] {
            chart.theme = theme;
            let svg = drawn(&chart);
            assert!(svg.starts_with("<svg width=\"400\" height=\"260\" viewBox=\"0 0 4000 2600\""));
            let places = places(&svg);
            for (x, y) in &places {
                assert!(
                    (0.0..=400.0).contains(x) && (0.0..=260.0).contains(y),
                    "{x} {y}: {:?}",
                    chart.body
                );
            }
            for (words, x, y) in texts(&svg) {
                assert!(
                    (0.0..=400.0).contains(&x) && (0.0..=260.0).contains(&y),
                    "{words} {x} {y}"
                );
            }
            assert_eq!(svg.contains("#1A1917"), theme == Theme::Dark, "the dark ground");
            assert_eq!(svg, drawn(&chart), "the same bytes");
        }
    }
}

#[test]
fn the_legend_stands_below_all_that_is_drawn() {
    let curves =
        (0..40).map(|at| curve(&format!("run {at}"), at, &[(0.0, 0.0), (9.0, 1.0)])).collect();
    let svg = drawn(&lines(curves));
    let legend = place(&svg, "run 0").1;
    let axis = place(&svg, "step").1;
    assert!(legend > axis, "{legend} is not below {axis}");
    // What has no room is counted.
    assert!(texts(&svg).iter().any(|text| text.0.starts_with("and ") && text.0.ends_with(" more")));
}

#[test]
fn long_names_lose_their_middle_and_stay_inside() {
    let long = "resnet50-imagenet21k-mixup0.2-cutmix1.0-augmented-cosine-warmup5-lr0.03-seed4";
    let mut chart = lines(vec![curve(long, 0, &[(0.0, 1.0), (1.0, 2.0)])]);
    chart.title = long.repeat(3);
    let svg = drawn(&chart);
    let names: Vec<_> = texts(&svg).into_iter().filter(|text| text.0.contains('…')).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, ..) in names {
        assert!(name.starts_with("resnet50") && name.ends_with("seed4"), "{name}");
    }
}

#[test]
fn a_chosen_range_cuts_lines() {
    let mut chart = lines(vec![curve("a", 0, &[(0.0, -1e9), (10.0, 1e9)])]);
    let Body::Lines { x, y, .. } = &mut chart.body else { unreachable!() };
    (x.from, x.to) = (Some(4.0), Some(6.0));
    (y.from, y.to) = (Some(-1.0), Some(1.0));
    let svg = drawn(&chart);
    assert!(
        places(&svg).iter().all(|(x, y)| (0.0..=400.0).contains(x) && (0.0..=260.0).contains(y))
    );
    let marks: Vec<String> = texts(&svg).into_iter().map(|text| text.0).collect();
    assert!(marks.contains(&"-1".to_owned()) && marks.contains(&"1".to_owned()), "{marks:?}");
}

#[test]
fn what_is_not_above_zero_has_no_place_on_a_logarithmic_axis() {
    let mut chart =
        lines(vec![curve("a", 0, &[(1.0, 1.0), (2.0, 0.0), (3.0, 100.0), (4.0, -5.0)])]);
    let Body::Lines { y, .. } = &mut chart.body else { unreachable!() };
    y.is_log = true;
    let circles = |chart: &Chart| drawn(chart).matches("<circle").count();
    assert_eq!(circles(&chart), 2);
    let Body::Lines { curves, .. } = &mut chart.body else { unreachable!() };
    curves[0].points = vec![(1.0, -1.0)];
    assert!(matches!(picture_svg(&chart), Err(ChartError::NoPoints { .. })));
}

#[test]
fn names_cannot_end_the_text_they_stand_in() {
    let mut hostile = lines(vec![curve("</text><script>a()</script>", 0, &[(0.0, 1.0)])]);
    hostile.title = "<b>\"bold\" & more\u{1}".to_owned();
    hostile.description = "\"><script>b()</script>".to_owned();
    let svg = drawn(&hostile);
    assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{1}'), "{svg}");
    assert!(svg.contains("aria-label=\"&lt;b&gt;&quot;bold&quot; &amp; more \""));
    assert!(svg.contains("<desc>&quot;&gt;&lt;script"));
    png(&svg, 1.0).expect("it is a document");
}

#[test]
fn sizes_have_bounds_and_nothing_is_told() {
    let mut chart = lines(vec![curve("a", 0, &[(0.0, 1.0)])]);
    chart.width = 199;
    assert_eq!(picture_svg(&chart), Err(ChartError::Size { width: 199, height: 260 }));
    for nothing in [vec![], vec![curve("a", 0, &[(f64::NAN, 1.0)])]] {
        assert!(matches!(picture_svg(&lines(nothing)), Err(ChartError::NoPoints { .. })));
    }
}

#[test]
fn a_png_has_the_size_and_letters_in_two_weights() {
    let svg = drawn(&lines(vec![curve("損失 und Verlust", 0, &[(0.0, 1.0), (1.0, 2.0)])]));
    let size = |bytes: &[u8]| {
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        (number(16), number(20))
    };
    assert_eq!(size(&png(&svg, 1.0).unwrap()), (400, 260));
    let large = png(&svg, 2.0).unwrap();
    assert_eq!(size(&large), (800, 520));
    // Letters are drawn: without the font there are none, and semibold ones are no regular ones.
    let without = svg.replace("<text ", "<text display=\"none\" ");
    assert_ne!(png(&without, 2.0).unwrap(), large);
    let regular = svg.replace("font-weight=\"bold\"", "");
    assert_ne!(regular, svg);
    assert_ne!(png(&regular, 2.0).unwrap(), large);
    assert!(png("<svg", 1.0).is_err());
}
