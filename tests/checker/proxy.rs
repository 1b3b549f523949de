//! A TCP proxy on loopback that can become a bad network: silent, slow, or resetting what it carries.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// What the network does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Every piece comes this much later, both ways.
    Slow(Duration),
    /// Nothing comes through, and nobody is told.
    Cut,
}

#[derive(Clone, Copy)]
struct State {
    weather: Weather,
    /// Connections of an earlier age are reset.
    age: u64,
}

/// One way from somebody to somebody else. It ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Proxy {
    /// Listens; what connects waits until [`Proxy::lead_to`].
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, (target, mut targets)) =
            (watch::Sender::new(State { weather: Weather::Fair, age: 0 }), watch::channel(None));
        let states = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(target) = targets.wait_for(Option::is_some).await.map(|target| *target) else { return };
                let Some(target) = target else { continue };
                tokio::spawn(carry(client, target, states.subscribe()));
            }
        });
        Self { address, state, target }
    }

    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }

    pub fn set(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// Resets every connection there is.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.age += 1);
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut states: watch::Receiver<State>) {
    let age = states.borrow_and_update().age;
    // A connection that is made in a cut is made after it.
    if states.wait_for(|state| state.weather != Weather::Cut).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    for stream in [&client, &server] {
        let _ = (stream.set_nodelay(true), stream.set_zero_linger());
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pump(from_client, to_server, states.clone());
    let back = pump(from_server, to_client, states.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = states.wait_for(|state| state.age != age) => {}
    }
}

/// Carries bytes one way until an end is gone.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut states: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        let read = Instant::now();
        loop {
            let weather = states.borrow_and_update().weather;
            match weather {
                Weather::Fair => break,
                Weather::Slow(by) => {
                    sleep_until(read + by).await;
                    break;
                }
                Weather::Cut if states.changed().await.is_err() => return,
                Weather::Cut => {}
            }
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
    // What was written last must not be lost to the reset that dropping makes.
    let _ = to.shutdown().await;
    sleep(Duration::from_millis(50)).await;
}
