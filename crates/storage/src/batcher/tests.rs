use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::sync::Semaphore;

use super::*;

fn options(writers: usize, max_batch: usize, capacity: usize) -> BatcherOptions {
    BatcherOptions {
        writers,
        max_batch,
        capacity,
        max_wait: Duration::from_secs(5),
        pace: Duration::ZERO..=Duration::ZERO,
        ..BatcherOptions::new("test")
    }
}

/// A batcher whose writers run.
fn start<I, O, H, F>(options: &BatcherOptions, handler: H) -> Batcher<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
    H: Fn(Vec<I>) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<O>> + Send + 'static,
{
    let (batcher, writers) = Batcher::new(options, handler);
    tokio::spawn(writers.run());
    batcher
}

/// A batcher that doubles its items, but takes no batch before the gate lets it, and tells the sizes of its batches.
fn gated(
    options: &BatcherOptions,
    gate: &Arc<Semaphore>,
) -> (Batcher<u32, u32>, mpsc::UnboundedReceiver<usize>) {
    let (sizes, seen) = mpsc::unbounded_channel();
    let gate = Arc::clone(gate);
    let batcher = start(options, move |items: Vec<u32>| {
        let (gate, sizes) = (Arc::clone(&gate), sizes.clone());
        async move {
            sizes.send(items.len()).expect("the test listens");
            gate.acquire().await.expect("never closed").forget();
            items.into_iter().map(|item| item * 2).collect()
        }
    });
    (batcher, seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_caller_gets_its_own_answer(items in 1_u32..300, writers in 1_usize..4, max_batch in 1_usize..40, capacity in 1_usize..20) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let largest = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&largest);
            let batcher = start(&options(writers, max_batch, capacity), move |items: Vec<u32>| {
                seen.fetch_max(items.len(), Ordering::SeqCst);
                async move {
                    tokio::task::yield_now().await;
                    items.into_iter().map(|item| item + 1).collect()
                }
            });
            let answers = join_all((0..items).map(|item| batcher.submit(item))).await;
            prop_assert_eq!(answers, (0..items).map(|item| Ok(item + 1)).collect::<Vec<_>>());
            prop_assert!(largest.load(Ordering::SeqCst) <= max_batch);
            Ok(())
        })?;
    }
}

/// A batcher whose batches take a second each and are at least and at most so many seconds apart, and the sizes of its batches.
fn resting(
    max_batch: usize,
    pace: RangeInclusive<u64>,
) -> (Batcher<u32, u32>, mpsc::UnboundedReceiver<usize>) {
    let (sizes, seen) = mpsc::unbounded_channel();
    let options = BatcherOptions {
        pace: Duration::from_secs(*pace.start())..=Duration::from_secs(*pace.end()),
        ..options(1, max_batch, 1024)
    };
    let batcher = start(&options, move |items: Vec<u32>| {
        sizes.send(items.len()).expect("the test listens");
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            items
        }
    });
    (batcher, seen)
}

