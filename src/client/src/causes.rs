//! Errors of connections in words: every cause in one line, TLS refusals as people call them. rustls prints most of those
//! as the names of its variants.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Returns an error and its causes in one line, each once.
#[must_use]
pub fn chain_of(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = words(error);
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = error.source();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the cause behind all others.
#[must_use]
pub fn root(mut error: &(dyn Error + 'static)) -> String {
    while let Some(deeper) = error.source() {
        error = deeper;
    }
    words(error)
}

fn words(error: &(dyn Error + 'static)) -> String {
    match refusal(error) {
        Some(refusal) => format!("the server's certificate {}", certificate(refusal)),
        None => error.to_string(),
    }
}

/// The refusal of a certificate that this error is. The source of an I/O error is that of the error in it: the inner one
/// has to be asked for.
fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(refusal)) = error.downcast_ref() {
        return Some(refusal);
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    refusal(inner)
}

/// Completes "the server's certificate …".
fn certificate(refusal: &CertificateError) -> String {
    let plain = match refusal {
        CertificateError::UnknownIssuer => "is signed by an unknown authority",
        CertificateError::Expired => "has expired",
        CertificateError::NotValidYet => "is not valid yet",
        CertificateError::NotValidForName => "is for another host name",
        // These name the times and the host names.
        CertificateError::ExpiredContext { .. } => return format!("has expired: {refusal}"),
        CertificateError::NotValidYetContext { .. } => {
            return format!("is not valid yet: {refusal}");
        }
        CertificateError::NotValidForNameContext { .. } => {
            return format!("is for another host name: {refusal}");
        }
        CertificateError::Revoked => "is revoked",
        CertificateError::BadEncoding => "cannot be decoded",
        CertificateError::BadSignature => "has a wrong signature",
        CertificateError::Other(other) => {
            return match spelled_out(&other.0.to_string()).as_str() {
                "ca used as end entity" => {
                    "is a certificate authority's, not a server's".to_owned()
                }
                other => format!("is refused: {other}"),
            };
        }
        other => return format!("is refused: {}", spelled_out(&format!("{other:?}"))),
    };
    plain.to_owned()
}

/// `CaUsedAsEndEntity` as "ca used as end entity"; what is no such name stays.
fn spelled_out(name: &str) -> String {
    if !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::Arc;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct Webpki;

    fn refused(refusal: CertificateError) -> Connect {
        let inner = rustls::Error::InvalidCertificate(refusal);
        Connect(io::Error::new(io::ErrorKind::InvalidData, inner))
    }

    #[test]
    fn tls_refusals_are_words() {
        let other = rustls::OtherError(Arc::new(Webpki));
        for (refusal, expected) in [
            (
                CertificateError::UnknownIssuer,
                "is signed by an unknown authority",
            ),
            (CertificateError::Expired, "has expired"),
            (
                CertificateError::NotValidForName,
                "is for another host name",
            ),
            (
                CertificateError::Other(other),
                "is a certificate authority's, not a server's",
            ),
            (
                CertificateError::UnhandledCriticalExtension,
                "is refused: unhandled critical extension",
            ),
        ] {
            let error = refused(refusal);
            let line = chain_of(&error);
            assert_eq!(
                line,
                format!("client error (Connect): the server's certificate {expected}")
            );
            assert_eq!(root(&error), format!("the server's certificate {expected}"));
        }
    }

    #[test]
    fn certificate_is_found_behind_two_io_errors() {
        let error = refused(CertificateError::UnknownIssuer);
        let error = Connect(io::Error::other(error.0));
        let expected = "the server's certificate is signed by an unknown authority";
        assert_eq!(root(&error), expected);
    }

    #[test]
    fn each_cause_is_shown_once() {
        let inner = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        assert_eq!(
            chain_of(&Connect(inner)),
            "client error (Connect): connection refused"
        );
    }
}
