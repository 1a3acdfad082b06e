//! A small HTTP/1.1 client for measuring: one kept-open connection, no pool, no TLS.
//!
//! It is written here so that the client's own cost is small, known and the same for every server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the server keeps the connection open for another request.
    pub is_kept_open: bool,
}

/// One connection to a server on this machine. It is opened again when the server has closed it.
pub struct Connection {
    /// `host:port`.
    address: String,
    stream: Option<BufReader<TcpStream>>,
    out: Vec<u8>,
    patience: Duration,
}

impl Connection {
    /// Prepares a connection; nothing is opened before the first request.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            out: Vec::new(),
            patience: Duration::from_mins(1),
        }
    }

    /// Sends a JSON body and waits for the whole answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Response> {
        self.send("POST", path, body)
    }

    /// Asks without a body and waits for the whole answer.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.send("GET", path, b"")
    }

    /// Puts `block` so many times as the body of one request.
    pub fn put_blocks(&mut self, path: &str, block: &[u8], count: usize) -> Result<Response> {
        self.out.clear();
        write!(
            self.out,
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            block.len() * count
        )?;
        let mut stream = self.take_stream()?;
        stream.get_mut().write_all(&self.out)?;
        for _ in 0..count {
            stream.get_mut().write_all(block).context("the body could not be sent")?;
        }
        let response = read_response(&mut stream)?;
        if response.is_kept_open {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    /// Asks, counts the bytes of a 200 answer and forgets them.
    ///
    /// Errors: another answer, or one that ends before its announced length.
    pub fn get_and_count(&mut self, path: &str) -> Result<u64> {
        self.out.clear();
        write!(self.out, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        let mut stream = self.take_stream()?;
        stream.get_mut().write_all(&self.out)?;
        let head = read_head(&mut stream)?;
        if head.status != 200 {
            bail!("{path} was answered with {}", head.status);
        }
        let mut piece = vec![0; 1 << 20];
        let mut count = 0;
        if head.is_chunked {
            loop {
                let size = read_chunk_size(&mut stream)?;
                if size == 0 {
                    while !read_line(&mut stream)?.is_empty() {}
                    break;
                }
                skip(&mut stream, &mut piece, size)?;
                read_line(&mut stream)?;
                count += size as u64;
            }
        } else {
            let length = head.length.context("an answer without a length")?;
            skip(&mut stream, &mut piece, length)?;
            count = length as u64;
        }
        if head.is_kept_open {
            self.stream = Some(stream);
        }
        Ok(count)
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Response> {
        self.out.clear();
        write!(self.out, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address)?;
        if !body.is_empty() {
            write!(
                self.out,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )?;
        }
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);

        let mut stream = self.take_stream()?;
        // One write, so that the request leaves in as few packets as it fits in.
        stream.get_mut().write_all(&self.out).context("the request could not be sent")?;
        let response = read_response(&mut stream)?;
        if response.is_kept_open {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    /// How long an answer may take; one minute unless this says otherwise. Opens a new connection.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.stream = None;
    }

    fn take_stream(&mut self) -> Result<BufReader<TcpStream>> {
        match self.stream.take() {
            Some(stream) => Ok(stream),
            None => self.open(),
        }
    }

    fn open(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.address)
            .with_context(|| format!("nothing answers at {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        Ok(BufReader::new(stream))
    }
}

/// What stands before the body of an answer.
struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    is_kept_open: bool,
}

fn read_head(stream: &mut impl BufRead) -> Result<Head> {
    let status_line = read_line(stream)?;
    let mut words = status_line.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("`{status_line}` is no HTTP answer"))?;
    let mut head =
        Head { status, length: None, is_chunked: false, is_kept_open: version == "HTTP/1.1" };
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(head);
        }
        let Some((name, value)) = line.split_once(':') else {
            bail!("`{line}` is no header");
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.parse().with_context(|| format!("length `{value}`"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.is_chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.is_kept_open = !value.eq_ignore_ascii_case("close");
        }
    }
}

/// Reads one answer: by its length, in chunks, or up to the end of the connection.
fn read_response(stream: &mut impl BufRead) -> Result<Response> {
    let Head { status, length, is_chunked, mut is_kept_open } = read_head(stream)?;
    let mut body = Vec::new();
    if is_chunked {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body).context("the answer ended early")?;
    } else if status != 204 && status != 304 {
        stream.read_to_end(&mut body)?;
        is_kept_open = false;
    }
    Ok(Response { status, body, is_kept_open })
}

fn skip(stream: &mut impl BufRead, piece: &mut [u8], mut left: usize) -> Result<()> {
    while left > 0 {
        let size = left.min(piece.len());
        stream.read_exact(&mut piece[..size]).context("the answer ended early")?;
        left -= size;
    }
    Ok(())
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = read_chunk_size(stream)?;
        if size == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(());
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..]).context("a chunk ended early")?;
        read_line(stream)?;
    }
}

fn read_chunk_size(stream: &mut impl BufRead) -> Result<usize> {
    let line = read_line(stream)?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).with_context(|| format!("`{line}` is no chunk size"))
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).context("no answer came")? == 0 {
        bail!("the server closed the connection");
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, status: u16, body: &str, is_kept_open: bool) {
        let response = read_response(&mut text.as_bytes()).expect("a readable answer");
        let expected = Response { status, body: body.as_bytes().to_vec(), is_kept_open };
        assert_eq!(response, expected, "{text}");
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_with_the_connection() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}rest", 200, "{}", true);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na;x=1\r\n0123456789\r\n0\r\n\r\n",
            200,
            "abc0123456789",
            true,
        );
        check("HTTP/1.1 500 Oh no\r\nServer: x\r\n\r\nall of it", 500, "all of it", false);
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
    }

    #[test]
    fn the_server_may_close_the_connection() {
        check("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200, "", false);
        check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false);
    }

    #[test]
    fn two_answers_on_one_connection_do_not_mix() {
        let mut stream =
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nb"
                .as_bytes();
        assert_eq!(read_response(&mut stream).expect("the first").body, b"a");
        let second = read_response(&mut stream).expect("the second");
        assert_eq!((second.status, second.body.as_slice()), (404, b"b".as_slice()));
    }

    #[test]
    fn cut_answers_are_errors() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "no http at all\r\n\r\n",
        ] {
            assert!(read_response(&mut text.as_bytes()).is_err(), "{text}");
        }
    }
}
