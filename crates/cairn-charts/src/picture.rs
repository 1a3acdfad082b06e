//! From what a chart shows to an SVG document.

use std::fmt::Write as _;

use crate::canvas::{Align, Canvas, Drawn, Pen, Point, Rect, clipped, clipped_polygon, dashes};
use crate::scale::{PlotScale, short_number};
use crate::text::{shortened, width};
use crate::theme::Rgb;
use crate::{Bar, Body, Chart, ChartError, Curve, Dots, LineStyle, ParallelAxis, PlotAxis, Theme};

/// Sizes of letters, pixels.
const TITLE: f64 = 15.0;
const TEXT: f64 = 12.0;
const TICK: f64 = 11.0;
const MARGIN: f64 = 16.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 18.0;
/// Length of a line's sample in the legend.
const SAMPLE: f64 = 22.0;
/// The part of the height that a legend may take.
const LEGEND_PART: f64 = 0.34;
/// The smallest and the largest sizes of a picture.
const SIZES: [std::ops::RangeInclusive<u32>; 2] = [200..=8_000, 150..=8_000];

/// Draws a chart as one SVG document; the same chart always gives the same bytes.
///
/// Errors: [`ChartError::NoPoints`] if there is nothing to draw, [`ChartError::Size`] for sizes below
/// 200 × 150 and above 8,000 × 8,000.
pub fn picture_svg(chart: &Chart) -> Result<String, ChartError> {
    if !SIZES[0].contains(&chart.width) || !SIZES[1].contains(&chart.height) {
        return Err(ChartError::Size { width: chart.width, height: chart.height });
    }
    if is_empty(&chart.body) {
        return Err(ChartError::NoPoints { title: chart.title.clone() });
    }
    let mut drawn = String::new();
    draw(chart, &mut drawn)
        .map_err(|reason| ChartError::Drawing { title: chart.title.clone(), reason })?;
    Ok(with_head(&drawn, chart))
}

fn is_empty(body: &Body) -> bool {
    let no_point = |x: &PlotAxis, y: &PlotAxis, points: &[Point]| {
        let has = |axis: &PlotAxis, value: f64| value.is_finite() && (!axis.is_log || value > 0.0);
        !points.iter().any(|point| has(x, point.0) && has(y, point.1))
    };
    match body {
        Body::Lines { x, y, curves } => {
            curves.iter().all(|curve| no_point(x, y, &curve.points) && no_point(x, y, &curve.ghost))
        }
        Body::Scatter { x, y, groups } => groups.iter().all(|group| no_point(x, y, &group.points)),
        Body::Bars { bars, .. } => !bars.iter().any(|bar| bar.value.is_finite()),
        Body::Boxes { boxes, .. } => {
            !boxes.iter().any(|(_, values)| values.iter().any(|v| v.is_finite()))
        }
        Body::Histogram { groups, .. } => {
            !groups.iter().any(|(_, values)| values.iter().any(|v| v.is_finite()))
        }
        Body::HeatMap { values, columns, rows, .. } => {
            columns.is_empty() || rows.is_empty() || !values.iter().any(|v| v.is_finite())
        }
        Body::Parallel { axes, lines, .. } => axes.len() < 2 || lines.is_empty(),
    }
}

/// Plotters' head, with the size in pixels, the role and the names that it has no words for.
fn with_head(drawn: &str, chart: &Chart) -> String {
    let body = drawn.split_once('>').map_or("", |(_, body)| body);
    let title = escaped(&chart.title);
    let (width, height) = (chart.width, chart.height);
    let mut head = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width}0 {height}0\" \
         xmlns=\"http://www.w3.org/2000/svg\" stroke-linejoin=\"round\" role=\"img\" \
         aria-label=\"{title}\">\n<title>{title}</title>\n"
    );
    if !chart.description.is_empty() {
        let _ = writeln!(head, "<desc>{}</desc>", escaped(&chart.description));
    }
    head + body.trim_start()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, letter| {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What XML has no letter for.
            c if c.is_control() => out.push(' '),
            other => out.push(other),
        }
        out
    })
}

fn draw(chart: &Chart, into: &mut String) -> Drawn {
    let canvas = Canvas::new(into, chart.width, chart.height);
    let pad = Pad { canvas: &canvas, theme: chart.theme };
    let whole = Rect {
        left: 0.0,
        top: 0.0,
        right: f64::from(chart.width),
        bottom: f64::from(chart.height),
    };
    canvas.rect(whole, chart.theme.surface(), 1.0)?;
    let mut inside = Rect {
        left: MARGIN,
        top: MARGIN,
        right: whole.right - MARGIN,
        bottom: whole.bottom - MARGIN,
    };
    if !chart.title.is_empty() {
        let title = shortened(&chart.title, TITLE * 1.03, inside.width());
        let at = (inside.left, inside.top + TITLE * 0.8);
        canvas.text(&title, at, TITLE, chart.theme.text(), Align::Left, true)?;
        inside.top += TITLE + 11.0;
    }
    match &chart.body {
        Body::Lines { x, y, curves } => {
            // What the title says is not said again.
            let is_said = y.name == chart.title;
            let y = if is_said { &PlotAxis { name: String::new(), ..y.clone() } } else { y };
            pad.lines(inside, x, y, curves)?;
        }
        Body::Scatter { x, y, groups } => pad.scatter(inside, x, y, groups)?,
        Body::Bars { value, bars } => pad.bars(inside, value, bars)?,
        Body::Boxes { value, boxes } => pad.boxes(inside, value, boxes)?,
        Body::Histogram { value, groups, columns } => {
            pad.histogram(inside, value, groups, *columns)?;
        }
        Body::HeatMap { name, columns, rows, values, range } => {
            pad.heat_map(inside, name, [columns, rows], values, *range)?;
        }
        Body::Parallel { axes, lines, color_by } => pad.parallel(inside, axes, lines, *color_by)?,
    }
    canvas.finish()
}

