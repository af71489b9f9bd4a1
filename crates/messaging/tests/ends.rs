//! Ends of programs: what the client's own threads do when the runtime goes away. A test binary of its own, for it watches all
//! panics of the process.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devstack::testing::Vhost;
use messaging::{Broker, Publisher};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// They fall into the first moments of the making of a connection. Without a runtime of its own for the client about one in fifty
/// made its thread panic.
const ENDS: u32 = 200;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_thread_of_the_client_panics_when_a_program_ends_while_it_connects() {
    let vhost = Vhost::create();
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        default(info);
    }));
    let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
    for end in 0..ENDS {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let publisher = Publisher::spawn(broker.clone(), CancellationToken::new());
            tokio::time::sleep(Duration::from_micros(u64::from(end % 20) * 10)).await;
            drop(publisher);
        });
    }
    // Whatever they had begun they have ended by then.
    let deadline = Instant::now() + Duration::from_secs(10);
    while threads_named("lapin-io-loop") > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// How many threads of this process have this name.
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}
