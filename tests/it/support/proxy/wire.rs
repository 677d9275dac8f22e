//! HTTP/1.1 as bytes: read one message whole, write it back, right or wrong on purpose.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One HTTP message.
#[derive(Debug, Clone)]
pub struct Message {
    /// First line, without the line end.
    pub start: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without transfer coding.
    pub body: Vec<u8>,
}

/// Bytes that were read ahead.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl Message {
    /// An answer.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self {
            start: format!("HTTP/1.1 {status} x"),
            headers,
            body: body.into(),
        }
    }
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
    /// Verb of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }
    /// Path and query of a request.
    pub fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }
    /// JSON-RPC methods in the body, in order; none when it is something else.
    pub fn rpc_methods(&self) -> Vec<String> {
        rpc_calls(&self.body)
            .iter()
            .filter_map(|call| call["method"].as_str().map(str::to_owned))
            .collect()
    }
    /// Sets the status and keeps the rest.
    pub(super) fn set_status(&mut self, status: u16) {
        self.start = format!("HTTP/1.1 {status} x");
    }
    /// The message as it goes out, with the length that the body has.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_with_length(self.body.len())
    }
    /// The message with a length that may be a lie.
    pub(super) fn encode_with_length(&self, length: usize) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        out.extend(format!("content-length: {length}\r\n\r\n").bytes());
        out.extend(&self.body);
        out
    }
}

/// The calls of a JSON-RPC body: one, or a batch.
pub(super) fn rpc_calls(body: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(calls)) => calls,
        Ok(call @ Value::Object(_)) => vec![call],
        _ => Vec::new(),
    }
}

impl Buffer {
    /// Reads start line and headers; `None` when the peer has closed instead.
    pub(super) async fn read_head(&mut self, stream: &mut TcpStream) -> io::Result<Option<Message>> {
        loop {
            if let Some(end) = self.0.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.0.split_off(end + 4);
                let head = String::from_utf8_lossy(&std::mem::replace(&mut self.0, rest)).into_owned();
                return Ok(Some(parse_head(&head)));
            }
            if !self.fill(stream).await? {
                return Ok(None);
            }
        }
    }
    /// Reads the body that belongs to `message` and takes the transfer coding off.
    pub(super) async fn read_body(
        &mut self,
        stream: &mut TcpStream,
        message: &mut Message,
        to_end: bool,
    ) -> io::Result<()> {
        let length = message
            .header("content-length")
            .and_then(|text| text.parse::<usize>().ok());
        let chunked = message
            .header("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"));
        if chunked {
            message.body = self.read_chunks(stream).await?;
        } else if let Some(length) = length {
            while self.0.len() < length && self.fill(stream).await? {}
            let rest = self.0.split_off(length.min(self.0.len()));
            message.body = std::mem::replace(&mut self.0, rest);
        } else if to_end {
            while self.fill(stream).await? {}
            message.body = std::mem::take(&mut self.0);
        }
        let hop = ["content-length", "transfer-encoding", "connection", "keep-alive"];
        message.headers.retain(|(name, _)| !hop.contains(&name.as_str()));
        Ok(())
    }
    async fn read_chunks(&mut self, stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = loop {
                if let Some(end) = self.0.windows(2).position(|two| two == b"\r\n") {
                    let rest = self.0.split_off(end + 2);
                    let line = String::from_utf8_lossy(&std::mem::replace(&mut self.0, rest)).into_owned();
                    break usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                }
                if !self.fill(stream).await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            while self.0.len() < size + 2 && self.fill(stream).await? {}
            let rest = self.0.split_off((size + 2).min(self.0.len()));
            let mut chunk = std::mem::replace(&mut self.0, rest);
            chunk.truncate(size);
            if size == 0 {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }
    async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut piece = [0; 16 << 10];
        let count = stream.read(&mut piece).await?;
        self.0.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

/// Sends a request on a connection of its own and reads the whole answer.
pub(super) async fn forward(upstream: &str, request: &Message) -> io::Result<Message> {
    let authority = upstream
        .strip_prefix("http://")
        .unwrap_or(upstream)
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).await?;
    let mut request = request.clone();
    request.headers.push(("connection".to_owned(), "close".to_owned()));
    stream.write_all(&request.encode()).await?;
    let mut buffer = Buffer::default();
    let mut answer = buffer
        .read_head(&mut stream)
        .await?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    buffer.read_body(&mut stream, &mut answer, true).await?;
    Ok(answer)
}

/// Writes one byte at a time.
pub(super) async fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// Sends `length` spaces and a JSON value's beginning, in pieces, as one answer.
pub(super) async fn flood(stream: &mut TcpStream, length: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b' '; 64 << 10];
    let mut left = length;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        stream.write_all(piece.get(..now).unwrap_or_default()).await?;
        left -= now as u64;
    }
    Ok(())
}

/// A gzip stream of zeros that grows about 158-fold when it is unpacked: fixed Huffman codes of the longest match.
pub(super) fn gzip_bomb(packed: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b1, 1); // last block
    bits.put(0b01, 2); // fixed codes
    bits.code(0b0011_0000, 8); // literal 0
    for _ in 0..16 {
        bits.code(0b1100_0101, 8); // length 258
        bits.code(0, 5); // distance 1
    }
    bits.code(0, 7); // end of block
    let block = bits.finish();
    // Eight matches have 13 bytes, so from the third byte on the stream may be repeated in pieces of that length.
    let (start, rest) = block.split_at(2);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(start);
    out.extend(rest.iter().take(13).cycle().take(packed / 13 * 13));
    out.extend(rest);
    out.extend([0; 8]);
    out
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    current: u8,
    used: u8,
}

impl Bits {
    fn bit(&mut self, bit: bool) {
        self.current |= u8::from(bit) << self.used;
        self.used += 1;
        if self.used == 8 {
            self.bytes.push(std::mem::take(&mut self.current));
            self.used = 0;
        }
    }
    /// Least significant bit first.
    fn put(&mut self, value: u16, count: u16) {
        (0..count).for_each(|index| self.bit(value >> index & 1 == 1));
    }
    /// A Huffman code: most significant bit first.
    fn code(&mut self, value: u16, count: u16) {
        (0..count).rev().for_each(|index| self.bit(value >> index & 1 == 1));
    }
    fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.current);
        }
        self.bytes
    }
}

fn parse_head(head: &str) -> Message {
    let mut lines = head.trim_end().split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let pair = |line: &str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
    };
    Message {
        start,
        headers: lines.filter_map(pair).collect(),
        body: Vec::new(),
    }
}
