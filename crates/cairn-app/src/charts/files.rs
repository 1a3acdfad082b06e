//! A chart as a file: a picture, or the points that are drawn.

use cairn_charts::{
    Body, Chart, Curve, LineStyle, PlotAxis, SERIES_COLORS, Theme, Unit, color_of_run, picture_svg,
    png,
};
use cairn_core::Invalid;
use jiff::{Timestamp, tz::TimeZone};

use super::dto::{
    ChartFormat, ChartLine, ChartPicture, ChartRange, ChartRequest, ChartSeries, ChartTheme, ChartX,
};
use crate::{dto::CommandError, errors};

/// What a chart is asked for that is drawn this wide: a column for each pixel.
pub fn for_picture(request: &ChartRequest, picture: &ChartPicture) -> ChartRequest {
    ChartRequest { columns: picture.width, ..request.clone() }
}

/// The bytes of a file of this chart.
///
/// Errors: [`crate::dto::ErrorCode::InvalidInput`] if nothing can be drawn, or not in this size.
pub fn file(
    chart: &ChartSeries,
    request: &ChartRequest,
    picture: &ChartPicture,
    format: ChartFormat,
) -> Result<Vec<u8>, CommandError> {
    check_range(chart, request)?;
    let refused =
        |error: cairn_charts::ChartError| errors::invalid(Invalid::new(error.to_string()));
    let svg = || picture_svg(&drawing(chart, request, picture)).map_err(refused);
    Ok(match format {
        ChartFormat::Svg => svg()?.into_bytes(),
        ChartFormat::Png => png(&svg()?, 1.0).map_err(refused)?,
        ChartFormat::Csv => csv(chart, request).map_err(errors::internal)?.into_bytes(),
    })
}

/// Refuses a range of x where there is nothing: an empty picture says too little.
fn check_range(chart: &ChartSeries, request: &ChartRequest) -> Result<(), CommandError> {
    let asked = request.x_range.unwrap_or_default();
    let Some(ChartRange { from: Some(first), to: Some(last) }) = chart.x_bounds else {
        return Ok(());
    };
    let is_beyond = asked.from.is_some_and(|from| from > last);
    if !is_beyond && asked.to.is_none_or(|to| to >= first) {
        return Ok(());
    }
    let x = x_name(&request.x);
    Err(errors::invalid(Invalid::new(format!(
        "There is no point in the range of x: the points lie from {x} {first} to {x} {last}."
    ))))
}

/// A name for the file of a chart, without folders: `val_loss.svg`.
pub fn file_name(request: &ChartRequest, picture: &ChartPicture, format: ChartFormat) -> String {
    let title = title(request, picture);
    let plain: String = title
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { ' ' })
        .take(80)
        .collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join("-");
    let plain = plain.trim_matches(['.', '-']);
    let name = if plain.is_empty() { "chart" } else { plain };
    format!("{name}.{}", extension(format))
}

/// How names of such files end.
pub fn extension(format: ChartFormat) -> &'static str {
    match format {
        ChartFormat::Svg => "svg",
        ChartFormat::Png => "png",
        ChartFormat::Csv => "csv",
    }
}

pub(super) fn mime(format: ChartFormat) -> &'static str {
    match format {
        ChartFormat::Svg => "image/svg+xml",
        ChartFormat::Png => "image/png",
        ChartFormat::Csv => "text/csv",
    }
}

fn title(request: &ChartRequest, picture: &ChartPicture) -> String {
    match picture.title.trim() {
        "" => request.y.join(", "),
        title => title.to_owned(),
    }
}

fn drawing(chart: &ChartSeries, request: &ChartRequest, picture: &ChartPicture) -> Chart {
    let (x_name, unit) = x_axis(chart, request);
    let x_range = request.x_range.unwrap_or_default();
    let y_range = picture.y_range.unwrap_or_default();
    let bounds = if request.ignore_outliers { chart.y_bounds } else { None }.unwrap_or_default();
    // A little room around the bounds, so that lines do not run along the edge.
    let room = match bounds {
        ChartRange { from: Some(from), to: Some(to) } if !picture.y_log => (to - from) * 0.04,
        _ => 0.0,
    };
    let names: Vec<&str> = chart.lines.iter().map(|line| line.label.as_str()).collect();
    Chart {
        title: title(request, picture),
        description: match names.len() {
            1 => format!("One line: {}.", names[0]),
            count => format!("{count} lines: {}.", names.join(", ")),
        },
        width: picture.width,
        height: picture.height,
        theme: match picture.theme {
            ChartTheme::Light => Theme::Light,
            ChartTheme::Dark => Theme::Dark,
        },
        body: Body::Lines {
            x: PlotAxis {
                name: x_name,
                is_log: request.x_log,
                from: x_range.from,
                to: x_range.to,
                unit,
            },
            y: PlotAxis {
                name: if request.y.len() == 1 { request.y[0].clone() } else { String::new() },
                is_log: picture.y_log,
                from: y_range.from.or(bounds.from.map(|from| from - room)),
                to: y_range.to.or(bounds.to.map(|to| to + room)),
                unit: Unit::Number,
            },
            curves: chart.lines.iter().zip(styles(&chart.lines, request)).map(curve).collect(),
        },
    }
}

