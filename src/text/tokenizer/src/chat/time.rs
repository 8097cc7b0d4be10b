//! `strftime_now`: a point in time as text, in English as Python's default locale has it.

use super::error::{fail, Result};
use super::text::Writer;
use super::value::Value;

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAY: i64 = 86_400;

fn days_of_year(year: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if is_leap {
        366
    } else {
        365
    }
}

fn days_of_month(year: i64, month: usize) -> i64 {
    match month {
        1 => days_of_year(year) - 337,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

struct Date {
    year: i64,
    /// From 0, as the days are.
    month: usize,
    day: i64,
    day_of_year: i64,
    weekday: i64,
    second: i64,
}

// Years before 1970 and after 9999 are no times of this machine.
fn date_of(seconds: i64) -> Date {
    let seconds = seconds.clamp(0, 253_402_300_799);
    let (days, second) = (seconds / DAY, seconds % DAY);
    let (mut year, mut rest) = (1970, days);
    while rest >= days_of_year(year) {
        rest -= days_of_year(year);
        year += 1;
    }
    let (mut month, day_of_year) = (0, rest);
    while rest >= days_of_month(year, month) {
        rest -= days_of_month(year, month);
        month += 1;
    }
    Date { year, month, day: rest, day_of_year, weekday: (days + 4) % 7, second }
}

/// `seconds` of the local clock since 1970, after `format`.
pub fn formatted(format: &str, seconds: i64) -> Result<Value> {
    let date = date_of(seconds);
    let mut out = Writer::default();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        let mut kind = rest.chars().next().unwrap_or(' ');
        let unpadded = kind == '-';
        if unpadded {
            rest = &rest[1..];
            kind = rest.chars().next().unwrap_or(' ');
        }
        rest = rest.get(kind.len_utf8()..).unwrap_or_default();
        match part(&date, kind) {
            Some(text) if unpadded => {
                let short = text.trim_start_matches(['0', ' ']);
                out.push(if short.is_empty() { "0" } else { short })?;
            }
            Some(text) => out.push(&text)?,
            None => return fail(format!("strftime_now: '%{kind}' is not supported")),
        }
    }
    out.push(rest)?;
    out.into_value()
}

fn part(date: &Date, kind: char) -> Option<String> {
    let (hour, minute, second) = (date.second / 3600, date.second / 60 % 60, date.second % 60);
    let weekday = DAYS[date.weekday as usize];
    let month = MONTHS[date.month];
    let hour_of_12 = (hour + 11) % 12 + 1;
    let half = if hour < 12 { "AM" } else { "PM" };
    // The week's first day: Sunday for %U, Monday for %W.
    let week = |first: i64| (date.day_of_year + 7 - (date.weekday + 7 - first) % 7) / 7;
    Some(match kind {
        'Y' => date.year.to_string(),
        'y' => format!("{:02}", date.year % 100),
        'm' => format!("{:02}", date.month + 1),
        'B' => month.to_string(),
        'b' | 'h' => month[..3].to_string(),
        'd' => format!("{:02}", date.day + 1),
        'e' => format!("{:2}", date.day + 1),
        'j' => format!("{:03}", date.day_of_year + 1),
        'A' => weekday.to_string(),
        'a' => weekday[..3].to_string(),
        'w' => date.weekday.to_string(),
        'u' => ((date.weekday + 6) % 7 + 1).to_string(),
        'U' => format!("{:02}", week(0)),
        'W' => format!("{:02}", week(1)),
        'H' => format!("{hour:02}"),
        'I' => format!("{hour_of_12:02}"),
        'M' => format!("{minute:02}"),
        'S' => format!("{second:02}"),
        'f' => "000000".to_string(),
        'p' => half.to_string(),
        'D' | 'x' => {
            format!("{:02}/{:02}/{:02}", date.month + 1, date.day + 1, date.year % 100)
        }
        'F' => format!("{}-{:02}-{:02}", date.year, date.month + 1, date.day + 1),
        'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
        'R' => format!("{hour:02}:{minute:02}"),
        'c' => format!(
            "{} {} {:2} {hour:02}:{minute:02}:{second:02} {}",
            &weekday[..3],
            &month[..3],
            date.day + 1,
            date.year
        ),
        'z' | 'Z' => String::new(),
        'n' => "\n".to_string(),
        't' => "\t".to_string(),
        '%' => "%".to_string(),
        _ => return None,
    })
}
