//! Certificates for one node's lifetime: an authority, what it signs, and the key that signs `ServiceAccount` tokens.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::failure::Result;

/// An authority, and the folder in which it leaves `NAME.crt` and `NAME.key`.
pub(crate) struct Authority {
    folder: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one; its own certificate is `ca.crt`.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key)?.pem();
        fs::write(folder.join("ca.crt"), &certificate)?;
        Ok(Self {
            folder: folder.to_owned(),
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// Its own certificate, PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a server under these names and addresses.
    pub(crate) fn server(&self, file: &str, names: &[&str]) -> Result {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(file, &params)
    }

    /// A certificate for a client that is that user of that group.
    pub(crate) fn client(&self, file: &str, user: &str, group: &str) -> Result {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, &params)
    }

    fn sign(&self, file: &str, params: &CertificateParams) -> Result {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.folder.join(format!("{file}.crt")), certificate.pem())?;
        fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }
}

/// A key for signing tokens, `tokens.key`, and what they are checked with, `tokens.pub`.
pub(crate) fn signing_key(folder: &Path) -> Result {
    let key = KeyPair::generate()?;
    fs::write(folder.join("tokens.key"), key.serialize_pem())?;
    fs::write(folder.join("tokens.pub"), key.public_key_pem())?;
    Ok(())
}
