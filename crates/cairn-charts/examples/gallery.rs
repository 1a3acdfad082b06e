//! Every kind of picture, light and dark, as PNG files to be looked at:
//! `cargo run -p cairn-charts --example gallery -- /tmp/gallery`.

use std::{f64::consts::TAU, path::Path};

use cairn_charts::{
    Bar, Body, Chart, Curve, Dots, LineStyle, ParallelAxis, PlotAxis, Theme, Unit, picture_svg, png,
};

/// Numbers that look like chance and are always the same, 0 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn axis(name: &str) -> PlotAxis {
    PlotAxis { name: name.to_owned(), ..PlotAxis::default() }
}

fn style(at: usize) -> LineStyle {
    LineStyle { color: at, dash: at / cairn_charts::SERIES_COLORS }
}

fn training(noise: &mut Noise, name: String, at: usize, points: u32) -> Curve {
    let speed = 0.5 + noise.next();
    let floor = 0.05 + noise.next() * 0.2;
    let points: Vec<(f64, f64)> = (0..points)
        .map(|step| {
            let part = f64::from(step) / f64::from(points);
            (
                f64::from(step) * 10.0,
                floor + 2.3 * (-5.0 * speed * part).exp() + (noise.next() - 0.5) * 0.12,
            )
        })
        .collect();
    Curve { name, style: style(at), points, ..Curve::default() }
}

fn lines(curves: Vec<Curve>, y: PlotAxis, x: PlotAxis) -> Body {
    Body::Lines { x, y, curves }
}

