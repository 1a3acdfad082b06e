//! Drawing in pixels and their parts, by plotters.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, DrawingArea, IntoDrawingArea as _, PathElement, Polygon, Rectangle, SVGBackend,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, FontTransform, IntoFont as _, RGBColor, ShapeStyle, TextStyle,
};

use crate::theme::Rgb;

/// Plotters knows whole numbers only: it is given tenths of pixels, and the document says so.
const PARTS: f64 = 10.0;
/// As the window writes.
pub(crate) const FONT: &str = "Inter Variable, Inter, system-ui, sans-serif";

/// A place, pixels from the left and from the top.
pub(crate) type Point = (f64, f64);
pub(crate) type Drawn = Result<(), String>;

/// Where a text begins, or what lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pen {
    pub color: Rgb,
    pub width: f64,
    pub alpha: f64,
}

impl Pen {
    pub fn new(color: Rgb, width: f64) -> Self {
        Self { color, width, alpha: 1.0 }
    }

    fn style(self) -> ShapeStyle {
        let width = (self.width * PARTS).round().max(1.0) as u32;
        color(self.color).mix(self.alpha).stroke_width(width)
    }
}

/// A rectangle; edges in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

pub(crate) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl<'a> Canvas<'a> {
    pub fn new(into: &'a mut String, width: u32, height: u32) -> Self {
        let size = ((f64::from(width) * PARTS) as u32, (f64::from(height) * PARTS) as u32);
        Self(SVGBackend::with_string(into, size).into_drawing_area())
    }

    pub fn line(&self, points: &[Point], pen: Pen) -> Drawn {
        let points: Vec<_> = points.iter().map(|point| place(*point)).collect();
        self.0.draw(&PathElement::new(points, pen.style())).map_err(|error| error.to_string())
    }

    pub fn polygon(&self, points: &[Point], fill: Rgb, alpha: f64) -> Drawn {
        let points: Vec<_> = points.iter().map(|point| place(*point)).collect();
        let style = color(fill).mix(alpha).filled();
        self.0.draw(&Polygon::new(points, style)).map_err(|error| error.to_string())
    }

    pub fn rect(&self, area: Rect, fill: Rgb, alpha: f64) -> Drawn {
        let corners = [place((area.left, area.top)), place((area.right, area.bottom))];
        let style = color(fill).mix(alpha).filled();
        self.0.draw(&Rectangle::new(corners, style)).map_err(|error| error.to_string())
    }

    pub fn dot(&self, middle: Point, radius: f64, fill: Rgb, alpha: f64) -> Drawn {
        let radius = (radius * PARTS).round() as i32;
        let style = color(fill).mix(alpha).filled();
        self.0.draw(&Circle::new(place(middle), radius, style)).map_err(|error| error.to_string())
    }

    /// Writes on a line whose letters stand at `place.1`.
    pub fn text(
        &self,
        words: &str,
        at: Point,
        size: f64,
        fill: Rgb,
        align: Align,
        is_bold: bool,
    ) -> Drawn {
        if words.is_empty() {
            return Ok(());
        }
        // Plotters divides sizes by 1.24, and puts the line 0.76 of the size below the top.
        let style = if is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FONT, size * PARTS * 1.24, style).into_font().transform(FontTransform::None);
        let mut style = TextStyle::from(font);
        style.color = color(fill).to_backend_color();
        let from = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = style.pos(Pos::new(from, VPos::Top));
        let top = place((at.0, at.1 - 0.76 * size));
        self.0.draw_text(words, &style, top).map_err(|error| error.to_string())
    }

    /// Ends the drawing.
    pub fn finish(self) -> Drawn {
        self.0.present().map_err(|error| error.to_string())
    }
}

fn place((x, y): Point) -> (i32, i32) {
    ((x * PARTS).round() as i32, (y * PARTS).round() as i32)
}

fn color((red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

/// The parts of a line that lie in an area.
pub(crate) fn clipped(points: &[Point], area: Rect) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let Some((from, to)) = clipped_segment(pair[0], pair[1], area) else { continue };
        match parts.last_mut().filter(|part| part.last() == Some(&from)) {
            Some(part) => part.push(to),
            None => parts.push(vec![from, to]),
        }
    }
    parts
}

