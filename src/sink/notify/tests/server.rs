//! A receiver that answers as a test tells it to and remembers what it got.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// how often this id was here before
    pub nth: usize,
}

impl Request {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    With(u16, &'static str, String),
    /// a body that never ends, after the status
    Endless(u16),
    Hang,
    Reset,
}

type Answers = dyn Fn(&Request) -> Answer + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub fn start(
        runtime: &Handle,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, answer): (_, Arc<Answers>) = (Arc::clone(&seen), Arc::new(answer));
        let task = runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all), Arc::clone(&answer)));
            }
        });
        Server { address, seen, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answer: Arc<Answers>) {
    let mut read = Vec::new();
    while let Some(mut request) = next(&stream, &mut read).await {
        {
            let mut seen = seen.lock().unwrap();
            let before = seen.iter().filter(|other| other.id() == request.id());
            request.nth = before.count();
            seen.push(request.clone());
        }
        let (status, header, endless) = match answer(&request) {
            Answer::Status(status) => (status, String::new(), false),
            Answer::With(status, name, value) => (status, format!("{name}: {value}\r\n"), false),
            Answer::Endless(status) => (status, String::new(), true),
            Answer::Hang => {
                std::future::pending::<()>().await;
                return;
            }
            Answer::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        let length = if endless { 1 << 40 } else { 2 };
        let head = format!("HTTP/1.1 {status} x\r\n{header}content-length: {length}\r\n\r\nok");
        if write(&stream, head.as_bytes()).await.is_err() {
            return;
        }
        if endless {
            while write(&stream, &[b'x'; 8192]).await.is_ok() {}
            return;
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn next(stream: &TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((request, len)) = parse(read) {
            read.drain(..len);
            return Some(request);
        }
        stream.readable().await.ok()?;
        let mut chunk = [0; 16 * 1024];
        match stream.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(len) => read.extend_from_slice(&chunk[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let body = bytes.get(end..end + length)?.to_vec();
    let request = Request { path, headers, body, nth: 0 };
    Some((request, end + length))
}
