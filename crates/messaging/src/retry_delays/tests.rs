use std::time::Duration;

use proptest::prelude::*;

use super::RetryDelays;

#[test]
fn the_default_is_what_the_contract_says() {
    assert_eq!(RetryDelays::default().to_string(), "5s,30s,5m");
    assert_eq!(RetryDelays::default(), "5s, 30s ,5m".parse().unwrap());
}

#[test]
fn a_message_waits_the_first_delay_after_its_first_failure_and_none_after_the_last() {
    let delays = RetryDelays::default();
    let seconds = |attempts| delays.after(attempts).map(|delay| delay.as_secs());
    assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(seconds), [None, Some(5), Some(30), Some(300), None, None]);
}

#[test]
fn equal_delays_name_the_same_queue() {
    let names = |text: &str| -> Vec<_> {
        text.parse::<RetryDelays>().unwrap().iter().map(RetryDelays::queue_name).collect()
    };
    assert_eq!(names("60s,1m,60000ms"), ["pay.retry.1m"; 3]);
    assert_eq!(names("200ms,90s,24h"), ["pay.retry.200ms", "pay.retry.90s", "pay.retry.24h"]);
}

#[test]
fn what_is_no_list_of_delays_is_refused_by_name() {
    for wrong in
        ["", ",", "5", "s", "5 s", "-5s", "0s", "5d", "25h", "1s,", "99999999999999999999s", "1s,2s;3s"]
    {
        let error = wrong.parse::<RetryDelays>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{wrong:?}")), "{error}");
    }
    assert!(["1s"; 10].join(",").parse::<RetryDelays>().is_ok());
    assert!(["1s"; 11].join(",").parse::<RetryDelays>().is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(delays in proptest::collection::vec(1_u64..=86_400_000, 1..=10)) {
        let delays = RetryDelays(delays.into_iter().map(Duration::from_millis).collect());
        prop_assert_eq!(delays.to_string().parse::<RetryDelays>().unwrap(), delays);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        let _ = text.parse::<RetryDelays>();
    }
}
