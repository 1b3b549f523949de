#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;

fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// How long each of `count` that come at once waits, in milliseconds, or when it shall come back.
async fn storm(arrivals: &Arrivals, count: usize, patience_ms: u64) -> Vec<Result<u128, SentAway>> {
    let (began, deadline) = (Instant::now(), in_ms(patience_ms));
    join_all((0..count).map(async |_| arrivals.enter(deadline).await.map(|()| began.elapsed().as_millis()))).await
}

#[tokio::test(start_paused = true)]
async fn who_comes_at_its_time_waits_for_nothing() {
    let arrivals = Arrivals::new(100);
    for _ in 0..200 {
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(arrivals.enter(in_ms(1)).now_or_never(), Some(Ok(())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_comes_in_at_the_rate_and_in_order() {
    let arrivals = Arrivals::new(100);
    let waited: Vec<_> = storm(&arrivals, 300, 5_000).await.into_iter().map(Result::unwrap).collect();
    assert!(waited.is_sorted(), "first come, first in: {waited:?}");
    for second in 0..3 {
        let within = waited.iter().filter(|ms| (second * 1_000..(second + 1) * 1_000).contains(*ms)).count();
        assert!((95..=101).contains(&within), "{within} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_burst_is_made_up_for_after_a_pause() {
    let arrivals = Arrivals::new(100);
    tokio::time::advance(Duration::from_secs(60)).await;
    let waited = storm(&arrivals, 50, 5_000).await;
    let at_once = waited.iter().filter(|waited| **waited == Ok(0)).count();
    assert!((10..=12).contains(&at_once), "{at_once}");
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_sent_away_at_once_each_behind_the_one_before() {
    let arrivals = Arrivals::new(100);
    let began = Instant::now();
    let waited = storm(&arrivals, 1_000, 1_000).await;
    let took = began.elapsed();
    assert!(took <= Duration::from_millis(1_001), "nobody waits longer than it may: {took:?}");
    let away: Vec<_> = waited.into_iter().filter_map(Result::err).map(|away| away.reconnect).collect();
    assert!((890..=900).contains(&away.len()), "{}", away.len());
    assert!(away.is_sorted(), "the later, the longer: {away:?}");
    let ([first, _], [last, most]) = (away[0], away[away.len() - 1]);
    assert!((1_000..1_100).contains(&first), "after the queue that is there: {first}");
    assert!((9_900..=10_100).contains(&last), "after all who were sent away before: {last}");
    assert_eq!(most, last * 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_is_forgotten_in_time_and_never_for_longer_than_a_minute() {
    let arrivals = Arrivals::new(1);
    let _queue = arrivals.enter(in_ms(0)).await;
    let last = (0..500).map(|_| arrivals.enter(in_ms(0)).now_or_never().unwrap().unwrap_err()).last().unwrap();
    assert_eq!(last.reconnect, [60_000, 120_000]);
    tokio::time::advance(Duration::from_secs(58)).await;
    let _next = arrivals.enter(in_ms(0)).await;
    let later = arrivals.enter(in_ms(0)).now_or_never().unwrap().unwrap_err();
    assert!(later.reconnect[0] <= 3_000, "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_its_place_to_the_next() {
    let arrivals = Arc::new(Arrivals::new(10));
    let enter = || {
        let arrivals = arrivals.clone();
        tokio::spawn(async move { arrivals.enter(in_ms(1_000)).await })
    };
    let first: Vec<_> = (0..9).map(|_| enter()).collect();
    tokio::task::yield_now().await;
    assert!(arrivals.enter(in_ms(500)).now_or_never().unwrap().is_err(), "the queue is too long");
    first.iter().for_each(|waiting| waiting.abort());
    let began = Instant::now();
    for waiting in first {
        // Ended, one way or the other.
        let _ = waiting.await;
    }
    arrivals.enter(in_ms(500)).await.unwrap();
    assert!(began.elapsed() <= Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(arrivals.lock().waiting, 0);
}