/// What stands before a name in a legend.
#[derive(Clone, Copy)]
enum Sample {
    Line(LineStyle),
    Shape(usize),
    Block(usize),
    /// What stands where a value is not finite.
    Mark(f64),
}

struct Pad<'a, 'b> {
    canvas: &'a Canvas<'b>,
    theme: Theme,
}

/// An area with its two axes.
struct Plane {
    area: Rect,
    x: PlotScale,
    y: PlotScale,
}

impl Plane {
    fn place(&self, (x, y): Point) -> Option<Point> {
        (self.x.has(x) && self.y.has(y)).then(|| {
            let limit = 1e7;
            (
                (self.area.left + self.x.share(x) * self.area.width()).clamp(-limit, limit),
                (self.area.bottom - self.y.share(y) * self.area.height()).clamp(-limit, limit),
            )
        })
    }

    /// Points between gaps.
    fn unbroken(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let placed: Vec<Option<Point>> = points.iter().map(|point| self.place(*point)).collect();
        placed
            .split(|point| point.is_none())
            .filter(|part| !part.is_empty())
            .map(|part| part.iter().flatten().copied().collect())
            .collect()
    }
}

impl Pad<'_, '_> {
    /// Draws the legend at the bottom; answers what is left above it.
    fn legend(&self, inside: Rect, entries: &[(String, Sample)]) -> Result<Rect, String> {
        if entries.is_empty() {
            return Ok(inside);
        }
        let gap = 18.0;
        let longest = entries.iter().map(|entry| width(&entry.0, TEXT)).fold(0.0, f64::max);
        let most = (inside.width() - SAMPLE - 6.0).min(280.0);
        let column = SAMPLE + 6.0 + longest.min(most) + gap;
        let columns = (((inside.width() + gap) / column) as usize).clamp(1, entries.len());
        let column = (inside.width() + gap) / columns as f64;
        let rows = ((inside.height() * LEGEND_PART / LEGEND_LINE) as usize).max(1);
        let needed = entries.len().div_ceil(columns).min(rows);
        let mut shown = entries.len();
        let mut more = String::new();
        if needed * columns < entries.len() {
            shown = needed * columns - 1;
            more = format!("and {} more", entries.len() - shown);
        }
        let top = inside.bottom - needed as f64 * LEGEND_LINE + 4.0;
        let faint = self.theme.faint_text();
        for (at, (name, sample)) in entries[..shown].iter().enumerate() {
            // Down the columns, so that neighbours in order are neighbours to the eye.
            let filled = shown + usize::from(!more.is_empty());
            let per_column = filled.div_ceil(columns);
            let left = inside.left + (at / per_column) as f64 * column;
            let middle = top + ((at % per_column) as f64 + 0.5) * LEGEND_LINE;
            let indent = SAMPLE + 6.0;
            match sample {
                Sample::Line(style) => {
                    let pen = Pen::new(self.theme.series(style.color), 2.0);
                    for part in dashes(&[(left, middle), (left + SAMPLE, middle)], style.dash) {
                        self.canvas.line(&part, pen)?;
                    }
                }
                Sample::Shape(color) => self.shape((left + SAMPLE / 2.0, middle), *color, 1.0)?,
                Sample::Block(color) => {
                    let block = Rect {
                        left: left + 6.0,
                        top: middle - 5.0,
                        right: left + 16.0,
                        bottom: middle + 5.0,
                    };
                    self.canvas.rect(block, self.theme.series(*color), 1.0)?;
                }
                Sample::Mark(value) => {
                    self.mark((left + SAMPLE / 2.0, middle), *value, faint)?;
                }
            }
            let room = column - gap - indent;
            let is_remark = matches!(sample, Sample::Mark(_));
            let color = if is_remark { faint } else { self.theme.text() };
            let name = shortened(name, TEXT, room);
            let at = (left + indent, middle + TEXT * 0.36);
            self.canvas.text(&name, at, TEXT, color, Align::Left, false)?;
        }
        if !more.is_empty() {
            let per_column = (shown + 1).div_ceil(columns);
            let left = inside.left + (shown / per_column) as f64 * column;
            let middle = top + ((shown % per_column) as f64 + 0.5) * LEGEND_LINE;
            let at = (left + SAMPLE + 6.0, middle + TEXT * 0.36);
            self.canvas.text(&more, at, TEXT, faint, Align::Left, false)?;
        }
        Ok(Rect { bottom: top - 8.0, ..inside })
    }