/// Source: Liang and Barsky's clipping.
fn clipped_segment(from: Point, to: Point, area: Rect) -> Option<(Point, Point)> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (step, room) in [
        (-dx, from.0 - area.left),
        (dx, area.right - from.0),
        (-dy, from.1 - area.top),
        (dy, area.bottom - from.1),
    ] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            enter = enter.max(room / step);
        } else {
            leave = leave.min(room / step);
        }
    }
    if enter > leave {
        return None;
    }
    let at = |part: f64| (from.0 + dx * part, from.1 + dy * part);
    // Ends that lie inside stay as they are, so that parts can be joined.
    let start = if enter > 0.0 { at(enter) } else { from };
    let end = if leave < 1.0 { at(leave) } else { to };
    Some((start, end))
}

/// The part of a polygon that lies in an area. Source: Sutherland and Hodgman's clipping.
pub(crate) fn clipped_polygon(points: &[Point], area: Rect) -> Vec<Point> {
    // How far inside of each edge a point lies.
    let edges: [fn(Point, Rect) -> f64; 4] = [
        |point, area| point.0 - area.left,
        |point, area| area.right - point.0,
        |point, area| point.1 - area.top,
        |point, area| area.bottom - point.1,
    ];
    let mut points = points.to_vec();
    for inside_by in edges {
        let before = std::mem::take(&mut points);
        for (at, point) in before.iter().enumerate() {
            let next = before[(at + 1) % before.len()];
            let (here, there) = (inside_by(*point, area), inside_by(next, area));
            if here >= 0.0 {
                points.push(*point);
            }
            if (here < 0.0) != (there < 0.0) {
                let part = here / (here - there);
                points.push((
                    point.0 + (next.0 - point.0) * part,
                    point.1 + (next.1 - point.1) * part,
                ));
            }
        }
    }
    points
}

/// Patterns of lines: lengths that are drawn and left out in turns, pixels.
const PATTERNS: [&[f64]; 5] = [&[], &[6.0, 3.5], &[1.8, 2.6], &[8.0, 3.0, 1.8, 3.0], &[12.0, 4.0]];

/// The drawn parts of a line with a pattern.
pub(crate) fn dashes(points: &[Point], pattern: usize) -> Vec<Vec<Point>> {
    let pattern = PATTERNS[pattern % PATTERNS.len()];
    if pattern.is_empty() {
        return vec![points.to_vec()];
    }
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let (mut at, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        if part.is_empty() && at % 2 == 0 {
            part.push(from);
        }
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if at % 2 == 0 {
                    part.push(to);
                }
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            if at % 2 == 0 {
                part.push(from);
                parts.push(std::mem::take(&mut part));
            } else {
                part.push(from);
            }
            at = (at + 1) % pattern.len();
            left = pattern[at];
        }
    }
    if part.len() > 1 {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };

    #[test]
    fn lines_end_at_the_edges() {
        let line = [(-10.0, 5.0), (5.0, 5.0), (5.0, 30.0), (20.0, 30.0), (5.0, 0.0)];
        let parts = clipped(&line, AREA);
        assert_eq!(parts[0], [(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)]);
        assert_eq!((parts.len(), parts[1][0], parts[1][1]), (2, (10.0, 10.0), (5.0, 0.0)));
        assert!(clipped(&[(-5.0, -5.0), (-1.0, 20.0)], AREA).is_empty());
        assert!(clipped(&[(1.0, 1.0)], AREA).is_empty());
    }

    #[test]
    fn polygons_are_cut_at_the_edges() {
        let cut = clipped_polygon(&[(-5.0, 2.0), (20.0, 2.0), (20.0, 4.0), (-5.0, 4.0)], AREA);
        let mut corners: Vec<String> = cut.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        corners.sort();
        assert_eq!(corners, ["0.0,2.0", "0.0,4.0", "10.0,2.0", "10.0,4.0"]);
        assert!(clipped_polygon(&[(-5.0, -5.0), (-1.0, -5.0), (-1.0, -1.0)], AREA).is_empty());
    }

    #[test]
    fn a_pattern_goes_on_around_corners() {
        assert_eq!(dashes(&[(0.0, 0.0), (5.0, 0.0)], 0), [vec![(0.0, 0.0), (5.0, 0.0)]]);
        let parts = dashes(&[(0.0, 0.0), (4.0, 0.0), (4.0, 9.0)], 1);
        assert_eq!(parts[0], [(0.0, 0.0), (4.0, 0.0), (4.0, 2.0)]);
        assert_eq!(parts[1], [(4.0, 5.5), (4.0, 9.0)]);
        let drawn: f64 = dashes(&[(0.0, 0.0), (950.0, 0.0)], 1)
            .iter()
            .map(|part| part[part.len() - 1].0 - part[0].0)
            .sum();
        assert!((drawn - 600.0).abs() < 1e-6, "{drawn}");
    }
}
