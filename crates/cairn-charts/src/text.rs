//! How wide texts are, without a font: the widths of Inter's letters.

/// Advance widths of the letters from space to `~`, thousandths of the size; Inter Regular.
const REGULAR: [u16; 95] = [
    281, 288, 466, 633, 642, 982, 644, 300, 365, 365, 501, 662, 288, 460, 288, 360, 631, 407, 610,
    618, 646, 593, 620, 566, 619, 620, 288, 302, 662, 662, 662, 511, 966, 690, 654, 730, 722, 601,
    590, 746, 743, 269, 571, 672, 565, 903, 753, 765, 639, 765, 644, 642, 646, 744, 690, 985, 682,
    679, 629, 365, 360, 365, 471, 456, 323, 562, 612, 571, 612, 583, 370, 613, 591, 242, 242, 549,
    242, 876, 591, 600, 612, 612, 376, 528, 327, 591, 562, 818, 546, 562, 552, 426, 333, 426, 662,
];

/// The width of a text of this size, in the unit of the size; exact for ASCII, near for other
/// letters. Semibold is about a fiftieth wider.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let thousandths: u32 = text.chars().map(|letter| u32::from(letter_width(letter))).sum();
    f64::from(thousandths) * size / 1_000.0
}

fn letter_width(letter: char) -> u16 {
    match letter {
        ' '..='~' => REGULAR[letter as usize - ' ' as usize],
        '…' => 800,
        // Joining marks stand over the letter before.
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' => 0,
        // Han, Kana, Hangul and pictures are as wide as high.
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 1_000,
        _ => 640,
    }
}

/// A text that is at most so wide: what does not fit is taken from its middle, since names of runs and
/// metrics differ at both ends.
pub(crate) fn shortened(text: &str, size: f64, most: f64) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text, size) <= most {
        return text;
    }
    let letters: Vec<char> = text.chars().collect();
    let room = most - width("…", size);
    let (mut left, mut right) = (0, letters.len());
    let mut used = 0.0;
    while left < right {
        // In turns, the beginning first.
        let from_left = left <= letters.len() - right;
        let letter = if from_left { letters[left] } else { letters[right - 1] };
        used += f64::from(letter_width(letter)) * size / 1_000.0;
        if used > room {
            break;
        }
        if from_left { left += 1 } else { right -= 1 }
    }
    let start: String = letters[..left].iter().collect();
    let end: String = letters[right..].iter().collect();
    format!("{}…{}", start.trim_end(), end.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_sums_of_letters() {
        assert!((width("AV", 10.0) - 13.8).abs() < 1e-9);
        assert!(width("損失", 10.0) > 19.0);
        assert!(width("", 10.0).abs() < 1e-9);
    }

    #[test]
    fn long_names_lose_their_middle() {
        let name = "resnet50-imagenet-augmented-lr0.0003-seed17";
        let short = shortened(name, 12.0, 140.0);
        assert!(width(&short, 12.0) <= 140.0);
        assert!(short.starts_with("resnet50") && short.ends_with("seed17"), "{short}");
        assert_eq!(short.matches('…').count(), 1);
        assert_eq!(shortened("loss", 12.0, 140.0), "loss");
        assert_eq!(shortened("a\nb", 12.0, 140.0), "a b");
        assert_eq!(shortened("loss", 12.0, 1.0), "…");
    }
}