    /// Draws two axes with their grid and names; answers the area between them.
    fn axes(
        &self,
        inside: Rect,
        x: PlotScale,
        y: PlotScale,
        names: [&str; 2],
    ) -> Result<Plane, String> {
        let mut area = inside;
        if !names[1].is_empty() {
            let name = shortened(names[1], TEXT, area.width());
            let at = (area.left, area.top + TEXT * 0.8);
            self.canvas.text(&name, at, TEXT, self.theme.text(), Align::Left, false)?;
            area.top += TEXT + 9.0;
        }
        area.bottom -= TICK + 9.0;
        if !names[0].is_empty() {
            area.bottom -= TEXT + 6.0;
        }
        let y_ticks = y.ticks(((area.height() / 48.0) as usize).clamp(2, 10));
        let widest = y_ticks.iter().map(|tick| width(&tick.1, TICK)).fold(0.0, f64::max);
        area.left += widest + 8.0;
        let plane = Plane { area, x, y };
        let grid = Pen::new(self.theme.grid(), 1.0);
        let faint = self.theme.faint_text();
        for (value, label) in &y_ticks {
            let height = area.bottom - plane.y.share(*value) * area.height();
            if height < area.top - 0.5 || height > area.bottom + 0.5 {
                continue;
            }
            self.canvas.line(&[(area.left, height), (area.right, height)], grid)?;
            let at = (area.left - 8.0, height + TICK * 0.36);
            self.canvas.text(label, at, TICK, faint, Align::Right, false)?;
        }
        self.bottom_axis(&plane.x, area, inside.right + MARGIN - 4.0)?;
        if !names[0].is_empty() {
            let name = shortened(names[0], TEXT, area.width());
            let at = (f64::midpoint(area.left, area.right), area.bottom + TICK + TEXT + 13.0);
            self.canvas.text(&name, at, TEXT, self.theme.text(), Align::Middle, false)?;
        }
        Ok(plane)
    }

    /// The axis at the bottom of an area, with its grid: as many marks as their labels leave room for,
    /// none of which is written beyond `edge`.
    fn bottom_axis(&self, scale: &PlotScale, area: Rect, edge: f64) -> Drawn {
        let mut wanted = ((area.width() / 90.0) as usize).clamp(2, 12);
        let mut ticks = scale.ticks(wanted);
        let needs = |ticks: &[(f64, String)]| -> f64 {
            ticks.iter().map(|tick| width(&tick.1, TICK) + 14.0).sum()
        };
        while needs(&ticks) > area.width() && wanted > 2 {
            wanted -= 1;
            ticks = scale.ticks(wanted);
        }
        let grid = Pen::new(self.theme.grid(), 1.0);
        let mut last_end = f64::NEG_INFINITY;
        for (value, label) in &ticks {
            let x = area.left + scale.share(*value) * area.width();
            if x < area.left - 0.5 || x > area.right + 0.5 {
                continue;
            }
            self.canvas.line(&[(x, area.top), (x, area.bottom)], grid)?;
            let half = width(label, TICK) / 2.0;
            // A label at the edge moves inside, and one that would touch its neighbour is left out.
            let middle = x.min(edge - half).max(4.0 + half);
            if middle - half < last_end + 6.0 {
                continue;
            }
            last_end = middle + half;
            let at = (middle, area.bottom + TICK + 6.0);
            self.canvas.text(label, at, TICK, self.theme.faint_text(), Align::Middle, false)?;
        }
        let axis = Pen::new(self.theme.axis(), 1.0);
        self.canvas.line(&[(area.left, area.bottom), (area.right, area.bottom)], axis)
    }

