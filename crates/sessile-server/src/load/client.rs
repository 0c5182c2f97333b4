//! A connection that sends one request at a time.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Target;

/// Longest time for an answer: what takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A connection to the service, opened again when it was closed.
pub(super) struct Client<'a> {
    target: &'a Target,
    api_key: Option<&'a str>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Client<'a> {
    pub(super) fn new(target: &'a Target, api_key: Option<&'a str>) -> Self {
        Client {
            target,
            api_key,
            sender: None,
        }
    }

    /// Sends a body, and gives the status and the whole answer.
    pub(super) async fn post(
        &mut self,
        path: &str,
        body: Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        self.send(Method::POST, path, body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        let exchange = self.exchange(method, path, body);
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => {
                self.sender = None;
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
            }
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(self.target).await?,
        };
        sender.ready().await.map_err(io::Error::other)?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.target.host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = self.api_key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes();
        self.sender = Some(sender);
        Ok((status, bytes))
    }
}

async fn connect(target: &Target) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Its end shows at the sender.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Gets a path once.
pub(super) async fn get(
    target: &Target,
    path: &str,
    api_key: Option<&str>,
) -> io::Result<serde_json::Value> {
    let mut client = Client::new(target, api_key);
    let (_, bytes) = client.send(Method::GET, path, Bytes::new()).await?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}
