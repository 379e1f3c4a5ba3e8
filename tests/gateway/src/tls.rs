//! HTTPS for the program: a door of its own that takes TLS off and hands every connection on to the plain one, so that
//! whatever the simulator does to a connection reaches the client. Nothing here knows HTTP.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Where to listen, and under which names.
pub(crate) struct Tls {
    listen: SocketAddr,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the certificate and its key. None where HTTPS is not asked for.
    pub(crate) fn read(
        listen: Option<SocketAddr>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Option<Self>, String> {
        let (Some(listen), Some(certificate), Some(key)) = (listen, certificate, key) else {
            return Ok(None);
        };
        let broken_certificate = |error: &dyn std::fmt::Display| {
            format!("--tls-certificate {}: {error}", certificate.display())
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .map_err(|error| broken_certificate(&error))?
            .collect::<Result<_, _>>()
            .map_err(|error| broken_certificate(&error))?;
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| format!("--tls-key {}: {error}", key.display()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|error| format!("--tls-certificate and --tls-key: {error}"))?;
        Ok(Some(Self {
            listen,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }))
    }

    /// Starts listening and answers the address, as a URL. Every connection goes on to `plain`.
    pub(crate) async fn start(self, plain: SocketAddr) -> Result<String, String> {
        let listening = async {
            let listener = TcpListener::bind(self.listen).await?;
            Ok::<_, io::Error>((listener.local_addr()?, listener))
        };
        let (address, listener) = listening
            .await
            .map_err(|error| format!("--tls-listen {}: {error}", self.listen))?;
        tokio::spawn(accept(listener, self.acceptor, plain));
        Ok(format!("https://{address}"))
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, plain: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(hand_on(stream, acceptor.clone(), plain));
            }
            Err(error) => {
                // Most likely out of file descriptors: trying again at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn hand_on(stream: TcpStream, acceptor: TlsAcceptor, plain: SocketAddr) {
    let handed_on = async {
        let mut client = acceptor.accept(stream).await?;
        let mut simulator = TcpStream::connect(plain).await?;
        simulator.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut simulator).await
    };
    // Either end may leave in any way: that is what a simulator is for.
    if let Err(error) = handed_on.await {
        tracing::debug!(%error, "a connection broke");
    }
}
