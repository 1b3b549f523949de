use futures_util::FutureExt;

use super::*;

/// Room for exactly ten frames of ten bytes.
fn outbox() -> Outbox {
    Outbox::new(10 * (10 + FRAME_OVERHEAD_BYTES), Budget::new(usize::MAX))
}

fn frame(n: usize) -> Utf8Bytes {
    format!("{n:010}").into()
}

fn all(outbox: &Outbox) -> Vec<Utf8Bytes> {
    match outbox.next(usize::MAX).now_or_never() {
        Some(Next::Frames(frames)) => frames,
        _ => Vec::new(),
    }
}

#[test]
fn frames_leave_in_the_order_they_came() {
    let outbox = outbox();
    for n in 0..5 {
        outbox.push(frame(n), Worth::Durable);
    }
    outbox.push_first(frame(9));
    assert_eq!(all(&outbox), [9, 0, 1, 2, 3, 4].map(frame));
    assert_eq!(outbox.next(1).now_or_never(), None);
}

#[test]
fn a_batch_is_bounded() {
    let outbox = outbox();
    for n in 0..5 {
        outbox.push(frame(n), Worth::Durable);
    }
    let two = 2 * (10 + FRAME_OVERHEAD_BYTES);
    assert_eq!(outbox.next(two).now_or_never(), Some(Next::Frames([0, 1].map(frame).to_vec())));
}

#[test]
fn what_is_not_durable_is_dropped_first() {
    let outbox = outbox();
    for n in 0..10 {
        outbox.push(frame(n), if n % 2 == 0 { Worth::Passing } else { Worth::Durable });
    }
    outbox.push(frame(10), Worth::Passing);
    outbox.push(frame(11), Worth::Durable);
    assert_eq!(outbox.closing(), None);
    assert_eq!(all(&outbox), [1, 3, 5, 7, 9, 11].map(frame));
}

#[test]
fn a_full_one_closes_the_socket() {
    let outbox = outbox();
    for n in 0..10 {
        outbox.push(frame(n), Worth::Durable);
    }
    outbox.push(frame(10), Worth::Passing);
    assert_eq!(outbox.closing(), None);
    outbox.push(frame(11), Worth::Durable);
    assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::SlowConsumer)));
    outbox.push(frame(12), Worth::Durable);
    assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::SlowConsumer)));
}

#[test]
fn what_was_queued_before_an_orderly_close_is_written() {
    let outbox = outbox();
    outbox.push(frame(0), Worth::Durable);
    outbox.close(Closing::Draining);
    outbox.close(Closing::TokenExpired);
    assert_eq!(outbox.next(1).now_or_never(), Some(Next::Frames(vec![frame(0)])));
    assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::Draining)));
}

#[tokio::test]
async fn what_was_asked_for_waits_for_room_instead_of_closing() {
    let outbox = outbox();
    for n in 0..9 {
        outbox.push(frame(n), Worth::Durable);
    }
    let waiting = outbox.push_when_room("x".repeat(5_000).into());
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(all(&outbox).len(), 9);
    assert!(waiting.as_mut().now_or_never().is_some());
    assert_eq!(all(&outbox).len(), 1);
    assert_eq!(outbox.closing(), None);
}

#[tokio::test]
async fn who_waits_for_room_of_a_closed_socket_is_let_go() {
    let outbox = outbox();
    outbox.push(frame(1), Worth::Durable);
    let waiting = outbox.push_when_room("x".repeat(5_000).into());
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    outbox.abandon();
    assert!(waiting.as_mut().now_or_never().is_some());
}

#[tokio::test]
async fn the_writer_is_woken() {
    let outbox = std::sync::Arc::new(outbox());
    let writer = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.next(1).await }
    });
    tokio::task::yield_now().await;
    outbox.push(frame(1), Worth::Durable);
    assert_eq!(writer.await.ok(), Some(Next::Frames(vec![frame(1)])));
}

#[test]
fn when_all_hold_too_much_each_may_hold_less() {
    let budget = Budget::new(1_000);
    let frame = || Utf8Bytes::from("x".repeat(500 - FRAME_OVERHEAD_BYTES));
    let (first, second) = (Outbox::new(1_600, budget.clone()), Outbox::new(1_600, budget.clone()));
    first.push(frame(), Worth::Durable);
    second.push(frame(), Worth::Durable);
    first.push(frame(), Worth::Durable);
    assert_eq!((budget.used(), first.closing(), second.closing()), (1_500, None, None));
    second.push(frame(), Worth::Durable);
    assert_eq!((budget.used(), second.closing()), (1_000, Some(Closing::SlowConsumer)));
    // There is room again.
    first.push(frame(), Worth::Durable);
    assert_eq!((budget.used(), first.closing()), (1_500, None));
    drop(first.next(usize::MAX).now_or_never());
    assert_eq!(budget.used(), 0);
    second.abandon();
    first.push(frame(), Worth::Durable);
    drop(first);
    assert_eq!(budget.used(), 0);
}
