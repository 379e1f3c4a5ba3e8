//! The program: its line at the start, its refusals, its end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Client;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fireworks-gateway-simulator"));
    command
        .env_remove("FIREWORKS_API_KEY")
        .env_remove("FIREWORKS_ACCOUNT_ID");
    command
}

fn refused(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Killed with the test, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> (Running, String) {
    let child = command
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (running, line)
}

fn address(line: &str) -> std::net::SocketAddr {
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn it_prints_its_address_serves_seeded_users_and_ends_on_sigterm() {
    let mut command = program();
    command.args(["--users", "3", "--account-id", "globex"]);
    let (mut running, line) = start(command);
    let mut client = Client::to(address(&line))
        .await
        .with_key("fw_0000000000_not_a_real_key");
    let page = client.get("/v1/accounts/globex/users").await.json();
    assert_eq!(page["totalSize"], 3);
    assert!(line.contains("for tests only"), "{line}");
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(running.0.wait().unwrap().success());
}

#[tokio::test]
async fn a_key_from_a_file_is_accepted_without_its_newline_and_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "fw_canary\n").unwrap();
    let mut command = program();
    command.arg("--api-key-file").arg(&file);
    let (_running, line) = start(command);
    assert!(!line.contains("fw_canary"), "{line}");
    let mut client = Client::to(address(&line)).await.with_key("fw_canary");
    assert_eq!(client.get("/v1/accounts/acme/users").await.status, 200);
}

#[test]
fn a_bad_flag_is_one_line_that_names_it_and_exit_code_2() {
    for (arguments, named) in [
        (&["--lisen", "x"][..], "--lisen"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--latency", "soon"], "--latency"),
        (&["--users", "-3"], "-3"),
        (&["--api-key-file", "/does/not/exist"], "--api-key-file"),
    ] {
        let output = refused(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn help_names_every_control_page() {
    let output = refused(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for page in [
        "/_journal",
        "/_faults",
        "/_keys",
        "/_switches",
        "/_users",
        "--api-key-file",
    ] {
        assert!(text.contains(page), "{page}");
    }
}

/// An authority's certificate, and a certificate of its for `localhost` with the key, all PEM.
fn authority_certificate_and_key() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let known_by = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    (known_by, shown.pem(), key.serialize_pem())
}

#[tokio::test]
async fn it_serves_https_beside_http_to_clients_that_trust_the_authority() {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types};
    let (known_by, shown, key) = authority_certificate_and_key();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut command = program();
    command.args(["--tls-listen", "127.0.0.1:0", "--tls-certificate"]);
    command
        .arg(file("tls.crt", &shown))
        .arg("--tls-key")
        .arg(file("tls.key", &key));
    let (_running, line) = start(command);
    let encrypted: std::net::SocketAddr = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("https://"))
        .unwrap()
        .parse()
        .unwrap();

    let mut roots = RootCertStore::empty();
    let trusted = pki_types::CertificateDer::from_pem_slice(known_by.as_bytes()).unwrap();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(encrypted).await.unwrap();
    let name = pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let request = "GET /_users HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    let mut plain = Client::to(address(&line)).await;
    assert_eq!(plain.get("/_users").await.status, 200);
}

#[test]
fn https_without_its_certificate_is_refused_by_one_line() {
    let output = refused(&["--tls-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    let missing = refused(&[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        "/nonexistent",
        "--tls-key",
        "/nonexistent",
    ]);
    let printed = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        printed.starts_with("error: --tls-certificate /nonexistent:"),
        "{printed}"
    );
}
