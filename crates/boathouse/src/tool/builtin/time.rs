//! The time.

use std::time::{SystemTime, UNIX_EPOCH};

use boathouse_core::crew::Effect;
use boathouse_core::ids::Timestamp;

use super::Nothing;
use crate::tool::function::{FunctionTool, function};

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

pub(super) fn current_time() -> FunctionTool {
    function(
        "GetCurrentTime",
        "Tells the date, the weekday and the time, in UTC.",
        |_: Nothing, _| async move {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(told(i64::try_from(now.as_secs()).unwrap_or_default()))
        },
    )
    .effect(Effect::Read)
}

/// `Thursday, 1970-01-01 00:00:00 UTC`.
fn told(seconds: i64) -> String {
    // The first day of all was a Thursday, and the index is below 7.
    let weekday = WEEKDAYS[seconds.div_euclid(86_400).rem_euclid(7) as usize];
    let time = Timestamp(seconds * 1000).to_string();
    format!("{weekday}, {} UTC", time[..19].replacen('T', " ", 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::run;
    use super::*;

    #[test]
    fn the_weekday_fits_the_date() {
        assert_eq!(told(0), "Thursday, 1970-01-01 00:00:00 UTC");
        assert_eq!(told(951_782_400), "Tuesday, 2000-02-29 00:00:00 UTC");
        assert_eq!(told(1_767_225_599), "Wednesday, 2025-12-31 23:59:59 UTC");
    }

    #[tokio::test]
    async fn it_is_later_than_this_test() {
        let told = run("GetCurrentTime", json!({})).await.expect("it always works");
        let (_, time) = told.split_once(", ").expect("a weekday and a time");
        assert!(time > "2026" && time.ends_with(" UTC"), "{told}");
    }
}
