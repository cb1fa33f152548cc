//! A server on this machine that lies.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with one request.
#[derive(Clone)]
pub enum Act {
    /// Answers as it should, ranges too, with this version and these further headers.
    Well(Vec<u8>, &'static str, &'static str),
    /// Sends these bytes and hangs up.
    Raw(Vec<u8>),
    /// Announces all, sends so many bytes of what was asked for, and hangs up; ranges are served.
    Cut(Vec<u8>, usize),
    /// Sends these bytes, then nothing, and stays.
    Stall(Vec<u8>),
    /// Sends headers without end.
    Headers,
}

pub struct Server {
    pub address: String,
    /// The requests that came: first line and headers.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Plays the acts one after the other, the last one for ever.
    pub fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut acts) = (requests.clone(), VecDeque::from(acts));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
                let seen = seen.clone();
                std::thread::spawn(move || drop(answer(stream, act.unwrap(), &seen)));
            }
        });
        Self { address, requests }
    }

    pub fn ranges(&self) -> Vec<Option<String>> {
        let range = |request: &String| {
            let lines = request.lines().map(str::to_ascii_lowercase);
            lines.filter_map(|line| line.strip_prefix("range: ").map(str::to_owned)).next()
        };
        self.requests.lock().unwrap().iter().map(range).collect()
    }
}

pub fn plain(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    all.extend(body);
    all
}

pub fn sized(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    plain(status, &format!("Content-Length: {}\r\n{headers}", body.len()), body)
}

fn answer(mut stream: TcpStream, act: Act, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let lower = request.to_ascii_lowercase();
    seen.lock().unwrap().push(request);
    let header = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let start = header("range: bytes=").and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    let reply = |body: &[u8], etag: &str, more: &str, sent: usize| {
        let fresh = header("if-range: ").is_none_or(|asked| asked == etag.to_ascii_lowercase());
        let more = if etag.is_empty() { more.to_owned() } else { format!("ETag: {etag}\r\n{more}") };
        match start.filter(|&start| fresh && start < body.len()) {
            Some(start) => {
                let rest = &body[start..];
                let range = format!("Content-Range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len());
                let headers = format!("Content-Length: {}\r\n{range}{more}", rest.len());
                plain("206 Partial Content", &headers, &rest[..sent.min(rest.len())])
            }
            None => {
                let headers = format!("Content-Length: {}\r\n{more}", body.len());
                plain("200 OK", &headers, &body[..sent.min(body.len())])
            }
        }
    };
    match act {
        Act::Well(body, etag, more) => stream.write_all(&reply(&body, etag, more, usize::MAX)),
        Act::Cut(body, sent) => stream.write_all(&reply(&body, "\"v1\"", "", sent)),
        Act::Raw(bytes) => stream.write_all(&bytes),
        Act::Stall(bytes) => {
            stream.write_all(&bytes)?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        Act::Headers => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            for i in 0..1_000_000 {
                stream.write_all(format!("X-{i}: {i}\r\n").as_bytes())?;
            }
            Ok(())
        }
    }
}
