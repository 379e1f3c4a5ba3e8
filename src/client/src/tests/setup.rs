//! What a client is made from: certificate authorities and a proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// An authority that has signed nothing; its key is gone.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUdjOGKD6myhWOAXusWAWV3DpkKccwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIyMDAzMzUxWhgPMjEy
NjEwMjkwMDMzNTFaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEGdctgh38bsNP9/IhXBoOfu7RMvIo04L0xxn52I9q
tfpAJveaXQ4uex7T3wWgDm03SuBTW/ODwUm+WPtgBFR/KKNTMFEwHQYDVR0OBBYE
FHMO7gxIpCyjh++rCaCTl89NeUbQMB8GA1UdIwQYMBaAFHMO7gxIpCyjh++rCaCT
l89NeUbQMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAKToEnIB
rxOpvjZ2IrN2tpuLcyXTCh3p9G5iFPgMoDufAiA9UhYAVBTVd4fzP+adrGFM3bPt
TNFFTsXJzak4LnXnog==
-----END CERTIFICATE-----
";

fn over_tls(base: &str, ca: Option<PathBuf>, proxy: Option<&str>) -> Result<Client, SetupError> {
    let settings = Settings {
        ca_file: ca,
        https_proxy: proxy.map(|proxy| proxy.parse().unwrap()),
        ..settings(base)
    };
    connect(settings, Gate::new(|| true))
}

/// Accepts one connection, reads what comes first, and answers.
async fn first_words(listener: TcpListener, answer: Vec<u8>) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = vec![0; 4096];
    let count = stream.read(&mut seen).await.unwrap();
    // The client may hang up without hearing it.
    let _ = stream.write_all(&answer).await;
    String::from_utf8_lossy(&seen[..count]).into_owned()
}

#[tokio::test]
async fn a_server_without_tls_gets_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, AUTHORITY).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let client = over_tls(&base, Some(ca), None).unwrap();
    let server = tokio::spawn(first_words(listener, answer("200 OK", "", ALICE)));
    let error = client.update(&alice(), &patch()).await.unwrap_err();
    assert_eq!(verdict(&error), (Kind::Transient, Effect::None), "{error}");
    assert!(!server.await.unwrap().contains("canary"));
}

#[tokio::test]
async fn https_proxy_is_asked_for_a_tunnel_and_gets_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, AUTHORITY).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://bob:word@{}", listener.local_addr().unwrap());
    let client = over_tls("https://gateway.invalid", Some(ca), Some(&proxy)).unwrap();
    let refusal = answer("407 Who are you", "", "");
    let server = tokio::spawn(first_words(listener, refusal));
    let error = client.update(&alice(), &patch()).await.unwrap_err();
    assert_eq!(verdict(&error), (Kind::Transient, Effect::None), "{error}");
    assert!(!error.to_string().contains("word"), "{error}");
    let seen = server.await.unwrap();
    assert!(
        seen.starts_with("CONNECT gateway.invalid:443 HTTP/1.1\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("canary"));
}

#[test]
fn damaged_certificate_of_a_bundle_is_named_by_number() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = &AUTHORITY[..AUTHORITY.len() / 2];
    for (bundle, expected) in [
        ([AUTHORITY, damaged, AUTHORITY], "certificate 2 of 3"),
        ([AUTHORITY, AUTHORITY, cut], "certificate 3 of 3"),
        ([cut, AUTHORITY, AUTHORITY], "certificate 1 of 3"),
    ] {
        std::fs::write(&ca, bundle.concat()).unwrap();
        let refused = over_tls("https://api.fireworks.ai", Some(ca.clone()), None);
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_certificate_of_a_bundle_is_read_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let glued = AUTHORITY.trim_end();
    for bundle in [
        [glued, glued, AUTHORITY].concat(),
        format!("# our own\n{AUTHORITY}\n{AUTHORITY}text\n{AUTHORITY}"),
        AUTHORITY.repeat(3).replace('\n', "\r\n"),
    ] {
        std::fs::write(&ca, &bundle).unwrap();
        let client = over_tls("https://api.fireworks.ai", Some(ca.clone()), None).unwrap();
        assert_eq!(client.authorities(), 3, "{bundle}");
    }
}

#[test]
fn a_ca_file_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, damaged) = (dir.path().join("empty.pem"), dir.path().join("damaged.pem"));
    std::fs::write(&empty, "no certificate").unwrap();
    std::fs::write(
        &damaged,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    for path in [empty, damaged, dir.path().join("missing.pem")] {
        let error = over_tls("https://api.fireworks.ai", Some(path.clone()), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(path.to_str().unwrap()) && !error.contains('\n'),
            "{error}"
        );
    }
}