    fn lines(&self, inside: Rect, x: &PlotAxis, y: &PlotAxis, curves: &[Curve]) -> Drawn {
        let named = curves.iter().filter(|curve| !curve.name.is_empty());
        let mut entries: Vec<(String, Sample)> =
            named.map(|curve| (curve.name.clone(), Sample::Line(curve.style))).collect();
        let marks = |is: fn(f64) -> bool| {
            curves.iter().any(|curve| curve.marks.iter().any(|mark| is(mark.1)))
        };
        let kinds = [
            (marks(f64::is_nan), f64::NAN, "NaN"),
            (marks(|value| value == f64::INFINITY), f64::INFINITY, "infinite"),
            (marks(|value| value == f64::NEG_INFINITY), f64::NEG_INFINITY, "minus infinite"),
        ];
        for (_, value, name) in kinds.into_iter().filter(|kind| kind.0) {
            entries.push((name.to_owned(), Sample::Mark(value)));
        }
        let inside = self.legend(inside, &entries)?;
        let drawn = || {
            curves.iter().flat_map(|curve| {
                let edges = curve.band.iter().flat_map(|at| [(at.0, at.1), (at.0, at.2)]);
                curve.points.iter().chain(&curve.ghost).copied().chain(edges)
            })
        };
        let x_scale = PlotScale::new(x, extent(x, drawn().map(|point| point.0)), false);
        // Only what lies in the range of x decides about y.
        let shown = drawn().filter(|point| (x_scale.from..=x_scale.to).contains(&point.0));
        let y_scale = PlotScale::new(y, extent(y, shown.map(|point| point.1)), true);
        let plane = self.axes(inside, x_scale, y_scale, [&x.name, &y.name])?;
        for curve in curves.iter().rev() {
            let color = self.theme.series(curve.style.color);
            self.band(&plane, curve)?;
            for part in plane.unbroken(&curve.ghost) {
                for part in clipped(&part, plane.area) {
                    self.canvas.line(&part, Pen { color, width: 1.0, alpha: 0.28 })?;
                }
            }
        }
        for curve in curves.iter().rev() {
            self.curve(&plane, curve)?;
        }
        for curve in curves {
            self.marks(&plane, curve)?;
        }
        Ok(())
    }

    fn curve(&self, plane: &Plane, curve: &Curve) -> Drawn {
        let color = self.theme.series(curve.style.color);
        let has_room = curve.points.len() as f64 * 14.0 <= plane.area.width();
        for part in plane.unbroken(&curve.points) {
            for visible in clipped(&part, plane.area) {
                for dash in dashes(&visible, curve.style.dash) {
                    self.canvas.line(&dash, Pen::new(color, 1.6))?;
                }
            }
            // A point without neighbours has no line, and where there is room each point is seen.
            if part.len() == 1 || has_room {
                for point in part.iter().filter(|point| holds(plane.area, **point)) {
                    self.canvas.dot(*point, 2.4, color, 1.0)?;
                }
            }
        }
        Ok(())
    }

    fn band(&self, plane: &Plane, curve: &Curve) -> Drawn {
        let color = self.theme.series(curve.style.color);
        let edges: Vec<Option<(Point, Point)>> = curve
            .band
            .iter()
            .map(|(x, low, high)| {
                // A lower edge without a place on a logarithmic axis lies at its beginning.
                let low = if plane.y.is_log && *low <= 0.0 { plane.y.from } else { *low };
                plane.place((*x, low)).zip(plane.place((*x, *high)))
            })
            .collect();
        for part in edges.split(|edge| edge.is_none()).filter(|part| part.len() > 1) {
            let low = part.iter().flatten().map(|edge| edge.0);
            let high = part.iter().flatten().rev().map(|edge| edge.1);
            let outline: Vec<Point> = low.chain(high).collect();
            let outline = clipped_polygon(&outline, plane.area);
            if outline.len() > 2 {
                self.canvas.polygon(&outline, color, 0.18)?;
            }
        }
        Ok(())
    }

    fn marks(&self, plane: &Plane, curve: &Curve) -> Drawn {
        let color = self.theme.series(curve.style.color);
        let mut last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (x, value) in &curve.marks {
            let at = plane.area.left + plane.x.share(*x) * plane.area.width();
            if !plane.x.has(*x) || at < plane.area.left - 0.5 || at > plane.area.right + 0.5 {
                continue;
            }
            // One after the other is one.
            let is_up = *value == f64::INFINITY;
            let before = if is_up { &mut last.0 } else { &mut last.1 };
            if at - *before < 3.0 {
                continue;
            }
            *before = at;
            let y = if is_up { plane.area.top + 5.0 } else { plane.area.bottom - 6.0 };
            self.mark((at, y), *value, color)?;
        }
        Ok(())
    }

    /// A cross for NaN, a triangle that points to where an infinity lies.
    fn mark(&self, (x, y): Point, value: f64, color: Rgb) -> Drawn {
        if value.is_nan() {
            let pen = Pen::new(color, 1.5);
            self.canvas.line(&[(x - 3.0, y - 3.0), (x + 3.0, y + 3.0)], pen)?;
            return self.canvas.line(&[(x - 3.0, y + 3.0), (x + 3.0, y - 3.0)], pen);
        }
        let up = if value > 0.0 { -1.0 } else { 1.0 };
        let triangle = [(x, y + 4.0 * up), (x - 4.0, y - 3.0 * up), (x + 4.0, y - 3.0 * up)];
        self.canvas.polygon(&triangle, color, 1.0)
    }

    /// A point of a kind: colours alone do not tell kinds apart.
    fn shape(&self, (x, y): Point, kind: usize, alpha: f64) -> Drawn {
        let color = self.theme.series(kind);
        match kind % 4 {
            0 => self.canvas.dot((x, y), 3.2, color, alpha),
            1 => {
                let corners = [(x, y - 4.0), (x - 3.8, y + 3.0), (x + 3.8, y + 3.0)];
                self.canvas.polygon(&corners, color, alpha)
            }
            2 => {
                let square = Rect { left: x - 2.9, top: y - 2.9, right: x + 2.9, bottom: y + 2.9 };
                self.canvas.rect(square, color, alpha)
            }
            _ => {
                let corners = [(x, y - 4.2), (x + 4.2, y), (x, y + 4.2), (x - 4.2, y)];
                self.canvas.polygon(&corners, color, alpha)
            }
        }
    }

