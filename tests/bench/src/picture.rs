//! The ratios as a picture: bars on a logarithmic scale, in SVG, for light and dark pages. It has a description for readers who cannot see
//! the picture.

use std::fmt::Write as _;

use crate::report::{Aim, Ratio, figure};

const WIDTH: f64 = 860.0;
/// The left and the right end of the area for bars.
const LEFT: f64 = 390.0;
const RIGHT: f64 = 790.0;
const TOP: f64 = 56.0;
const STEP: f64 = 26.0;
const BAR: f64 = 16.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}.title{font-size:15px;font-weight:600}\
.bar{fill:#4f0599}.line{stroke:#d1d9e0}.one{stroke:#59636e}.aim{stroke:#bc4c00;stroke-width:2.5}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.bar{fill:#a371f7}.line{stroke:#3d444d}.one{stroke:#9198a1}.aim{stroke:#f0883e}}";

/// The scale of the picture: converts values to positions.
struct Scale {
    /// Decimal logarithms of the smallest and the largest value.
    least: f64,
    decades: f64,
    /// The lower end of the bars.
    bottom: f64,
}

impl Scale {
    fn new(ratios: &[Ratio]) -> Scale {
        let all = || ratios.iter().map(Ratio::times).chain(ratios.iter().filter_map(aim));
        let least = all().fold(1.0, f64::min).max(0.01).log10();
        let decades = all().fold(10.0, f64::max).log10().ceil();
        Scale { least, decades, bottom: TOP + STEP * ratios.len() as f64 }
    }

    fn x(&self, times: f64) -> f64 {
        let Scale { least, decades, .. } = *self;
        LEFT + (RIGHT - LEFT) * (times.log10().max(least) - least) / (decades - least)
    }
}

/// Draws the ratios.
pub(crate) fn draw(ratios: &[Ratio]) -> String {
    let scale = Scale::new(ratios);
    let height = scale.bottom + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-labelledby=\"title desc\">\n<title id=\"title\">Cost of other programs relative to scw-agent</title>\n<desc id=\"desc\">{}</desc>\n\
         <style>{STYLE}</style>\n<text class=\"title\" x=\"12\" y=\"24\">Cost of other programs relative to scw-agent</text>\n\
         <text class=\"small\" x=\"12\" y=\"42\">longer is better for scw-agent; the scale is logarithmic</text>\n",
        words(ratios)
    );
    draw_marks(&mut svg, &scale);
    for (number, ratio) in ratios.iter().enumerate() {
        draw_bar(&mut svg, &scale, number, ratio);
    }
    let y = scale.bottom + 36.0;
    let _ = writeln!(
        svg,
        "<line class=\"aim\" x1=\"16\" x2=\"16\" y1=\"{:.1}\" y2=\"{y:.1}\"/>\n<text class=\"small\" x=\"24\" y=\"{:.1}\">what was aimed at</text>\n</svg>",
        y - 13.0,
        y - 3.0
    );
    svg
}

/// A vertical line with a figure for each power of ten.
fn draw_marks(svg: &mut String, scale: &Scale) {
    let marks: Vec<f64> = (-2..=8)
        .map(|exponent| 10_f64.powi(exponent))
        .filter(|mark| (scale.least..=scale.decades).contains(&mark.log10()))
        .collect();
    for mark in &marks {
        let class = if is_one(*mark) { "one" } else { "line" };
        draw_line(svg, class, scale.x(*mark), TOP - 6.0, scale.bottom + 2.0);
    }
    for mark in &marks {
        let text = if is_one(*mark) {
            "the same".to_owned()
        } else {
            format!("{}×", figure(*mark).trim_end_matches(".0"))
        };
        let _ = writeln!(
            svg,
            "<text class=\"small\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            scale.x(*mark),
            scale.bottom + 17.0
        );
    }
}

/// The row of one ratio: label, bar, mark of its aim, and figure.
fn draw_bar(svg: &mut String, scale: &Scale, number: usize, ratio: &Ratio) {
    let y = TOP + STEP * number as f64;
    let (one, times) = (scale.x(1.0), scale.x(ratio.times()));
    let (from, to) = (one.min(times), one.max(times));
    let middle = y + BAR / 2.0 + 4.5;
    let _ = writeln!(
        svg,
        "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>\n\
         <rect class=\"bar\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
        LEFT - 8.0,
        label(ratio),
        (to - from).max(1.0)
    );
    let mut end = to;
    if let Some(aim) = aim(ratio) {
        let at = scale.x(aim);
        draw_line(svg, "aim", at, y - 2.0, y + BAR + 2.0);
        end = end.max(at);
    }
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{middle:.1}\">{}×</text>", end + 7.0, figure(ratio.times()));
}

fn draw_line(svg: &mut String, class: &str, x: f64, top: f64, bottom: f64) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
    );
}

fn is_one(mark: f64) -> bool {
    (mark - 1.0).abs() < 1e-9
}

fn aim(ratio: &Ratio) -> Option<f64> {
    match ratio.aim {
        Some(Aim::Times(times)) => Some(times),
        _ => None,
    }
}

fn label(ratio: &Ratio) -> String {
    escaped(&format!("{}: {}", ratio.what, ratio.other))
}

/// The description of the picture in words.
fn words(ratios: &[Ratio]) -> String {
    let words: Vec<_> =
        ratios.iter().map(|ratio| format!("{}, {} times", label(ratio), figure(ratio.times()))).collect();
    format!("Bars: {}.", words.join("; "))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ratio_has_a_bar_and_a_description() {
        let ratio = |theirs, aim| Ratio { what: "time", other: "a & b", ours: 1.0, theirs, unit: "ms", aim };
        let svg = draw(&[ratio(10.0, Some(Aim::Times(100.0))), ratio(0.5, None)]);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("class=\"aim\"").count(), 2, "the mark, and the one in the legend");
        assert!(
            svg.contains(
                "<desc id=\"desc\">Bars: time: a &amp; b, 10.0 times; time: a &amp; b, 0.50 times.</desc>"
            ),
            "{svg}"
        );
        // The bar of a ratio below 1 begins further left than that of a larger one.
        let bars: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with("<rect"))
            .filter_map(|line| line.split('"').nth(3)?.parse().ok())
            .collect();
        assert!(bars[1] < bars[0], "{bars:?}");
    }
}
