//! A TCP proxy that disturbs what goes through it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

const BUFFER_BYTES: usize = 64 * 1024;
/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a proxy does to its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Resets all there are, and every new one at once.
    Cut,
    /// Keeps what is read for so long, in each direction.
    Delay(Duration),
    /// Accepts and swallows everything, in both directions, while connections stay open. Those that lost something by it are
    /// reset when it is over, as by a router that has forgotten them.
    BlackHole,
}

/// A port of loopback that leads to another. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port; `target` is `host:port`.
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Pass);
        Self { address, mode, accepting: tokio::spawn(accept(listener, target, seen)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: String, mode: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of files, at worst: a later one may succeed.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (target, mode) = (target.clone(), mode.clone());
        connections.spawn(async move {
            // Whoever is cut off sees nothing else but that.
            let _ = carry(client, &target, mode).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// How a direction ended.
enum End {
    /// One side closed it.
    Closed,
    /// It is to be reset.
    Reset,
}

async fn carry(mut client: TcpStream, target: &str, mut mode: watch::Receiver<Mode>) -> io::Result<()> {
    // Who calls into a black hole waits, and is not let through later either: he may have given up meanwhile.
    let swallowed = *mode.borrow() == Mode::BlackHole;
    wait_until(&mut mode, |mode| mode != Mode::BlackHole).await;
    if swallowed || *mode.borrow() == Mode::Cut {
        return client.set_zero_linger();
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return client.set_zero_linger() };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let end = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let (there, back) = (mode.clone(), mode.clone());
        tokio::select! {
            () = wait_until(&mut mode, |mode| mode == Mode::Cut) => End::Reset,
            end = one_way(from_client, to_server, there) => end,
            end = one_way(from_server, to_client, back) => end,
        }
    };
    match end {
        End::Closed => Ok(()),
        End::Reset => client.set_zero_linger().and(server.set_zero_linger()),
    }
}

/// Carries one direction until it ends. No client here closes one direction only, so that is the end of both.
async fn one_way(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut mode: watch::Receiver<Mode>) -> End {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return End::Reset };
        let now = *mode.borrow_and_update();
        match now {
            Mode::BlackHole => {
                swallow(from, mode, buffer).await;
                return End::Reset;
            }
            Mode::Cut => return End::Reset,
            Mode::Delay(delay) => sleep(delay).await,
            Mode::Pass => {}
        }
        if read == 0 {
            return End::Closed;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return End::Reset;
        }
    }
}

/// Reads and forgets until the black hole is over. Not even the end of a connection is seen on the other side.
async fn swallow(mut from: ReadHalf<'_>, mut mode: watch::Receiver<Mode>, mut buffer: Vec<u8>) {
    let forget = async {
        while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        pending::<()>().await;
    };
    tokio::select! {
        () = wait_until(&mut mode, |mode| mode != Mode::BlackHole) => {}
        () = forget => {}
    }
}

async fn wait_until(mode: &mut watch::Receiver<Mode>, is: impl Fn(Mode) -> bool) {
    if mode.wait_for(|mode| is(*mode)).await.is_err() {
        // The proxy is gone; its connections are aborted with it.
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::time::{Instant, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that sends back what it gets, behind a proxy.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Proxy::start(target).await
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.expect("a connection")
    }

    /// Sends one byte and waits for it to come back.
    async fn ping(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(&[7]).await?;
        timeout(PATIENCE, stream.read_u8()).await.expect("an answer or an end in time")
    }

    fn is_cut(answer: io::Result<u8>) -> bool {
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
        answer.is_err_and(|error| kinds.contains(&error.kind()))
    }

    #[tokio::test]
    async fn passes_cuts_and_passes_again() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(ping(&mut stream).await.expect("an echo"), 7);
        proxy.set(Mode::Cut);
        assert!(
            is_cut(timeout(PATIENCE, stream.read_u8()).await.expect("an end")),
            "what was there is reset"
        );
        assert!(is_cut(ping(&mut connect(&proxy).await).await), "what is new is reset");
        proxy.set(Mode::Pass);
        assert_eq!(ping(&mut connect(&proxy).await).await.expect("an echo"), 7);
    }

    #[tokio::test]
    async fn delays_each_way() {
        let proxy = echo().await;
        let delay = Duration::from_millis(60);
        proxy.set(Mode::Delay(delay));
        let mut stream = connect(&proxy).await;
        let started = Instant::now();
        assert_eq!(ping(&mut stream).await.expect("an echo"), 7);
        assert!(started.elapsed() >= 2 * delay, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_black_hole_answers_nothing_and_resets_what_lost_something() {
        let proxy = echo().await;
        let (mut talking, mut silent) = (connect(&proxy).await, connect(&proxy).await);
        for stream in [&mut talking, &mut silent] {
            assert_eq!(ping(stream).await.expect("an echo"), 7);
        }
        proxy.set(Mode::BlackHole);
        talking.write_all(&[7]).await.expect("it is swallowed");
        let answer = timeout(Duration::from_millis(200), talking.read_u8()).await;
        assert!(answer.is_err(), "nothing comes back, not even an end: {answer:?}");
        proxy.set(Mode::Pass);
        assert!(is_cut(timeout(PATIENCE, talking.read_u8()).await.expect("an end")));
        assert_eq!(ping(&mut silent).await.expect("an echo"), 7, "it lost nothing");
    }
}