#[tokio::test(start_paused = true)]
async fn small_batches_are_twice_as_far_apart_as_they_take_and_share_what_comes_meanwhile() {
    for (pace, seconds) in [(0..=3600, 4), (0..=0, 3), (5..=3600, 11)] {
        let (batcher, mut sizes) = resting(256, pace.clone());
        let began = Instant::now();
        batcher.submit(1).await.unwrap();
        batcher.submit(2).await.unwrap();
        join_all([batcher.submit(3), batcher.submit(4)]).await;
        assert_eq!(began.elapsed().as_secs(), seconds, "a pace of {pace:?} s");
        assert_eq!([sizes.recv().await, sizes.recv().await, sizes.recv().await], [Some(1), Some(1), Some(2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_quarter_of_the_largest_batch_the_next_may_begin() {
    let (batcher, mut sizes) = resting(8, 0..=3600);
    let began = Instant::now();
    for _ in 0..3 {
        join_all([batcher.submit(1), batcher.submit(2)]).await;
    }
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!([sizes.recv().await, sizes.recv().await, sizes.recv().await], [Some(2); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_next_batch() {
    let (batcher, _sizes) = resting(256, 0..=3600);
    batcher.submit(1).await.unwrap();
    batcher.submit(2).await.unwrap();
    let began = Instant::now();
    let waiting = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit(3).await }
    });
    while batcher.queue.capacity() == 1024 {
        tokio::task::yield_now().await;
    }
    batcher.shutdown().await;
    assert_eq!(waiting.await.unwrap(), Ok(3));
    assert_eq!(began.elapsed().as_secs(), 1, "its own second");
}

#[tokio::test]
async fn a_batch_is_what_gathered_while_the_last_one_was_written() {
    let gate = Arc::new(Semaphore::new(0));
    let (batcher, mut sizes) = gated(&options(1, 256, 1024), &gate);
    let submit = |item| {
        let batcher = batcher.clone();
        tokio::spawn(async move { batcher.submit(item).await })
    };
    let first = submit(0);
    assert_eq!(sizes.recv().await, Some(1));
    let others: Vec<_> = (1..=100).map(submit).collect();
    while batcher.queue.capacity() > 1024 - 100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(2);
    assert_eq!(sizes.recv().await, Some(100));
    assert_eq!(first.await.unwrap(), Ok(0));
    for (item, answer) in (1..).zip(others) {
        assert_eq!(answer.await.unwrap(), Ok(item * 2));
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let gate = Arc::new(Semaphore::new(0));
    let (batcher, mut sizes) = gated(&options(1, 256, 16), &gate);
    let (first, mut second) = (Box::pin(batcher.submit(1)), Box::pin(batcher.submit(2)));
    let mut first = first;
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    drop(first);
    gate.add_permits(1);
    assert_eq!(second.await, Ok(4));
    assert_eq!(sizes.recv().await, Some(2), "the item of the caller that went away was written as well");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_busy_after_a_bounded_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let (batcher, mut sizes) = gated(&options(1, 1, 1), &gate);
    let (mut written, mut queued) = (Box::pin(batcher.submit(1)), Box::pin(batcher.submit(2)));
    assert!(futures_util::poll!(&mut written).is_pending());
    assert_eq!(sizes.recv().await, Some(1));
    assert!(futures_util::poll!(&mut queued).is_pending());
    assert_eq!(batcher.submit(3).await, Err(SubmitError::Busy));
    gate.add_permits(2);
    assert_eq!((written.await, queued.await), (Ok(2), Ok(4)));
}

#[tokio::test]
async fn shutdown_writes_what_is_queued_and_takes_no_more() {
    let gate = Arc::new(Semaphore::new(0));
    let (batcher, mut sizes) = gated(&options(2, 2, 16), &gate);
    let mut submitted: Vec<_> = (0..9).map(|item| Box::pin(batcher.submit(item))).collect();
    for submit in &mut submitted {
        assert!(futures_util::poll!(submit).is_pending());
    }
    assert!(sizes.recv().await.is_some());
    let closing = batcher.clone();
    let shutdown = tokio::spawn(async move { closing.shutdown().await });
    batcher.closing.cancelled().await;
    gate.add_permits(9);
    shutdown.await.unwrap();
    assert_eq!(batcher.submit(9).await, Err(SubmitError::Closed));
    assert_eq!(join_all(submitted).await, (0..9).map(|item| Ok(item * 2)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_or_a_short_answer_loses_its_own_batch_only() {
    let batcher = start(&options(1, 1, 16), |items: Vec<u32>| async move {
        assert_ne!(items, [13], "poison");
        if items == [14] { vec![] } else { items }
    });
    let submitted = [13, 1, 14, 2].map(|item| batcher.submit(item));
    assert_eq!(join_all(submitted).await, [Err(SubmitError::Lost), Ok(1), Err(SubmitError::Lost), Ok(2)]);
}

#[tokio::test]
async fn the_panic_of_one_writer_is_told_although_another_works_on() {
    let writers: [Work; 2] = [Box::pin(std::future::pending()), Box::pin(async { panic!("no ink") })];
    let ended = tokio::spawn(Writers(writers.into()).run()).await;
    let panic = ended.expect_err("a panic").into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"no ink"));
}

#[tokio::test]
async fn the_writers_run_until_the_batcher_is_shut_down() {
    let (batcher, writers) = Batcher::new(&options(2, 1, 16), |items: Vec<u32>| async move { items });
    let mut running = Box::pin(writers.run());
    tokio::select! {
        () = &mut running => panic!("they ended by themselves"),
        answer = batcher.submit(1) => assert_eq!(answer, Ok(1)),
    }
    batcher.shutdown().await;
    running.await;
}
