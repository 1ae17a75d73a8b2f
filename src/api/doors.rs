//! How many connections there may be and how long one may do nothing: the http library bounds
//! neither by itself.
//!
//! One rule covers a client that sends its request byte by byte, one that keeps a connection for
//! later, and one that does not read its live stream: a connection that has not been written to for
//! [`SILENCE`] is closed. A live stream is written to every second.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections open at once; the next one waits unanswered until one closes.
const CONNECTIONS_MAX: usize = 512;
/// The longest a connection may go without being written to.
const SILENCE: Duration = Duration::from_secs(30);

/// Where connections come in.
pub(super) struct Doors {
    listener: TcpListener,
    free: Arc<Semaphore>,
    silence: Duration,
}

impl Doors {
    pub(super) fn new(listener: TcpListener) -> Doors {
        Doors::with(listener, CONNECTIONS_MAX, SILENCE)
    }

    fn with(listener: TcpListener, connections_max: usize, silence: Duration) -> Doors {
        Doors { listener, free: Arc::new(Semaphore::new(connections_max)), silence }
    }
}

impl Listener for Doors {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // never closed, so there is always a permit in the end
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        let (tcp, addr) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            tcp,
            silence: self.silence,
            alarm: Box::pin(tokio::time::sleep(self.silence)),
            _permit: permit,
        };
        (connection, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once it was silent for too long.
pub(super) struct Connection {
    tcp: TcpStream,
    silence: Duration,
    alarm: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// `Pending` with the alarm's waker registered, or the error that closes the connection.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.alarm.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.wait(context),
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.alarm.as_mut().reset(Instant::now() + self.silence);
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let late @ Poll::Ready(_) = self.wait(context) {
            return late;
        }
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.wrote(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.wrote(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Serves "ok" with these bounds and gives its address.
    async fn serve(connections_max: usize, silence_ms: u64) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let silence = Duration::from_millis(silence_ms);
        let router = axum::Router::new().fallback(|| async { "ok" });
        tokio::spawn(async move {
            let doors = Doors::with(listener, connections_max, silence);
            axum::serve(doors, router).await.unwrap();
        });
        addr
    }

    fn connect(addr: SocketAddr) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_never_ends_is_closed_without_an_answer() {
        let addr = serve(4, 300).await;
        tokio::task::spawn_blocking(move || {
            let mut slow = connect(addr);
            let begun = std::time::Instant::now();
            slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
            let mut answer = Vec::new();
            // ends with nothing, or with a reset
            let _ended = slow.read_to_end(&mut answer);
            assert!(answer.is_empty(), "answered {:?}", String::from_utf8_lossy(&answer));
            let took = begun.elapsed().as_millis();
            assert!((250..5_000).contains(&took), "closed after {took} ms");
        })
        .await
        .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_too_many_is_answered_once_another_closes() {
        let addr = serve(1, 60_000).await;
        tokio::task::spawn_blocking(move || {
            let mut first = connect(addr);
            first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            let mut byte = [0; 1];
            first.read_exact(&mut byte).unwrap();

            let mut second = connect(addr);
            second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            second.read_exact(&mut byte).unwrap_err();

            drop(first);
            second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut answer = String::new();
            second.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("ok"), "{answer}");
        })
        .await
        .unwrap();
    }
}