    fn scatter(&self, inside: Rect, x: &PlotAxis, y: &PlotAxis, groups: &[Dots]) -> Drawn {
        let named = groups.iter().filter(|group| !group.name.is_empty());
        let entries: Vec<(String, Sample)> =
            named.map(|group| (group.name.clone(), Sample::Shape(group.color))).collect();
        let inside = self.legend(inside, &entries)?;
        let points = || groups.iter().flat_map(|group| &group.points);
        let has = |axis: &PlotAxis, value: f64| value.is_finite() && (!axis.is_log || value > 0.0);
        let both = || points().filter(|point| has(x, point.0) && has(y, point.1));
        let x_scale = with_room(x, extent(x, both().map(|point| point.0)));
        let y_scale = with_room(y, extent(y, both().map(|point| point.1)));
        let plane = self.axes(inside, x_scale, y_scale, [&x.name, &y.name])?;
        let alpha = if points().count() > 400 { 0.5 } else { 0.85 };
        for group in groups {
            for point in group.points.iter().filter_map(|point| plane.place(*point)) {
                if holds(plane.area, point) {
                    self.shape(point, group.color, alpha)?;
                }
            }
        }
        Ok(())
    }

    /// Rows with names at the left and a value axis at the bottom; answers the area and the height of a
    /// row.
    fn rows(
        &self,
        inside: Rect,
        names: &[&str],
        scale: &PlotScale,
        axis_name: &str,
    ) -> Result<(Rect, f64), String> {
        let mut area = inside;
        area.bottom -= TICK + 9.0;
        if !axis_name.is_empty() {
            area.bottom -= TEXT + 6.0;
        }
        let most = inside.width() * 0.35;
        let widest = names.iter().map(|name| width(name, TEXT)).fold(0.0, f64::max).min(most);
        area.left += widest + 10.0;
        self.bottom_axis(scale, area, inside.right + MARGIN - 4.0)?;
        let row = area.height() / names.len().max(1) as f64;
        // Names of rows that are too low for them stand at every so-manieth.
        let stride = (14.0 / row).ceil().max(1.0) as usize;
        for (at, name) in names.iter().enumerate().step_by(stride) {
            let middle = area.top + (at as f64 + 0.5) * row;
            let name = shortened(name, TEXT, most);
            let place = (area.left - 10.0, middle + TEXT * 0.36);
            self.canvas.text(&name, place, TEXT, self.theme.text(), Align::Right, false)?;
        }
        if !axis_name.is_empty() {
            let name = shortened(axis_name, TEXT, area.width());
            let at = (f64::midpoint(area.left, area.right), area.bottom + TICK + TEXT + 13.0);
            self.canvas.text(&name, at, TEXT, self.theme.text(), Align::Middle, false)?;
        }
        Ok((area, row))
    }

    fn bars(&self, inside: Rect, axis: &PlotAxis, bars: &[Bar]) -> Drawn {
        let ends = bars.iter().flat_map(|bar| {
            let interval = bar.interval.map(|(low, high)| [low, high]);
            [bar.value].into_iter().chain(interval.into_iter().flatten())
        });
        let mut found = extent(axis, ends);
        if !axis.is_log {
            // Bars begin at zero.
            found = found.map(|(least, most)| (least.min(0.0), most.max(0.0)));
        }
        let mut scale = PlotScale::new(axis, found, true);
        if !axis.is_log && axis.from.is_none() && found.is_some_and(|found| found.0 >= 0.0) {
            scale.from = 0.0;
        }
        let names: Vec<&str> = bars.iter().map(|bar| bar.name.as_str()).collect();
        let (area, row) = self.rows(inside, &names, &scale, &axis.name)?;
        let place = |value: f64| {
            (area.left + scale.share(value) * area.width()).clamp(area.left, area.right)
        };
        let zero = if axis.is_log { area.left } else { place(0.0) };
        for (at, bar) in bars.iter().enumerate().filter(|(_, bar)| scale.has(bar.value)) {
            let top = area.top + at as f64 * row + row * 0.18;
            let end = place(bar.value);
            let block =
                Rect { left: zero.min(end), top, right: zero.max(end), bottom: top + row * 0.64 };
            self.canvas.rect(block, self.theme.series(bar.color), 0.9)?;
            if let Some((low, high)) =
                bar.interval.filter(|(low, high)| scale.has(*low) && scale.has(*high))
            {
                let middle = top + row * 0.32;
                let pen = Pen::new(self.theme.text(), 1.2);
                let (low, high) = (place(low), place(high));
                self.canvas.line(&[(low, middle), (high, middle)], pen)?;
                let tick = (row * 0.14).min(5.0);
                for end in [low, high] {
                    self.canvas.line(&[(end, middle - tick), (end, middle + tick)], pen)?;
                }
            }
        }
        let axis = Pen::new(self.theme.axis(), 1.0);
        self.canvas.line(&[(zero, area.top), (zero, area.bottom)], axis)
    }

