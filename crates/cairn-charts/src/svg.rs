//! Drawing: the only module that knows plotters.

use std::fmt::Write as _;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, Cross, DrawingArea, IntoDrawingArea as _,
    LineSeries, PathElement, SVGBackend, TriangleMarker,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, ShapeStyle, TRANSPARENT, TextStyle};

use crate::palette::{self, Pair};
use crate::ticks::{Marks, label};
use crate::{ChartError, LineChart, Scale, Series};

/// Width of the picture, in its own units; it scales to any size.
const WIDTH: u32 = 760;
/// Height without the legend.
const HEIGHT: u32 = 420;
/// Height of one line of the legend.
const LEGEND_LINE: u32 = 22;
/// Height of what stands above the legend.
const TITLE_HEIGHT: u32 = 40;
const LEFT: i32 = 16;
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Marks, Marks>>;
type Drawn = Result<(), String>;

/// Draws a chart as one SVG document.
///
/// The background is transparent. A single series has no legend: the axis says what it is.
///
/// Errors: see [`ChartError`].
pub fn svg(chart: &LineChart) -> Result<String, ChartError> {
    let (x, y) = marks(chart)?;
    let mut drawn = String::new();
    draw(chart, x, y, &mut drawn)
        .map_err(|reason| ChartError::Drawing { title: chart.title.clone(), reason })?;
    Ok(with_names(&drawn, chart))
}

/// The marks of both axes, from the points that have a place.
fn marks(chart: &LineChart) -> Result<(Marks, Marks), ChartError> {
    let mut ranges: Option<[(f64, f64); 2]> = None;
    for series in &chart.series {
        for point in &series.points {
            if !(point.0.is_finite() && point.1.is_finite()) {
                continue;
            }
            for (axis, value) in [(&chart.x, point.0), (&chart.y, point.1)] {
                if !axis.scale.has(value) {
                    return Err(ChartError::NotPositive {
                        series: series.name.clone(),
                        axis: axis.label.clone(),
                        value,
                    });
                }
            }
            let [x, y] = ranges.get_or_insert([(point.0, point.0), (point.1, point.1)]);
            *x = (x.0.min(point.0), x.1.max(point.0));
            *y = (y.0.min(point.1), y.1.max(point.1));
        }
    }
    let [x, y] = ranges.ok_or_else(|| ChartError::NoPoints { title: chart.title.clone() })?;
    Ok((Marks::new(chart.x.scale, x.0, x.1), Marks::new(chart.y.scale, y.0, y.1)))
}

fn draw(chart: &LineChart, x: Marks, y: Marks, into: &mut String) -> Drawn {
    let columns = legend_columns(chart);
    let lines = if columns == 0 { 0 } else { chart.series.len().div_ceil(columns) as u32 };
    let legend_height = lines * LEGEND_LINE;
    let root = SVGBackend::with_string(into, (WIDTH, HEIGHT + legend_height)).into_drawing_area();
    let (head, body) = root.split_vertically(TITLE_HEIGHT + legend_height);
    text(&head, &chart.title, (LEFT, 12), 20, palette::TEXT, HPos::Left)?;
    if let Some(width) = WIDTH.checked_div(columns as u32) {
        for (at, series) in chart.series.iter().enumerate() {
            let left = LEFT + (at % columns) as i32 * width as i32;
            let middle = TITLE_HEIGHT + (at / columns) as u32 * LEGEND_LINE + LEGEND_LINE / 2;
            legend_entry(&head, series, at, (left, middle as i32))?;
        }
    }
    let plane = draw_axes(&body, chart, x, y)?;
    draw_series(plane, chart)?;
    root.present().map_err(|error| error.to_string())
}

/// Entries beside each other in the legend: as many as the longest name leaves room for.
fn legend_columns(chart: &LineChart) -> usize {
    if chart.series.len() < 2 {
        return 0;
    }
    let longest = chart.series.iter().map(|series| series.name.chars().count()).max();
    // About seven units for each character of this size, and the sample of the line before it.
    let width = 60 + 7 * longest.unwrap_or_default();
    (WIDTH as usize / width.max(1)).clamp(1, 4)
}

