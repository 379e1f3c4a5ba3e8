//! An API server that answers lists as a test has it, and records what it is asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The token of the kubeconfig, which must not be shown.
pub const TOKEN: &str = "very-secret-token";

pub struct ApiServer {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

impl ApiServer {
    /// Starts one that answers each path with a status and a body. It ends with the process.
    pub fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let recorded = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &recorded, &answer);
            }
        });
        let server = Self {
            address,
            requests,
            folder: tempfile::tempdir().unwrap(),
        };
        server.write_kubeconfig();
        server
    }

    /// One that has these objects, which it returns on one page.
    pub fn with(objects: Vec<Value>) -> Self {
        Self::start(move |_| (200, page(&objects, "")))
    }

    /// The requests so far: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn write_kubeconfig(&self) {
        let server = format!("http://{}", self.address);
        rig::kubeconfig::write(&self.kubeconfig(), &server, None, TOKEN, "team-a").unwrap();
    }
}

fn serve(
    stream: &TcpStream,
    requests: &Mutex<Vec<String>>,
    answer: &impl Fn(&str) -> (u16, String),
) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let head = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let is_known = head.into_iter().any(|line| line.ends_with(TOKEN));
    assert!(is_known, "{first}");
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    requests.lock().unwrap().push(format!("{method} {path}"));
    let (status, body) = answer(path);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let mut stream = stream;
    // The program may have ended.
    let _ = stream.write_all((head + &body).as_bytes());
}

/// A page of a list; `next` is the token of the next one.
pub fn page(objects: &[Value], next: &str) -> String {
    json!({
        "kind": "FireworksUserList",
        "apiVersion": "iam.fireworks.ai/v1alpha1",
        "metadata": {"resourceVersion": "1", "continue": next},
        "items": objects,
    })
    .to_string()
}

/// A refusal.
pub fn refusal(code: u16, message: &str) -> (u16, String) {
    let status = json!({"kind": "Status", "status": "Failure", "message": message, "code": code});
    (code, status.to_string())
}

/// An object without a status.
#[allow(clippy::needless_pass_by_value, reason = "reads better at the call")]
pub fn object(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "iam.fireworks.ai/v1alpha1",
        "kind": "FireworksUser",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "generation": 1,
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

/// The object with that claim, of which `Ready` reports that status and reason.
pub fn reporting(mut object: Value, claim: &str, ready: &str, reason: &str) -> Value {
    object["status"] = json!({
        "observedGeneration": 1,
        "role": "user",
        "claim": claim,
        "conditions": [{
            "type": "Ready", "status": ready, "reason": reason, "message": format!("{reason} as reported"),
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    object
}