fn x_axis(chart: &ChartSeries, request: &ChartRequest) -> (String, Unit) {
    match &request.x {
        ChartX::Step => ("step".to_owned(), Unit::Number),
        ChartX::RelativeTime => ("time since the start".to_owned(), Unit::Seconds),
        ChartX::Formula { text } => (text.clone(), Unit::Number),
        ChartX::WallTime => {
            let first = chart.x_bounds.and_then(|bounds| bounds.from).unwrap_or_default();
            let time = Timestamp::from_millisecond(first as i64).unwrap_or(Timestamp::UNIX_EPOCH);
            let offset_seconds = TimeZone::system().to_offset(time).seconds();
            ("time".to_owned(), Unit::Time { offset_seconds })
        }
    }
}

fn curve((line, style): (&ChartLine, LineStyle)) -> Curve {
    let pairs = |x: &[f64], y: &[f64]| x.iter().copied().zip(y.iter().copied()).collect();
    let band = match (&line.low, &line.high) {
        (Some(low), Some(high)) => {
            let edges = low.iter().zip(high);
            line.x.iter().zip(edges).map(|(x, (low, high))| (*x, *low, *high)).collect()
        }
        _ => Vec::new(),
    };
    Curve {
        name: line.label.clone(),
        style,
        points: pairs(&line.x, &line.y),
        ghost: line.raw.as_ref().map(|raw| pairs(&raw.x, &raw.y)).unwrap_or_default(),
        band,
        marks: line.marks.iter().map(|mark| (mark.x, mark.value.into())).collect(),
    }
}

/// A colour for each run or group, and a pattern for each `y`. Runs have the colours of the window as
/// long as there are enough; where two would have the same, the second takes the next free one.
fn styles(lines: &[ChartLine], request: &ChartRequest) -> Vec<LineStyle> {
    let mut keys: Vec<&str> = Vec::new();
    // The part of an id before the number of its `y`.
    let key = |line: &'_ ChartLine| line.id.rfind(':').unwrap_or(line.id.len());
    for line in lines {
        let key = &line.id[..key(line)];
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let by_order = !request.group_by.is_empty() || keys.len() > SERIES_COLORS;
    let mut taken = Vec::new();
    let colors: Vec<usize> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            if by_order {
                return at;
            }
            let own = color_of_run(key);
            let free = (0..SERIES_COLORS).map(|more| (own + more) % SERIES_COLORS);
            let color = free.into_iter().find(|color| !taken.contains(color)).unwrap_or(own);
            taken.push(color);
            color
        })
        .collect();
    lines
        .iter()
        .map(|line| {
            let at = keys.iter().position(|other| *other == &line.id[..key(line)]).unwrap_or(0);
            let color = colors[at];
            let dash =
                if request.y.len() > 1 { line.y_index as usize } else { color / SERIES_COLORS };
            LineStyle { color, dash }
        })
        .collect()
}

/// What the numbers along the chart are.
fn x_name(x: &ChartX) -> &str {
    match x {
        ChartX::Step => "step",
        ChartX::WallTime => "time_ms",
        ChartX::RelativeTime => "seconds",
        ChartX::Formula { text } => text,
    }
}

