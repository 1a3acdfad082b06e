//! Dates and durations as they are written in a filter.

use jiff::{Span, Timestamp, ToSpan as _, civil, tz::TimeZone};

use crate::time::UnixMillis;

/// The milliseconds since 1970 that a date covers: from the first up to and without the second.
pub(super) type Covered = (i64, i64);

/// What a date covers: a year (`2026`), month, day, minute, second, or an instant with a zone;
/// `today`, `yesterday` and `now`. Without a zone it is that of the context. `None` if it is no date.
pub(super) fn date(text: &str, now: UnixMillis, zone: &TimeZone) -> Option<Covered> {
    let text = text.trim();
    let today = || Some(Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone()).date());
    match text.to_ascii_lowercase().as_str() {
        "now" => return Some((now.0, now.0.saturating_add(1))),
        "today" => return covered(today()?.at(0, 0, 0, 0), 1.day(), zone),
        "yesterday" => return covered(today()?.yesterday().ok()?.at(0, 0, 0, 0), 1.day(), zone),
        _ => {}
    }
    // An instant: the offset is in the text.
    if let Ok(instant) = text.parse::<Timestamp>() {
        let from = instant.as_millisecond();
        return Some((from, from.saturating_add(if text.contains('.') { 1 } else { 1_000 })));
    }
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, Some(time.trim())),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<i16>().ok()).flatten()
    };
    let year = number(4)?;
    let month = number(2);
    let day_of_month = number(2);
    // What is left over is no part of a date.
    let written = 1 + usize::from(month.is_some()) + usize::from(day_of_month.is_some());
    if day.split('-').count() != written {
        return None;
    }
    let first = civil::Date::new(
        year,
        month.unwrap_or(1).try_into().ok()?,
        day_of_month.unwrap_or(1).try_into().ok()?,
    )
    .ok()?;
    let Some(time) = time else {
        let length = match (month, day_of_month) {
            (None, _) => 1.year(),
            (_, None) => 1.month(),
            _ => 1.day(),
        };
        return covered(first.at(0, 0, 0, 0), length, zone);
    };
    day_of_month?;
    let length = match time.matches(':').count() {
        1 => 1.minute(),
        2 if time.contains('.') => 1.millisecond(),
        2 => 1.second(),
        _ => return None,
    };
    covered(first.to_datetime(time.parse().ok()?), length, zone)
}

fn covered(from: civil::DateTime, length: Span, zone: &TimeZone) -> Option<Covered> {
    let until = from.checked_add(length).ok()?;
    let millis = |moment: civil::DateTime| {
        Some(zone.to_ambiguous_zoned(moment).compatible().ok()?.timestamp().as_millisecond())
    };
    Some((millis(from)?, millis(until)?))
}

/// The milliseconds of a duration such as `90s`, `1h30m` or `-7d`: whole or decimal numbers with the
/// units ms, s, m, h, d and w. `None` if it is none, or beyond what fits.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match rest[..letters].to_ascii_lowercase().as_str() {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            "w" => 604_800e3,
            _ => return None,
        };
        rest = &rest[letters..];
        total += number * unit;
    }
    // Far beyond any time that there is, and far below where an integer ends.
    (total <= 1e17).then_some((sign * total).round() as i64)
}

/// The moment that lies a duration before now, cut to where it still is the same for a while: to
/// whole minutes for an hour or more, to whole seconds for less. A list that is found by it can be
/// paged through.
pub(super) fn before(now: UnixMillis, duration: i64) -> i64 {
    const HOUR: i64 = 3_600_000;
    let grain = if duration.abs() >= HOUR { 60_000 } else { 1_000 };
    now.0.div_euclid(grain).saturating_mul(grain).saturating_sub(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_262_400_000); // 2026-11-21 12:00 UTC

    fn in_utc(text: &str) -> Option<(String, String)> {
        let (from, until) = date(text, NOW, &TimeZone::UTC)?;
        let show = |millis| Timestamp::from_millisecond(millis).unwrap().to_string();
        Some((show(from), show(until)))
    }

    #[test]
    fn a_date_covers_what_it_leaves_open() {
        let check = |text, from: &str, until: &str| {
            assert_eq!(in_utc(text), Some((from.to_owned(), until.to_owned())), "{text}");
        };
        check("2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
        check("2026-11-21", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        check(" 2026-11-21 09:30", "2026-11-21T09:30:00Z", "2026-11-21T09:31:00Z");
        check("2026-11-21T09:30:05", "2026-11-21T09:30:05Z", "2026-11-21T09:30:06Z");
        check("2026-11-21T09:30:05.25", "2026-11-21T09:30:05.25Z", "2026-11-21T09:30:05.251Z");
        check("2026-11-21T09:30:05+02:00", "2026-11-21T07:30:05Z", "2026-11-21T07:30:06Z");
        check("today", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        check("Yesterday", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
        for text in ["", "26", "2026-13", "2026-02-30", "2026-11-21 9", "2026-11-", "2026-1-1", "x"]
        {
            assert_eq!(in_utc(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_that_of_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let (from, until) = date("2026-11-21", NOW, &zone).unwrap();
        assert_eq!(Timestamp::from_millisecond(from).unwrap().to_string(), "2026-11-21T05:00:00Z");
        assert_eq!(until - from, 86_400_000);
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("1h30m"), Some(5_400_000));
        assert_eq!(duration("1.5H"), Some(5_400_000));
        assert_eq!(duration("-7d"), Some(-604_800_000));
        assert_eq!(duration("250ms"), Some(250));
        for text in ["", "-", "7", "d", "1y", "1h30", "1..5h", "99999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_before_now_holds_for_a_while() {
        assert_eq!(before(UnixMillis(NOW.0 + 59_999), 3_600_000), NOW.0 - 3_600_000);
        assert_eq!(before(UnixMillis(NOW.0 + 999), 1_000), NOW.0 - 1_000);
    }
}