fn legend_entry(area: &Area<'_>, series: &Series, at: usize, (left, middle): (i32, i32)) -> Drawn {
    let color = Pair::of_series(at).color();
    let line = PathElement::new(vec![(left, middle), (left + 28, middle)], color.stroke_width(2));
    area.draw(&line).map_err(|error| error.to_string())?;
    let sample = (left + 14, middle);
    match at % 3 {
        0 => area.draw(&Circle::new(sample, 4, color.filled())),
        1 => area.draw(&TriangleMarker::new(sample, 5, color.filled())),
        _ => area.draw(&Cross::new(sample, 4, color.stroke_width(2))),
    }
    .map_err(|error| error.to_string())?;
    text(area, &series.name, (left + 36, middle - 7), 15, palette::TEXT, HPos::Left)
}

fn draw_axes<'a, 'b>(
    area: &'a Area<'b>,
    chart: &LineChart,
    x: Marks,
    y: Marks,
) -> Result<Plane<'a, 'b>, String> {
    // What stands at the longest mark needs room.
    let longest = y.places.iter().map(|place| label(y.scale, *place).len()).max();
    let mut plane = ChartBuilder::on(area)
        .margin_right(24)
        .margin_top(28)
        .margin_left(8)
        .margin_bottom(4)
        .x_label_area_size(48)
        .y_label_area_size(16 + 9 * longest.unwrap_or_default() as i32)
        .build_cartesian_2d(x, y)
        .map_err(|error| error.to_string())?;
    plane
        .configure_mesh()
        .bold_line_style(palette::GRID.color())
        .light_line_style(TRANSPARENT)
        .axis_style(palette::AXIS.color())
        .label_style(style(14, palette::LABEL))
        .axis_desc_style(style(15, palette::TEXT))
        .x_desc(chart.x.label.as_str())
        .draw()
        .map_err(|error| error.to_string())?;
    // Read from left to right, above its axis.
    text(area, &chart.y.label, (LEFT, 2), 15, palette::TEXT, HPos::Left)?;
    Ok(plane)
}

fn draw_series(mut plane: Plane<'_, '_>, chart: &LineChart) -> Drawn {
    for (at, series) in chart.series.iter().enumerate() {
        let color = Pair::of_series(at).color();
        for line in unbroken(series, chart.x.scale, chart.y.scale) {
            let points = line.iter().copied();
            plane
                .draw_series(LineSeries::new(points, color.stroke_width(2)))
                .map_err(|error| error.to_string())?;
            let filled = ShapeStyle::from(&color).filled();
            match at % 3 {
                0 => plane.draw_series(line.iter().map(|at| Circle::new(*at, 4, filled))),
                1 => plane.draw_series(line.iter().map(|at| TriangleMarker::new(*at, 5, filled))),
                _ => plane
                    .draw_series(line.iter().map(|at| Cross::new(*at, 4, color.stroke_width(2)))),
            }
            .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// The parts of a series between its gaps, in places of the axes.
fn unbroken(series: &Series, x: Scale, y: Scale) -> Vec<Vec<(f64, f64)>> {
    series
        .points
        .split(|point| !(x.has(point.0) && y.has(point.1)))
        .filter(|part| !part.is_empty())
        .map(|part| part.iter().map(|point| (x.place(point.0), y.place(point.1))).collect())
        .collect()
}

/// An axis as plotters knows it, with values in the units of [`Scale::place`].
impl Ranged for Marks {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        let share = (place - self.from) / (self.to - self.from);
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.bold_points() == 0 { Vec::new() } else { self.places.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Marks {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        label(self.scale, *place)
    }
}

fn style(size: i32, color: Pair) -> TextStyle<'static> {
    let mut style = TextStyle::from((FONT, size).into_font());
    style.color = color.color().to_backend_color();
    style
}

fn text(area: &Area<'_>, words: &str, at: (i32, i32), size: i32, color: Pair, from: HPos) -> Drawn {
    let style = style(size, color).pos(Pos::new(from, VPos::Top));
    area.draw_text(words, &style, at).map_err(|error| error.to_string())
}

/// Adds to a drawn document what plotters has no words for: its role, name and description, and the
/// colours for dark backgrounds.
fn with_names(drawn: &str, chart: &LineChart) -> String {
    let (tag, rest) = drawn.split_once('>').unwrap_or((drawn, ""));
    let title = escaped(&chart.title);
    let mut head = format!("<title>{title}</title>\n");
    let mut attributes = format!(" role=\"img\" aria-label=\"{title}\"");
    if !chart.description.is_empty() {
        let description = escaped(&chart.description);
        let _ = writeln!(head, "<desc>{description}</desc>");
        let _ = write!(attributes, " aria-description=\"{description}\"");
    }
    let sheet = palette::style_sheet();
    format!("{tag}{attributes}>\n{head}<style>{sheet}</style>{rest}")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
