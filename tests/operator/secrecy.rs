//! Neither the API key nor any e-mail address is ever shown: not in the log at its most talkative, not
//! in a status, an Event or a metric, whatever the gateway answers.

use fireworks_gateway_simulator::{Fault, Kind, User, Verb};
use rig::{OperatorProcess, until};
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, ready};

const SPEC: &str = "{role: contributor}";
/// The shortest piece of a key that counts as shown.
const PIECE: usize = 8;

/// A key that means nothing and occurs nowhere by chance.
fn canary() -> String {
    (0..40).map(|_| fastrand::alphanumeric()).collect()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triple = |bytes: &[u8]| {
        let number = (0..3).fold(0, |number, place| {
            number << 8 | usize::from(bytes.get(place).copied().unwrap_or_default())
        });
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]));
        digits.into_iter().take(bytes.len() + 1).collect::<String>()
    };
    text.as_bytes().chunks(3).map(triple).collect()
}

#[test]
fn base64_is_that_of_rfc_4648() {
    assert_eq!(base64("Bearer fw_1"), "QmVhcmVyIGZ3XzE");
}

/// What must not be shown of a key.
fn pieces(key: &str) -> Vec<String> {
    let coded = base64(key);
    let windows = |text: &str| {
        let bytes = text.as_bytes();
        let pieces = bytes.windows(PIECE).map(String::from_utf8_lossy);
        pieces.map(Into::into).collect::<Vec<String>>()
    };
    [windows(key), windows(&coded)].concat()
}

/// An error that names a person and the key, as a careless gateway would.
fn talkative(code: i64, key: &str) -> Kind {
    let start = &key[..12];
    Kind::Error {
        code,
        status: None,
        shape: fireworks_gateway_simulator::ErrorShape::Wrapped,
        message: Some(format!(
            "wanda.canary@corp.example may not do this with Bearer {key} ({start}...); ask \
             <otto.canary@corp.example>"
        )),
    }
}

/// The users of the scenario, each with an address of its own.
fn people(stage: &Stage) {
    stage.gateway.seed(20);
    let person = |id: &str| User::new(id, "user").email(format!("{id}.canary@corp.example"));
    for id in ["alice", "carol", "dave", "eve"] {
        stage.gateway.put_user(person(id));
    }
    let named = person("frank").display_name("frank.canary@corp.example");
    stage.gateway.put_user(named);
    let ill = person("grace").status("INTERNAL", "mail to grace.canary@corp.example bounced");
    stage.gateway.put_user(User {
        role: "contributor".to_owned(),
        ..ill
    });
    let odd = User {
        role: "henry.canary@corp.example".to_owned(),
        ..person("henry")
    };
    stage.gateway.put_user(odd);
}

/// Everything that the operator has shown.
async fn shown(stage: &Stage, operator: &OperatorProcess, since: rig::Mark) -> String {
    let plane = stage.plane;
    let kinds = "fireworksusers,events.events.k8s.io";
    let objects = plane.get_json(&[kinds, "-n", &stage.namespace]).await;
    let objects = objects.unwrap().to_string();
    let metrics = operator.admin_get("/metrics").await.unwrap().1;
    // Also the statuses that were only there for a moment.
    let written: Vec<Value> = stage
        .writes(since)
        .into_iter()
        .filter_map(|write| write.body)
        .collect();
    let written = json!(written).to_string();
    [operator.logs(), objects, metrics, written].join("\n")
}

#[tokio::test]
async fn neither_keys_nor_addresses_are_ever_shown() {
    let stage = Stage::set("secrecy").await;
    let (first, second) = (canary(), canary());
    stage.gateway.set_api_keys([&first]);
    people(&stage);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api-key");
    std::fs::write(&file, &first).unwrap();
    let on_patch = |user: &str, code| Fault::new(talkative(code, &first)).on(Verb::Patch).of(user);
    stage.gateway.add_fault(on_patch("carol", 3));
    stage.gateway.add_fault(on_patch("dave", 14));
    let mark = stage.mark();
    let operator = stage
        .operator_with(Start {
            key_file: Some(file.clone()),
            env: vec![("RUST_LOG".to_owned(), "trace".to_owned())],
            ..Start::default()
        })
        .await;

    for name in ["alice", "carol", "dave", "eve", "grace", "henry"] {
        stage.apply(name, SPEC).await;
    }
    let observe = "{role: user, displayName: Frank, managementPolicy: Observe}";
    stage.apply("frank", observe).await;
    for name in ["alice", "dave", "eve"] {
        stage.until_ready(name).await;
    }
    // Held, since this version does not know the role.
    let held = stage.until_reason("henry", "Protected").await;
    let message = ready(&held)["message"].as_str().unwrap();
    assert!(message.contains("<redacted>"), "{message}");
    let refused = stage.until_reason("carol", "Rejected").await;
    let output = ready(&refused)["message"].as_str().unwrap();
    assert!(output.contains("<redacted>"), "{output}");
    let ill = stage.until_reason("grace", "RemoteError").await;
    assert!(ill["status"]["status"].to_string().contains("<redacted>"));
    let differs = stage.until_reason("frank", "Drifted").await;
    assert_eq!(differs["status"]["drift"][0]["actual"], "<redacted>");
    stage.gateway.edit_user("eve", |user| {
        "custom".clone_into(&mut user.role);
        "eve.canary@corp.example".clone_into(&mut user.permission_preset);
    });
    stage
        .until_journal("the drift to be undone", |entries| {
            let undone = |entry: &&fireworks_gateway_simulator::Entry| {
                entry.verb == Verb::Patch && entry.user.as_deref() == Some("eve")
            };
            entries.iter().filter(undone).count() == 2
        })
        .await;

    stage.gateway.set_api_keys([&second]);
    let refusal = Fault::new(talkative(16, &first)).on(Verb::List);
    stage.gateway.add_fault(refusal);
    stage
        .until_journal("the key to be refused", |entries| {
            entries.iter().any(|entry| entry.status == Some(401))
        })
        .await;
    stage.apply("alice", "{role: user}").await;
    stage.until_reason("alice", "Unauthenticated").await;
    std::fs::write(&file, format!("{second}\n")).unwrap();
    stage.until_ready("alice").await;
    until(LONG, "the Events of eve", async || {
        let events = stage.events("eve").await;
        let corrected = events.iter().any(|one| one["reason"] == "DriftCorrected");
        if corrected {
            Ok(())
        } else {
            Err(json!(events))
        }
    })
    .await
    .unwrap();

    let shown = shown(&stage, &operator, mark).await;
    assert!(
        shown.contains(r#""level":"DEBUG""#),
        "the log was talkative"
    );
    for key in [&first, &second] {
        for piece in pieces(key) {
            assert!(!shown.contains(&piece), "{}", around(&shown, &piece));
        }
    }
    let addresses = stage.gateway.users().into_iter().map(|user| user.email);
    for address in addresses.filter(|address| !address.is_empty()) {
        assert!(!shown.contains(&address), "{}", around(&shown, &address));
    }
    let local = ".canary";
    assert!(!shown.contains(local), "{}", around(&shown, local));
}

/// Where it is shown.
fn around(shown: &str, what: &str) -> String {
    let line = shown.lines().find(|line| line.contains(what));
    let line = line.unwrap_or_default();
    let at = line.find(what).unwrap_or_default();
    line.chars()
        .skip(at.saturating_sub(300))
        .take(600)
        .collect()
}
