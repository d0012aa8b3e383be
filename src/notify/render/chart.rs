//! A line of values as a small picture (PNG): what a mail can show inline everywhere.

use crate::notify::report::Point;

/// Width and height in pixels.
const SIZE: (usize, usize) = (480, 96);
/// Drawn this many times larger and averaged down, so that lines are smooth.
const SCALE: usize = 3;
/// Room around the line, in pixels.
const MARGIN: f64 = 8.0;

type Colour = [u8; 3];
const PAPER: Colour = [255, 255, 255];
const GRID: Colour = [225, 225, 225];
const LINE: Colour = [58, 110, 165];
const GOOD: Colour = [47, 125, 79];
const BAD: Colour = [190, 50, 40];

/// Draws values, the newest on the right and marked; `None` when there is nothing to draw.
pub fn png(points: &[Point]) -> Option<Vec<u8>> {
    let newest = points.last()?;
    let mut canvas = Canvas::new();
    for share in [0.0, 0.5, 1.0] {
        let y = MARGIN + share * (f64::from(height()) - 2.0 * MARGIN);
        canvas.line((0.0, y), (f64::from(width()), y), 0.5, GRID);
    }
    let places = places(points);
    for pair in places.windows(2) {
        canvas.line(pair[0], pair[1], 1.0, LINE);
    }
    for (place, point) in places.iter().zip(points) {
        if point.is_bad {
            canvas.dot(*place, 3.0, BAD);
        }
    }
    if let (Some(place), false) = (places.last(), newest.is_bad) {
        canvas.dot(*place, 3.0, GOOD);
    }
    canvas.encode()
}

fn width() -> u32 {
    u32::try_from(SIZE.0).unwrap_or(u32::MAX)
}

fn height() -> u32 {
    u32::try_from(SIZE.1).unwrap_or(u32::MAX)
}

fn places(points: &[Point]) -> Vec<(f64, f64)> {
    let low = points.iter().map(|point| point.value).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.value).fold(f64::NEG_INFINITY, f64::max);
    let across = f64::from(width()) - 2.0 * MARGIN;
    let down = f64::from(height()) - 2.0 * MARGIN;
    let count = f64::from(u32::try_from(points.len().max(2) - 1).unwrap_or(u32::MAX));
    (0u32..)
        .zip(points)
        .map(|(index, point)| {
            let share = if high > low { (point.value - low) / (high - low) } else { 0.5 };
            (MARGIN + across * f64::from(index) / count, MARGIN + down * (1.0 - share))
        })
        .collect()
}

struct Canvas {
    pixels: Vec<Colour>,
}

impl Canvas {
    fn new() -> Canvas {
        Canvas { pixels: vec![PAPER; SIZE.0 * SIZE.1 * SCALE * SCALE] }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), radius: f64, colour: Colour) {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a line within a picture
        let steps = (length * 2.0).ceil().max(1.0) as u32;
        for step in 0..=steps {
            let share = f64::from(step) / f64::from(steps);
            self.dot((from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share), radius, colour);
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // pixels of a picture
    fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour) {
        let scale = SCALE as f64;
        let (x, y, radius) = (x * scale, y * scale, radius * scale);
        let (wide, high) = (SIZE.0 * SCALE, SIZE.1 * SCALE);
        let rows = (y - radius).floor().max(0.0) as usize..((y + radius).ceil() as usize + 1).min(high);
        for row in rows {
            let columns = (x - radius).floor().max(0.0) as usize..((x + radius).ceil() as usize + 1).min(wide);
            for column in columns {
                if (column as f64 - x).hypot(row as f64 - y) <= radius {
                    self.pixels[row * wide + column] = colour;
                }
            }
        }
    }

    /// Averages down and compresses.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(SIZE.0 * SIZE.1 * 3);
        for y in 0..SIZE.1 {
            for x in 0..SIZE.0 {
                for channel in 0..3 {
                    let mut sum = 0usize;
                    for row in 0..SCALE {
                        for column in 0..SCALE {
                            let at = (y * SCALE + row) * SIZE.0 * SCALE + x * SCALE + column;
                            sum += usize::from(self.pixels[at][channel]);
                        }
                    }
                    bytes.push(u8::try_from(sum / (SCALE * SCALE)).unwrap_or(u8::MAX));
                }
            }
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width(), height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Writing to memory cannot fail, nor do these sizes; a mail without its picture still has the numbers.
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&bytes).ok()?;
        writer.finish().ok()?;
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(points: &[Point]) -> Vec<u8> {
        let file = png(points).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (480, 96));
        pixels
    }

    fn pixel(pixels: &[u8], x: usize, y: usize) -> Colour {
        let at = (y * SIZE.0 + x) * 3;
        [pixels[at], pixels[at + 1], pixels[at + 2]]
    }

    #[test]
    fn the_newest_value_is_marked_and_bad_ones_are_red() {
        let point = |value, is_bad| Point { value, is_bad };
        let pixels = decoded(&[point(0.0, false), point(10.0, true), point(5.0, false)]);
        assert_eq!(pixel(&pixels, 240, 8), BAD, "the highest value, in the middle, at the top");
        assert_eq!(pixel(&pixels, 472, 48), GOOD);
        assert_eq!(pixel(&pixels, 8, 88), LINE, "the lowest value, on the left, at the bottom");
        assert_eq!(pixel(&pixels, 8, 30), PAPER);
    }

    #[test]
    fn one_value_and_equal_values_are_drawn_and_none_is_nothing() {
        let same = Point { value: 3.0, is_bad: false };
        assert_eq!(pixel(&decoded(&[same; 5]), 472, 48), GOOD);
        assert_eq!(pixel(&decoded(&[same]), 8, 48), GOOD);
        assert_eq!(png(&[]), None);
    }
}
