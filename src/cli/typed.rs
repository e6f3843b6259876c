//! Values of options as people type them: a time, a number of tokens.
//! Must not know which command asks.

use jiff::Timestamp;

/// A moment.
///
/// # Errors
/// When it is none, as a time without its zone is.
pub fn time(text: &str) -> Result<Timestamp, &'static str> {
    text.parse()
        .map_err(|_| "want a time with its zone, such as 2026-12-01T00:00:00Z")
}

/// The `max_tokens` of a request: as in a body, one past 64 bits is just large. What is negative
/// is refused as 0 is.
///
/// # Errors
/// When it is no whole number.
pub fn max_tokens(text: &str) -> Result<u64, &'static str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("want a whole number, such as 1024");
    }
    if text.starts_with('-') {
        return Ok(0);
    }
    // Digits alone fail to fit for one reason only.
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_zone() {
        let noon: Timestamp = "2026-12-01T12:00:00Z".parse().expect("a time");
        for text in ["2026-12-01T12:00:00Z", "2026-12-01T13:00:00+01:00"] {
            assert_eq!(time(text), Ok(noon), "{text}");
        }
        for text in [
            "",
            "noon",
            "2026-12-01",
            "2026-12-01T12:00:00",
            "2027-02-29T00:00:00Z",
        ] {
            let want = "want a time with its zone, such as 2026-12-01T00:00:00Z";
            assert_eq!(time(text), Err(want), "{text}");
        }
    }

    #[test]
    fn a_number_of_tokens_is_never_too_large_and_none_below_0_counts() {
        for (text, read) in [
            ("1", 1),
            ("0", 0),
            ("-5", 0),
            ("18446744073709551615", u64::MAX),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(max_tokens(text), Ok(read), "{text}");
        }
        for text in ["", "-", "+5", "1.5", "1e3", "0x10", "many", " 5"] {
            let want = "want a whole number, such as 1024";
            assert_eq!(max_tokens(text), Err(want), "{text}");
        }
    }
}
