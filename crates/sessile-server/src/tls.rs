//! TLS: a certificate and its key from files, which are read again when they change or when the service
//! is told to, and clients' certificates where they are asked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Where the certificate and what belongs to it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Roots of the certificates of which a client needs one, in PEM; none: clients need none.
    pub client_roots: Option<PathBuf>,
}

/// The certificate that is shown now; all clones are the same one.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    now: RwLock<(TlsAcceptor, Vec<Option<SystemTime>>)>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read or is not what it should be, and a key that is another's.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let now = RwLock::new(read(&files)?);
        Ok(Tls(Arc::new(Inner { files, now })))
    }

    /// Reads the files again; new connections see what is in them now.
    ///
    /// # Errors
    ///
    /// As [`Tls::load`]; what was read before stays.
    pub fn reload(&self) -> Result<(), String> {
        let now = read(&self.0.files)?;
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Reads the files again if one of them has changed, and says whether it did.
    ///
    /// # Errors
    ///
    /// As [`Tls::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, String> {
        let before = {
            let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
            now.1.clone()
        };
        if before == times(&self.0.files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
        now.0.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.files.fmt(f)
    }
}

/// When each file changed last.
fn times(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let all = [
        Some(&files.certificate),
        Some(&files.key),
        files.client_roots.as_ref(),
    ];
    let time = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    };
    all.into_iter().flatten().map(time).collect()
}

fn read(files: &TlsFiles) -> Result<(TlsAcceptor, Vec<Option<SystemTime>>), String> {
    // Before the files themselves: a change meanwhile is seen the next time.
    let times = times(files);
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{}: no private key in PEM: {error}", files.key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match &files.client_roots {
        None => config.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                let wrong = |error| format!("{}: {error}", path.display());
                roots.add(root).map_err(wrong)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| error.to_string())?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let mut config = config.with_single_cert(chain, key).map_err(|error| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("{certificate} and {key} do not go together: {error}")
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), times))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error| format!("{}: no certificate in PEM: {error}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(wrong)?;
    if all.is_empty() {
        return Err(format!("{} has no certificate in PEM", path.display()));
    }
    Ok(all)
}