/// The points that are drawn, a row for each: which line, its runs, its metric, whether it is the line
/// (`line`) or what it was smoothed from (`logged`), its place and value, and the edges of the band.
fn csv(chart: &ChartSeries, request: &ChartRequest) -> Result<String, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let place = without_formula(x_name(&request.x));
    out.write_record(["line", "runs", "metric", "points", &place, "value", "low", "high"])?;
    for line in &chart.lines {
        let label = without_formula(&line.label);
        let runs = line.run_ids.join(" ");
        let metric = without_formula(&request.y[line.y_index as usize]);
        let edge = |edges: &Option<Vec<f64>>, at: usize| {
            let edge = edges.as_ref().and_then(|edges| edges.get(at)).filter(|edge| !edge.is_nan());
            edge.map(ToString::to_string).unwrap_or_default()
        };
        for (at, (x, y)) in line.x.iter().zip(&line.y).enumerate() {
            let (low, high) = (edge(&line.low, at), edge(&line.high, at));
            let numbers = [&x.to_string(), &y.to_string(), &low, &high];
            out.write_record(
                [&label, &runs, &metric, "line"].into_iter().chain(numbers.map(|n| n.as_str())),
            )?;
        }
        if let Some(raw) = &line.raw {
            for (x, y) in raw.x.iter().zip(&raw.y) {
                let (x, y) = (x.to_string(), y.to_string());
                out.write_record([&label, &runs, &metric, "logged", &x, &y, "", ""])?;
            }
        }
    }
    let bytes = out.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text that a spreadsheet would take for a formula gets a quote before it.
fn without_formula(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::dto::{ChartGroupKey, ChartRaw, ChartRuns};

    fn line(id: &str, y_index: u32) -> ChartLine {
        ChartLine {
            id: format!("{id}:{y_index}"),
            label: format!("=run {id}"),
            y_index,
            run_ids: vec![id.to_owned()],
            group: vec![],
            status: None,
            x: vec![0.0, 1.5],
            y: vec![1.0, f64::NAN],
            low: Some(vec![0.5, f64::NAN]),
            high: Some(vec![2.0, f64::NAN]),
            raw: Some(ChartRaw { x: vec![0.0], y: vec![f64::INFINITY] }),
            marks: vec![],
            points: 2,
            is_reduced: false,
            alignment: None,
            statistics: None,
        }
    }

    fn request(y: &[&str]) -> ChartRequest {
        ChartRequest {
            runs: ChartRuns::Ids { run_ids: vec![] },
            y: y.iter().map(ToString::to_string).collect(),
            x: ChartX::default(),
            x_range: None,
            x_log: false,
            columns: 100,
            smoothing: crate::charts::dto::ChartSmoothing::None,
            group_by: vec![],
            center: crate::charts::dto::ChartCenter::Mean,
            band: crate::charts::dto::ChartBand::None,
            ignore_outliers: false,
            statistics: false,
        }
    }

    fn series(lines: Vec<ChartLine>) -> ChartSeries {
        ChartSeries { lines, x_bounds: None, y_bounds: None, left_out: vec![], runs: 1 }
    }

    #[test]
    fn csv_has_every_drawn_point_and_no_formula() {
        let text = csv(&series(vec![line("a", 0)]), &request(&["loss"])).unwrap();
        assert_eq!(
            text,
            "line,runs,metric,points,step,value,low,high\n\
             '=run a,a,loss,line,0,1,0.5,2\n\
             '=run a,a,loss,line,1.5,NaN,,\n\
             '=run a,a,loss,logged,0,inf,,\n"
        );
    }

    #[test]
    fn no_two_runs_look_alike() {
        for (runs, metrics) in [(8, 1), (40, 1), (2, 3)] {
            let y = ["a", "b", "c"];
            let lines: Vec<ChartLine> = (0..metrics)
                .flat_map(|y_index| (0..runs).map(move |run| line(&format!("{run:032x}"), y_index)))
                .collect();
            let styles = styles(&lines, &request(&y[..metrics as usize]));
            let looks: std::collections::BTreeSet<_> =
                styles.iter().map(|style| (style.color % SERIES_COLORS, style.dash % 5)).collect();
            assert_eq!(looks.len(), lines.len(), "{runs} runs, {metrics} metrics");
        }
        // One run alone has the colour of the window.
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(styles(&[line(id, 0)], &request(&["a"]))[0].color, color_of_run(id));
        let mut grouped = request(&["a"]);
        grouped.group_by = vec![ChartGroupKey::Status];
        assert_eq!(styles(&[line(id, 0)], &grouped)[0], LineStyle::default());
    }

    #[test]
    fn files_are_named_by_their_title() {
        let picture = |title: &str| ChartPicture {
            width: 400,
            height: 300,
            theme: ChartTheme::Light,
            title: title.to_owned(),
            y_log: false,
            y_range: None,
        };
        let name = |y: &str, title| file_name(&request(&[y]), &picture(title), ChartFormat::Svg);
        assert_eq!(name("train/loss", ""), "train-loss.svg");
        assert_eq!(name("loss", "Übersicht: 2 Läufe"), "Übersicht-2-Läufe.svg");
        assert_eq!(name("../../x", ""), "x.svg");
        assert_eq!(name("///", ""), "chart.svg");
    }
}