fn bodies() -> Vec<(&'static str, &'static str, Body)> {
    let mut noise = Noise(7);
    let mut two: Vec<Curve> = ["baseline", "with dropout"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| training(&mut noise, name.to_owned(), at, 400))
        .collect();
    for curve in &mut two {
        curve.ghost = std::mem::take(&mut curve.points);
        let y: Vec<f64> = curve.ghost.iter().map(|point| point.1).collect();
        let smooth = cairn_core::series::Smoothing::Ema { weight: 0.93 }.apply(&[], &y);
        curve.points = curve.ghost.iter().zip(smooth).map(|(point, y)| (point.0, y)).collect();
    }
    for point in &mut two[1].points[180..200] {
        point.1 = f64::NAN;
    }
    two[1].marks = vec![(1_900.0, f64::NAN), (2_500.0, f64::INFINITY)];
    let forty = (0..40)
        .map(|at| training(&mut noise, format!("run-{at:02}-lr{:.4}", noise_lr(at)), at, 200));
    let forty: Vec<Curve> = forty.collect();
    let long = (0..5)
        .map(|at| {
            let name = format!(
                "resnet50-imagenet21k-mixup0.2-cutmix1.0-augmented-cosine-warmup5-lr{}-seed{at}",
                0.01 * f64::from(at + 1)
            );
            training(&mut noise, name, at as usize, 30)
        })
        .collect();
    let bands = (0..3)
        .map(|at| {
            let mut curve = training(
                &mut noise,
                format!("lr = {} (8)", 10_f64.powi(-at - 1)),
                at as usize,
                120,
            );
            curve.band =
                curve.points.iter().map(|(x, y)| (*x, y * 0.75 - 0.02, y * 1.3 + 0.04)).collect();
            curve
        })
        .collect();
    let dots = |noise: &mut Noise, name: &str, color: usize| Dots {
        name: name.to_owned(),
        color,
        points: (0..60)
            .map(|_| {
                let lr = 10_f64.powf(-4.0 + 3.0 * noise.next());
                (
                    lr,
                    0.9 - (lr.log10() + 2.5 + color as f64 * 0.3).powi(2) * 0.08
                        + noise.next() * 0.04,
                )
            })
            .collect(),
    };
    let scatter = ["adam", "sgd", "adamw", "lion"].into_iter().enumerate();
    let scatter = scatter.map(|(at, name)| dots(&mut noise, name, at)).collect();
    let bars = (0..9_u8)
        .map(|at| Bar {
            name: if at == 3 {
                "a-run-whose-name-is-longer-than-any-label-should-be-v2".into()
            } else {
                format!("run {at}")
            },
            value: 0.9 - f64::from(at) * 0.07,
            interval: (at < 4)
                .then_some((0.86 - f64::from(at) * 0.07, 0.94 - f64::from(at) * 0.07)),
            color: usize::from(at),
        })
        .collect();
    let boxes = ["0.1", "0.01", "0.001", "0.0001"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| {
            let values = (0..40).map(|_| {
                (noise.next() + noise.next() + noise.next()) * 0.1 + 0.5 + at as f64 * 0.06
            });
            (format!("lr = {name}"), values.chain([0.2]).collect())
        })
        .collect();
    let spread: Vec<f64> =
        (0..600).map(|_| (-2.0 * noise.next().ln()).sqrt() * (TAU * noise.next()).cos()).collect();
    let other: Vec<f64> = (0..400).map(|_| 1.5 + noise.next() + noise.next()).collect();
    let names =
        ["loss", "accuracy", "lr", "batch_size", "depth", "duration"].map(str::to_owned).to_vec();
    let matrix = (0..36)
        .map(|at| if at % 7 == 0 { 1.0 } else { (f64::from(at) * 1.7).sin() })
        .map(|value: f64| if value > -0.95 { value } else { f64::NAN })
        .collect();
    let parallel = (0..80)
        .map(|at| {
            let lr = 10_f64.powf(-4.0 + 3.0 * noise.next());
            let optimizer = f64::from(at % 3);
            let depth = f64::from(2 + at % 6);
            let loss = if at == 11 {
                f64::NAN
            } else {
                0.2 + (lr.log10() + 2.5).powi(2) * 0.2 + noise.next() * 0.2
            };
            vec![lr, optimizer, depth, 1.0 - loss * 0.4, loss]
        })
        .collect();
    let numbers = |name: &str, is_log| ParallelAxis::Numbers { name: name.to_owned(), is_log };
    let texts = ["adam", "sgd", "a-long-optimizer-name"].map(str::to_owned).to_vec();
    vec![
        ("two", "loss", lines(two, axis("loss"), axis("step"))),
        (
            "forty",
            "val_loss of forty runs",
            lines(forty, PlotAxis { is_log: true, ..axis("val_loss") }, axis("step")),
        ),
        (
            "long",
            "a title that is so long that it cannot stand on one line and so loses its middle, as the names below it do, too",
            lines(
                long,
                axis("loss"),
                PlotAxis {
                    unit: Unit::Time { offset_seconds: 3_600 },
                    from: Some(0.0),
                    ..axis("time")
                },
            ),
        ),
        (
            "bands",
            "loss by learning rate, mean and 95 % interval",
            lines(
                bands,
                PlotAxis { from: Some(0.0), to: Some(1.5), ..axis("loss") },
                PlotAxis { unit: Unit::Seconds, ..axis("time since start") },
            ),
        ),
        (
            "scatter",
            "accuracy by learning rate",
            Body::Scatter {
                x: PlotAxis { is_log: true, ..axis("lr") },
                y: axis("accuracy"),
                groups: scatter,
            },
        ),
        ("bars", "best accuracy", Body::Bars { value: axis("accuracy"), bars }),
        ("boxes", "accuracy by learning rate", Body::Boxes { value: axis("accuracy"), boxes }),
        (
            "histogram",
            "errors",
            Body::Histogram {
                value: axis("error"),
                groups: vec![("train".into(), spread), ("test".into(), other)],
                columns: 0,
            },
        ),
        (
            "heat",
            "correlation",
            Body::HeatMap {
                name: "r".into(),
                columns: names.clone(),
                rows: names,
                values: matrix,
                range: Some((-1.0, 1.0)),
            },
        ),
        (
            "parallel",
            "eighty runs",
            Body::Parallel {
                axes: vec![
                    numbers("lr", true),
                    ParallelAxis::Categories { name: "optimizer".into(), texts },
                    numbers("depth", false),
                    numbers("accuracy", false),
                    numbers("loss", false),
                ],
                lines: parallel,
                color_by: Some(4),
            },
        ),
    ]
}

fn noise_lr(at: usize) -> f64 {
    0.0001 * (at + 1) as f64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("Which folder? gallery FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for theme in [Theme::Light, Theme::Dark] {
        for (name, title, body) in bodies() {
            let chart = Chart {
                title: title.to_owned(),
                description: String::new(),
                width: 760,
                height: 440,
                theme,
                body,
            };
            let svg = picture_svg(&chart)?;
            let suffix = if theme == Theme::Light { "light" } else { "dark" };
            std::fs::write(folder.join(format!("{name}-{suffix}.svg")), &svg)?;
            std::fs::write(folder.join(format!("{name}-{suffix}.png")), png(&svg, 1.0)?)?;
        }
    }
    Ok(())
}
