use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Longer than any test that is right: time is paused.
const GRACE: Duration = Duration::from_secs(60);

/// A service of one task that ends softly, and of `failing`.
async fn run(failing: impl Future<Output = ()> + Send + 'static) -> (Result<(), RunError>, bool) {
    let (shutdown, finished) = (Shutdown::new(), Arc::new(AtomicBool::new(false)));
    let mut tasks = Tasks::new(shutdown.clone());
    let (soft, done) = (shutdown.soft.clone(), Arc::clone(&finished));
    tasks.spawn("sound", async move {
        soft.cancelled().await;
        done.store(true, Ordering::SeqCst);
    });
    tasks.spawn("failing", failing);
    let ended = tasks.run(GRACE, shutdown.soft.cancelled()).await;
    assert!(shutdown.draining.is_cancelled(), "it was not announced");
    (ended, finished.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_service_softly_and_names_the_task() {
    let (ended, finished) = run(async { panic!("no {}", "ink") }).await;
    let expected = RunError::Panicked { task: "failing".to_owned(), message: "no ink".to_owned() };
    assert_eq!(ended, Err(expected));
    assert!(finished, "the other task was cut off");
}

#[tokio::test(start_paused = true)]
async fn so_does_an_early_end() {
    let (ended, finished) = run(async {}).await;
    assert_eq!(ended, Err(RunError::EndedEarly { task: "failing".to_owned() }));
    assert!(finished, "the other task was cut off");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_tasks_and_is_no_failure() {
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    let soft = shutdown.soft.clone();
    tasks.spawn("lasting", async move { soft.cancelled().await });
    tasks.spawn_finite("finite", async {});
    let running = tokio::spawn(tasks.run(GRACE, std::future::ready(())));
    // Whatever can happen without the stop has happened when the paused clock moves.
    sleep(GRACE * 2).await;
    assert!(!running.is_finished(), "it ended by itself");
    shutdown.soft.cancel();
    assert_eq!(running.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_is_dropped_at_the_hard_end() {
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("stubborn", std::future::pending());
    shutdown.begin(GRACE);
    assert_eq!(tasks.run(GRACE, std::future::ready(())).await, Err(RunError::Overdue));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_rest_has_so_long_and_no_longer() {
    let mut tasks = Tasks::new(Shutdown::new());
    tasks.spawn("stubborn", std::future::pending());
    tasks.spawn("failing", async { panic!("no ink") });
    let ended = tasks.run(GRACE, std::future::pending()).await;
    assert!(matches!(ended, Err(RunError::Panicked { task, .. }) if task == "failing"));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_the_one_that_is_told() {
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("first", async { panic!("the cause") });
    let soft = shutdown.soft.clone();
    tasks.spawn("second", async move {
        soft.cancelled().await;
        panic!("the effect");
    });
    let ended = tasks.run(GRACE, shutdown.soft.cancelled()).await;
    assert!(matches!(ended, Err(RunError::Panicked { task, .. }) if task == "first"));
}