    fn boxes(&self, inside: Rect, axis: &PlotAxis, boxes: &[(String, Vec<f64>)]) -> Drawn {
        let found = extent(axis, boxes.iter().flat_map(|(_, values)| values.iter().copied()));
        let scale = with_room(axis, found);
        let names: Vec<&str> = boxes.iter().map(|(name, _)| name.as_str()).collect();
        let (area, row) = self.rows(inside, &names, &scale, &axis.name)?;
        let place = |value: f64| {
            (area.left + scale.share(value) * area.width()).clamp(area.left, area.right)
        };
        for (at, (_, values)) in boxes.iter().enumerate() {
            let mut values: Vec<f64> =
                values.iter().copied().filter(|value| scale.has(*value)).collect();
            values.sort_unstable_by(f64::total_cmp);
            let quartile = |part| cairn_core::series::quantile(&values, part);
            let (Some(low), Some(median), Some(high)) =
                (quartile(0.25), quartile(0.5), quartile(0.75))
            else {
                continue;
            };
            let reach = (high - low) * 1.5;
            let near =
                || values.iter().filter(|value| **value >= low - reach && **value <= high + reach);
            let least = near().next().copied().unwrap_or(low).min(low);
            let most = near().next_back().copied().unwrap_or(high).max(high);
            let middle = area.top + (at as f64 + 0.5) * row;
            let half = (row * 0.32).min(16.0);
            let color = self.theme.series(at);
            let pen = Pen::new(color, 1.4);
            for (from, to) in [(least, low), (high, most)] {
                self.canvas.line(&[(place(from), middle), (place(to), middle)], pen)?;
            }
            for end in [least, most] {
                let x = place(end);
                self.canvas.line(&[(x, middle - half / 2.0), (x, middle + half / 2.0)], pen)?;
            }
            let block = Rect {
                left: place(low),
                top: middle - half,
                right: place(high).max(place(low) + 1.0),
                bottom: middle + half,
            };
            self.canvas.rect(block, self.theme.surface(), 1.0)?;
            self.canvas.rect(block, color, 0.32)?;
            let x = place(median);
            self.canvas.line(&[(x, middle - half), (x, middle + half)], Pen::new(color, 2.4))?;
            for value in values.iter().filter(|value| **value < least || **value > most) {
                self.canvas.dot((place(*value), middle), 2.0, color, 0.8)?;
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        inside: Rect,
        axis: &PlotAxis,
        groups: &[(String, Vec<f64>)],
        columns: usize,
    ) -> Drawn {
        let named = groups.iter().enumerate().filter(|(_, group)| !group.0.is_empty());
        let entries: Vec<(String, Sample)> =
            named.map(|(at, group)| (group.0.clone(), Sample::Block(at))).collect();
        let inside = self.legend(inside, &entries)?;
        let values = groups.iter().flat_map(|(_, values)| values.iter().copied());
        let x = PlotScale::new(axis, extent(axis, values), false);
        let most = groups.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
        let columns = match columns {
            // As many as there are values in each, about.
            0 => ((most as f64).sqrt().ceil() as usize).clamp(5, 60),
            columns => columns.min(1_000),
        };
        let counts: Vec<Vec<usize>> = groups
            .iter()
            .map(|(_, values)| {
                let mut counts = vec![0; columns];
                for value in values.iter().filter(|value| x.has(**value)) {
                    let share = x.share(*value);
                    if (0.0..=1.0).contains(&share) {
                        counts[((share * columns as f64) as usize).min(columns - 1)] += 1;
                    }
                }
                counts
            })
            .collect();
        let highest = counts.iter().flatten().copied().max().unwrap_or_default().max(1);
        let upright = PlotAxis { name: "runs".to_owned(), from: Some(0.0), ..PlotAxis::default() };
        let y = PlotScale::new(&upright, Some((0.0, highest as f64 * 1.05)), false);
        let plane = self.axes(inside, x, y, [&axis.name, "count"])?;
        let column = plane.area.width() / columns as f64;
        let part = column / groups.len() as f64;
        for (group, counts) in counts.iter().enumerate() {
            for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let left = plane.area.left + at as f64 * column + group as f64 * part;
                let height = plane.y.share(*count as f64) * plane.area.height();
                let gap = (part * 0.06).min(1.0);
                let block = Rect {
                    left: left + gap,
                    top: plane.area.bottom - height,
                    right: left + part - gap,
                    bottom: plane.area.bottom,
                };
                self.canvas.rect(block, self.theme.series(group), 0.85)?;
            }
        }
        Ok(())
    }

    fn heat_map(
        &self,
        inside: Rect,
        name: &str,
        [columns, rows]: [&[String]; 2],
        values: &[f64],
        range: Option<(f64, f64)>,
    ) -> Drawn {
        let plain = PlotAxis::default();
        let (least, most) =
            range.or_else(|| extent(&plain, values.iter().copied())).unwrap_or((0.0, 1.0));
        let longest =
            |names: &[String]| names.iter().map(|name| width(name, TICK)).fold(0.0, f64::max);
        let mut area = inside;
        let names_width = longest(rows).min(inside.width() * 0.3);
        area.left += names_width + 8.0;
        area.right -= 84.0;
        area.bottom -= TICK + 10.0;
        let cell = (area.width() / columns.len() as f64, area.height() / rows.len() as f64);
        let faint = self.theme.faint_text();
        let stride = (13.0 / cell.1).ceil().max(1.0) as usize;
        for (at, row) in rows.iter().enumerate().step_by(stride) {
            let middle = area.top + (at as f64 + 0.5) * cell.1;
            let label = shortened(row, TICK, names_width);
            let place = (area.left - 8.0, middle + TICK * 0.36);
            self.canvas.text(&label, place, TICK, faint, Align::Right, false)?;
        }
        let stride = ((longest(columns).min(90.0) + 8.0) / cell.0).ceil().max(1.0) as usize;
        for (at, column) in columns.iter().enumerate().step_by(stride) {
            let middle = area.left + (at as f64 + 0.5) * cell.0;
            let label = shortened(column, TICK, cell.0 * stride as f64 - 6.0);
            let place = (middle, area.bottom + TICK + 6.0);
            self.canvas.text(&label, place, TICK, faint, Align::Middle, false)?;
        }
        let part = |value: f64| if most > least { (value - least) / (most - least) } else { 0.5 };
        let gap = if cell.0.min(cell.1) > 8.0 { 0.5 } else { 0.0 };
        for (at, value) in values.iter().take(columns.len() * rows.len()).enumerate() {
            let (row, column) = (at / columns.len(), at % columns.len());
            if !value.is_finite() {
                continue;
            }
            let left = area.left + column as f64 * cell.0;
            let top = area.top + row as f64 * cell.1;
            let block = Rect {
                left: left + gap,
                top: top + gap,
                right: left + cell.0 - gap,
                bottom: top + cell.1 - gap,
            };
            self.canvas.rect(block, self.theme.ramp(part(*value)), 1.0)?;
            let label = short_number(rounded(*value));
            if width(&label, TICK) + 6.0 < cell.0 && cell.1 > 16.0 {
                // The ground of the other theme's letters where the field is strong.
                let is_strong = part(*value) > 0.55;
                let color = if is_strong { self.theme.surface() } else { self.theme.text() };
                let middle = (left + cell.0 / 2.0, top + cell.1 / 2.0 + TICK * 0.36);
                self.canvas.text(&label, middle, TICK, color, Align::Middle, false)?;
            }
        }
        self.ramp(
            Rect { left: area.right + 16.0, right: area.right + 28.0, ..area },
            name,
            (least, most),
        )
    }

    /// What colours stand for: the smallest at the bottom.
    fn ramp(&self, bar: Rect, name: &str, (least, most): (f64, f64)) -> Drawn {
        let mut bar = bar;
        if !name.is_empty() {
            let name = shortened(name, TICK, 76.0);
            let at = (bar.left, bar.top + TICK * 0.8);
            self.canvas.text(&name, at, TICK, self.theme.text(), Align::Left, false)?;
            bar.top += TICK + 8.0;
        }
        let steps = 40;
        let height = bar.height() / f64::from(steps);
        for step in 0..steps {
            let bottom = bar.bottom - f64::from(step) * height;
            let block = Rect { top: (bottom - height - 0.7).max(bar.top), bottom, ..bar };
            self.canvas.rect(
                block,
                self.theme.ramp(f64::from(step) / f64::from(steps - 1)),
                1.0,
            )?;
        }
        for (value, y) in [(most, bar.top + TICK * 0.8), (least, bar.bottom)] {
            let at = (bar.right + 6.0, y);
            let label = short_number(value);
            self.canvas.text(&label, at, TICK, self.theme.faint_text(), Align::Left, false)?;
        }
        Ok(())
    }

    fn parallel(
        &self,
        inside: Rect,
        axes: &[ParallelAxis],
        lines: &[Vec<f64>],
        color_by: Option<usize>,
    ) -> Drawn {
        let mut area = inside;
        let color_axis = color_by.filter(|axis| *axis < axes.len());
        // Labels of the first and the last axis reach beyond them.
        area.left += 34.0;
        area.right -= if color_axis.is_some() { 130.0 } else { 54.0 };
        area.top += TEXT + 12.0;
        area.bottom -= 4.0;
        let gap = area.width() / (axes.len() - 1) as f64;
        let value = |line: &[f64], axis: usize| line.get(axis).copied().unwrap_or(f64::NAN);
        let scales: Vec<PlotScale> = axes
            .iter()
            .enumerate()
            .map(|(at, axis)| match axis {
                ParallelAxis::Numbers { is_log, .. } => {
                    let plain = PlotAxis { is_log: *is_log, ..PlotAxis::default() };
                    let found = extent(&plain, lines.iter().map(|line| value(line, at)));
                    PlotScale::new(&plain, found, false)
                }
                ParallelAxis::Categories { texts, .. } => {
                    let last = texts.len().saturating_sub(1) as f64;
                    let plain =
                        PlotAxis { from: Some(-0.5), to: Some(last + 0.5), ..PlotAxis::default() };
                    PlotScale::new(&plain, None, false)
                }
            })
            .collect();
        let alpha = (40.0 / lines.len() as f64).clamp(0.25, 0.85);
        for line in lines {
            let color = match color_axis.map(|axis| scales[axis].share(value(line, axis))) {
                Some(part) if part.is_nan() => self.theme.axis(),
                // The faintest colours are hard to see as lines.
                Some(part) => self.theme.ramp(0.2 + 0.8 * part),
                None => self.theme.series(0),
            };
            let places: Vec<Option<Point>> = scales
                .iter()
                .enumerate()
                .map(|(at, scale)| {
                    let value = value(line, at);
                    scale.has(value).then(|| {
                        let height = area.bottom - scale.share(value) * area.height();
                        (area.left + at as f64 * gap, height.clamp(area.top, area.bottom))
                    })
                })
                .collect();
            for part in places.split(|place| place.is_none()).filter(|part| part.len() > 1) {
                let part: Vec<Point> = part.iter().flatten().copied().collect();
                self.canvas.line(&part, Pen { color, width: 1.4, alpha })?;
            }
        }
        for (at, (axis, scale)) in axes.iter().zip(&scales).enumerate() {
            let x = area.left + at as f64 * gap;
            let pen = Pen::new(self.theme.axis(), 1.0);
            self.canvas.line(&[(x, area.top), (x, area.bottom)], pen)?;
            let (name, ticks) = match axis {
                ParallelAxis::Numbers { name, .. } => {
                    (name, scale.ticks(((area.height() / 50.0) as usize).clamp(2, 6)))
                }
                ParallelAxis::Categories { name, texts } => {
                    let stride =
                        (texts.len() as f64 * 13.0 / area.height()).ceil().max(1.0) as usize;
                    let places = texts.iter().enumerate().step_by(stride);
                    (name, places.map(|(at, text)| (at as f64, text.clone())).collect())
                }
            };
            let align = match at {
                0 => Align::Left,
                _ => Align::Middle,
            };
            let left = if at == 0 { inside.left } else { x };
            let name = shortened(name, TEXT, (gap - 10.0).max(40.0));
            let place = (left, area.top - 12.0);
            self.canvas.text(&name, place, TEXT, self.theme.text(), align, true)?;
            for (value, label) in ticks {
                let height = area.bottom - scale.share(value) * area.height();
                if height < area.top - 0.5 || height > area.bottom + 0.5 {
                    continue;
                }
                self.canvas.line(&[(x - 3.0, height), (x, height)], pen)?;
                let label = shortened(&label, TICK, (gap - 16.0).clamp(30.0, 110.0));
                // On the ground, since lines cross it.
                let ground = Rect {
                    left: x + 4.0,
                    top: height - 7.0,
                    right: x + 8.0 + width(&label, TICK),
                    bottom: height + 7.0,
                };
                self.canvas.rect(ground, self.theme.surface(), 0.72)?;
                let place = (x + 6.0, height + TICK * 0.36);
                self.canvas.text(
                    &label,
                    place,
                    TICK,
                    self.theme.faint_text(),
                    Align::Left,
                    false,
                )?;
            }
        }
        if let Some(axis) = color_axis
            && let ParallelAxis::Numbers { name, .. } = &axes[axis]
        {
            let bar = Rect { left: inside.right - 56.0, right: inside.right - 44.0, ..area };
            self.ramp(bar, name, (scales[axis].from, scales[axis].to))?;
        }
        Ok(())
    }
}

/// The smallest and the largest of the values that have a place on an axis.
fn extent(axis: &PlotAxis, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite() && (!axis.is_log || *value > 0.0)).fold(
        None,
        |found: Option<(f64, f64)>, value| {
            let (least, most) = found.unwrap_or((value, value));
            Some((least.min(value), most.max(value)))
        },
    )
}

/// An axis with room on both sides, so that no point lies on an edge.
fn with_room(axis: &PlotAxis, found: Option<(f64, f64)>) -> PlotScale {
    let widened = found.filter(|_| !axis.is_log).map(|(least, most)| {
        let room = (most - least) * 0.05;
        (least - room, most + room)
    });
    PlotScale::new(axis, widened.or(found), axis.is_log)
}

/// Three digits: more than a colour shows.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn holds(area: Rect, point: Point) -> bool {
    (area.left - 0.5..=area.right + 0.5).contains(&point.0)
        && (area.top - 0.5..=area.bottom + 0.5).contains(&point.1)
}
