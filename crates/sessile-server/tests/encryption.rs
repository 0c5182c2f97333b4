//! TLS: HTTP/1.1 and HTTP/2 by what a client prefers, certificates that are read again, and those of
//! clients.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sessile_server::{ServiceOptions, Tls, TlsFiles};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::running::{Running, options, pool_options, tiny};

fn pem(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

fn service(tls: &Tls) -> Running {
    let options = ServiceOptions {
        tls: Some(tls.clone()),
        ..options()
    };
    Running::start(options, || {
        sessile_server::Engine::load(vec![tiny()], &pool_options())
    })
}

/// Asks whether the process lives; gives the certificate that was shown.
fn ask(service: &Running, protocol: &[u8], own: Option<&str>) -> Result<Vec<u8>, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem("root.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(pem(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(pem(&format!("{name}.key"))).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(service.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(protocol));
        let shown = session.peer_certificates().unwrap()[0].to_vec();
        let request = |uri: &str| {
            Request::get(uri)
                .header("host", "localhost")
                .body(Empty::<Bytes>::new())
                .unwrap()
        };
        let io = TokioIo::new(stream);
        let answer = if protocol == b"h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .unwrap();
            tokio::spawn(connection);
            sender
                .send_request(request("https://localhost/livez"))
                .await
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request("/livez")).await
        };
        let answer = answer.map_err(|error| error.to_string())?;
        assert_eq!(answer.status(), 200);
        answer
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok(shown)
    })
}

#[test]
fn both_protocols_are_spoken_and_a_new_certificate_is_shown() {
    let folder = std::env::temp_dir().join(format!("sessile-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = |name: &str| {
        std::fs::copy(pem(&format!("{name}.pem")), folder.join("tls.pem")).unwrap();
        std::fs::copy(pem(&format!("{name}.key")), folder.join("tls.key")).unwrap();
    };
    copy("service");
    let tls = Tls::load(TlsFiles {
        certificate: folder.join("tls.pem"),
        key: folder.join("tls.key"),
        client_roots: None,
    })
    .unwrap();
    let running = service(&tls);
    let first = ask(&running, b"http/1.1", None).unwrap();
    assert_eq!(ask(&running, b"h2", None).unwrap(), first);
    assert!(!tls.reload_if_changed().unwrap());
    copy("other");
    assert!(tls.reload_if_changed().unwrap());
    assert_ne!(ask(&running, b"h2", None).unwrap(), first);
    // A key that is another's changes nothing.
    std::fs::copy(pem("client.key"), folder.join("tls.key")).unwrap();
    assert!(tls.reload().unwrap_err().contains("do not go together"));
    ask(&running, b"http/1.1", None).unwrap();
    drop(running);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_client_shows_a_certificate_where_one_is_asked_for() {
    let tls = Tls::load(TlsFiles {
        certificate: pem("service.pem"),
        key: pem("service.key"),
        client_roots: Some(pem("root.pem")),
    })
    .unwrap();
    let running = service(&tls);
    ask(&running, b"h2", Some("client")).unwrap();
    assert!(ask(&running, b"http/1.1", None).is_err());
}
