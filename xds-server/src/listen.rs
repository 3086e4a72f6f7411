//! Connections that `weir` accepts, with TLS or without.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tracing::{debug, warn};

use crate::tls::Tls;

/// What is accepted at one address. A client that is slow to greet keeps nobody else waiting.
#[derive(Debug)]
pub struct Accepted {
    address: SocketAddr,
    connections: mpsc::Receiver<(Connection, SocketAddr)>,
}

/// A connection that is ready to be read.
#[derive(Debug)]
pub enum Connection {
    /// Without TLS.
    Plain(TcpStream),
    /// With it.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who has connected.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Accepted {
    /// Accepts from now on.
    pub fn at(listener: TcpListener, tls: Option<Tls>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, connections) = mpsc::channel(WAITING);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self { address, connections })
    }

    /// The connections, without who they are from.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        ReceiverStream::new(self.connections).map(|(connection, _)| Ok(connection))
    }
}

async fn accept(listener: TcpListener, tls: Option<Tls>, to: mpsc::Sender<(Connection, SocketAddr)>) {
    let greeting = Arc::new(Semaphore::new(GREETING));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(problem) => {
                // Such as too many open files; some end.
                warn!(%problem, "cannot accept a connection");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(problem) = stream.set_nodelay(true) {
            debug!(%peer, %problem, "cannot send at once");
        }
        let Some(tls) = &tls else {
            if to.send((Connection::Plain(stream), peer)).await.is_err() {
                return;
            }
            continue;
        };
        let Ok(permit) = Arc::clone(&greeting).acquire_owned().await else { return };
        let (acceptor, to) = (TlsAcceptor::from(tls.current()), to.clone());
        tokio::spawn(async move {
            match time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(to.send((Connection::Tls(Box::new(stream)), peer)).await),
                Ok(Err(problem)) => warn!(%peer, %problem, "a connection was refused"),
                Err(_) => debug!(%peer, "no greeting"),
            }
            drop(permit);
        });
    }
}

impl Listener for Accepted {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Accepted>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Accepted>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, to),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// How many accepted connections may wait to be taken.
const WAITING: usize = 64;

/// How many clients may be greeting at once: after a restart every node comes back at once.
const GREETING: usize = 1024;

/// How long a client may take to greet.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing is accepted after that has failed.
const PAUSE: Duration = Duration::from_millis(200);
