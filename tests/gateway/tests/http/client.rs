//! A few lines of HTTP/1.1 over a socket, so that connections, resets and headers can be seen as they are.

use std::{io, net::SocketAddr};

use fireworks_gateway_simulator::Simulator;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection, kept open.
pub(crate) struct Client {
    stream: TcpStream,
    key: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl Client {
    pub(crate) async fn of(simulator: &Simulator) -> Self {
        let mut client = Self::to(simulator.address()).await;
        client.key = Some(simulator.api_key());
        client
    }

    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, key: None }
    }

    pub(crate) fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, "").await.unwrap()
    }

    pub(crate) async fn patch(&mut self, path: &str, body: &str) -> Reply {
        self.ask("PATCH", path, body).await.unwrap()
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Reply> {
        self.send(method, path, body).await?;
        self.receive().await
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let key = self.key.as_ref().map_or_else(String::new, |key| {
            format!("authorization: Bearer {key}\r\n")
        });
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nuser-agent: probe/1\r\n{key}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.more(&mut bytes).await?;
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
        let mut reply = Reply {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::new(),
        };
        let length: usize = reply
            .header("content-length")
            .map_or(0, |n| n.parse().unwrap());
        while bytes.len() < head_end + 4 + length {
            self.more(&mut bytes).await?;
        }
        reply.body = String::from_utf8(bytes[head_end + 4..].to_vec()).unwrap();
        Ok(reply)
    }

    /// At least that number of bytes of an answer that is none.
    pub(crate) async fn receive_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            self.more(&mut bytes).await?;
        }
        Ok(bytes)
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.stream.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
