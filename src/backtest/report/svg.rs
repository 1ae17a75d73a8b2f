//! Plots drawn by hand: a frame with two axes, and marks in it.
//!
//! Colours come from the page's style sheet by class, so that a plot is right in light, dark and print.
//! Coordinates are those of the view box: the page scales it to the width there is.

use std::fmt::Write as _;

use super::scale::Scale;
use super::show::escaped;

/// Width of a plot's view box; letters of 12 are then readable on a phone and not large on a desk.
pub(super) const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// A plot that is being drawn.
pub(super) struct Plot {
    body: String,
    height: f64,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

/// A mark's ends and middle, for whiskers.
pub(super) struct Whisker {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) at: f64,
}

impl Plot {
    /// An empty frame.
    pub(super) fn new(x: Scale, y: Scale) -> Plot {
        let x = x.on(LEFT, WIDTH - RIGHT);
        let y = y.on(HEIGHT - BOTTOM, TOP);
        Plot { body: String::new(), height: HEIGHT, x, y }
    }

    /// A frame of that height whose axes lie where they are told.
    pub(super) fn of_height(height: f64, x: Scale, y: Scale) -> Plot {
        Plot { body: String::new(), height, x, y }
    }

    /// Ticks below, with lines up through the frame, and what the axis is of.
    pub(super) fn axis_x(&mut self, label: &str, show: impl Fn(f64) -> String) {
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        for tick in self.x.ticks() {
            let x = self.x.at(tick);
            self.grid(x, top, x, bottom);
            self.text(x, bottom + 16.0, "middle", "tick", &show(tick));
        }
        self.text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0, "middle", "label", label);
    }

    /// Ticks at the left, with lines across the frame, and what the axis is of.
    pub(super) fn axis_y(&mut self, label: &str, show: impl Fn(f64) -> String) {
        for tick in self.y.ticks() {
            let y = self.y.at(tick);
            self.grid(LEFT, y, WIDTH - RIGHT, y);
            self.text(LEFT - 6.0, y + 4.0, "end", "tick", &show(tick));
        }
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = write!(
            self.body,
            r#"<text class="label" text-anchor="middle" transform="translate(12 {middle:.1}) rotate(-90)">{}</text>"#,
            escaped(label)
        );
    }

    fn grid(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.rule("grid", x1, y1, x2, y2);
    }

    /// A straight line between two pixels.
    pub(super) fn rule(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// A line through values.
    pub(super) fn line(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let path = self.path(points);
        if !path.is_empty() {
            let _ = write!(self.body, r#"<path class="{class}" d="M{path}"/>"#);
        }
    }

    /// What lies between two lines of values, both from left to right.
    pub(super) fn band(&mut self, class: &str, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let around = low.iter().chain(high.iter().rev()).copied();
        let path = self.path(around);
        if !path.is_empty() {
            let _ = write!(self.body, r#"<path class="{class}" d="M{path}Z"/>"#);
        }
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let at = |(x, y): (f64, f64)| format!("{:.1} {:.1}", self.x.at(x), self.y.at(y));
        points.map(at).collect::<Vec<String>>().join("L")
    }

    /// A bar from the base of the y axis to a value, between two values of the x axis, less `inset`
    /// pixels on each side.
    pub(super) fn bar(
        &mut self,
        class: &str,
        (from, to): (f64, f64),
        inset: f64,
        value: f64,
        title: &str,
    ) {
        let (x1, x2) = (self.x.at(from) + inset, self.x.at(to) - inset);
        let (top, base) = (self.y.at(value), self.y.base());
        self.rect(class, (x1, top.min(base)), (x2 - x1, (base - top).abs()), title);
    }

    /// A rectangle of pixels.
    pub(super) fn rect(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}">{}</rect>"#,
            width.max(0.5),
            titled(title)
        );
    }

    /// A dot at a value.
    pub(super) fn dot(&mut self, class: &str, x: f64, y: f64, title: &str) {
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="4">{}</circle>"#,
            self.x.at(x),
            self.y.at(y),
            titled(title)
        );
    }

    /// An interval along the y axis.
    pub(super) fn whisker_y(&mut self, class: &str, whisker: &Whisker) {
        let x = self.x.at(whisker.at);
        let (low, high) = (self.y.at(whisker.low), self.y.at(whisker.high));
        self.rule(class, x, low, x, high);
        self.rule(class, x - 3.0, low, x + 3.0, low);
        self.rule(class, x - 3.0, high, x + 3.0, high);
    }

    /// An interval along the x axis.
    pub(super) fn whisker_x(&mut self, class: &str, whisker: &Whisker) {
        let y = self.y.at(whisker.at);
        let (low, high) = (self.x.at(whisker.low), self.x.at(whisker.high));
        self.rule(class, low, y, high, y);
        self.rule(class, low, y - 3.0, low, y + 3.0);
        self.rule(class, high, y - 3.0, high, y + 3.0);
    }

    /// Words at a pixel.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
        let _ = write!(
            self.body,
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{}</text>"#,
            escaped(words)
        );
    }

    /// The drawing; `label` says what it shows to who cannot see it.
    pub(super) fn drawn(self, label: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {WIDTH:.0} {:.0}" role="img" aria-label="{}">{}</svg>"#,
            self.height,
            escaped(label),
            self.body
        )
    }
}

fn titled(title: &str) -> String {
    match title {
        "" => String::new(),
        title => format!("<title>{}</title>", escaped(title)),
    }
}
