//! What a picture shows.

use crate::Theme;

/// A picture: its size, its colours, and what is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Stands above, and is the picture's name for a screen reader; may be empty.
    pub title: String,
    /// What it shows, for those who do not see it; may be empty.
    pub description: String,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Its colours.
    pub theme: Theme,
    /// What is drawn.
    pub body: Body,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Lines over two axes.
    Lines {
        /// From left to right.
        x: PlotAxis,
        /// From bottom to top.
        y: PlotAxis,
        /// In the order of the legend; the first is drawn last, above the others.
        curves: Vec<Curve>,
    },
    /// Points over two axes.
    Scatter {
        /// From left to right.
        x: PlotAxis,
        /// From bottom to top.
        y: PlotAxis,
        /// In the order of the legend.
        groups: Vec<Dots>,
    },
    /// Bars from zero to the right, one below the other.
    Bars {
        /// From left to right.
        value: PlotAxis,
        /// From top to bottom.
        bars: Vec<Bar>,
    },
    /// Boxes from the first to the third quartile, one below the other: the line in one is its median,
    /// whiskers reach to the outermost values within 1.5 times the box, points are those beyond.
    Boxes {
        /// From left to right.
        value: PlotAxis,
        /// From top to bottom: names, and values in any order.
        boxes: Vec<(String, Vec<f64>)>,
    },
    /// How many values lie where.
    Histogram {
        /// From left to right.
        value: PlotAxis,
        /// In the order of the legend: names and values. Their columns are the same.
        groups: Vec<(String, Vec<f64>)>,
        /// Columns; 0 chooses by the number of values.
        columns: usize,
    },
    /// Fields with colours for their values.
    HeatMap {
        /// What the values are.
        name: String,
        /// From left to right.
        columns: Vec<String>,
        /// From top to bottom.
        rows: Vec<String>,
        /// A row after the other; NaN is left empty.
        values: Vec<f64>,
        /// The ends of the colours; `None` for those of the values.
        range: Option<(f64, f64)>,
    },
    /// An upright axis for each quantity, and a line through all of them for each run.
    Parallel {
        /// From left to right.
        axes: Vec<ParallelAxis>,
        /// For each run a place on each axis: the value, or the number of the category; NaN where there is
        /// none, which leaves the line out between its neighbours.
        lines: Vec<Vec<f64>>,
        /// The axis by which lines are coloured; `None`: all the same.
        color_by: Option<usize>,
    },
}

/// An axis of a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlotAxis {
    /// What is measured along it; may be empty.
    pub name: String,
    /// Whether equal ratios are equally far apart. What is not above 0 is left out then.
    pub is_log: bool,
    /// Where it begins; `None` for what is drawn.
    pub from: Option<f64>,
    /// Where it ends.
    pub to: Option<f64>,
    /// What its numbers are.
    pub unit: Unit,
}

/// What the numbers of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Plain numbers.
    #[default]
    Number,
    /// Seconds that passed.
    Seconds,
    /// Milliseconds since 1970.
    Time {
        /// How far local time is ahead of that of Greenwich, in seconds.
        offset_seconds: i32,
    },
}

/// How a line is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineStyle {
    /// The number of its colour; they begin anew after [`crate::SERIES_COLORS`].
    pub color: usize,
    /// The number of its pattern: whole, dashes, dots, dashes and dots, long dashes; they begin anew.
    pub dash: usize,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// How it looks.
    pub style: LineStyle,
    /// Points (x, y), joined in this order. A point that is not finite is a gap.
    pub points: Vec<(f64, f64)>,
    /// The same as it was logged, drawn faint below; may be empty.
    pub ghost: Vec<(f64, f64)>,
    /// A band: x, lower and upper edge. One that is not finite is a gap.
    pub band: Vec<(f64, f64, f64)>,
    /// Places x of values that are not finite: NaN stands at the bottom as a cross, infinities as
    /// triangles at their end.
    pub marks: Vec<(f64, f64)>,
}

/// Points of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dots {
    /// Their name in the legend.
    pub name: String,
    /// The number of their colour and shape.
    pub color: usize,
    /// Points (x, y).
    pub points: Vec<(f64, f64)>,
}

/// A bar.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its value; NaN has no bar.
    pub value: f64,
    /// The ends of a line through its end, such as a deviation.
    pub interval: Option<(f64, f64)>,
    /// The number of its colour.
    pub color: usize,
}

/// An axis of parallel coordinates.
#[derive(Debug, Clone, PartialEq)]
pub enum ParallelAxis {
    /// Numbers.
    Numbers {
        /// What is measured.
        name: String,
        /// Whether equal ratios are equally far apart.
        is_log: bool,
    },
    /// One of some texts.
    Categories {
        /// What is told.
        name: String,
        /// The texts, from bottom to top.
        texts: Vec<String>,
    },
}
