//! Certificate authorities from a PEM file. The blocks are read one by one, so that a damaged one is named by its number
//! and none is lost: reading the bundle as a whole passes over a block that begins on the line where another one ends.

use std::path::Path;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::SetupError;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads the authorities in the file, at least one.
///
/// # Errors
/// Names the file, and the certificate that cannot be used.
pub(super) fn read(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = std::fs::read(path).map_err(|error| SetupError::CaUnreadable {
        path: path.into(),
        reason: error.kind(),
    })?;
    // What stands between the blocks may be in any encoding.
    let pem = String::from_utf8_lossy(&pem);
    let blocks: Vec<&str> = pem.split(BEGIN).skip(1).collect();
    if blocks.is_empty() {
        return Err(SetupError::CaEmpty { path: path.into() });
    }
    let usable = |(at, block): (usize, &&str)| {
        certificate(block).ok_or_else(|| SetupError::CaUnusable {
            path: path.into(),
            number: at + 1,
            of: blocks.len(),
        })
    };
    blocks.iter().enumerate().map(usable).collect()
}

/// The certificate in what follows its first line; none where it cannot be an authority.
fn certificate(block: &str) -> Option<Certificate> {
    let (content, _) = block.split_once(END)?;
    let block = format!("{BEGIN}{content}\n{END}\n");
    let der = CertificateDer::from_pem_slice(block.as_bytes()).ok()?;
    RootCertStore::empty().add(der.clone()).ok()?;
    Certificate::from_der(&der).ok()
}
