//! What a person sees who has `kubectl` and nothing else: the samples, the columns, `describe`, `explain`.

use fireworks_gateway_simulator::{Entry, User};

use crate::stage::{Stage, condition, ready};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/samples/");

/// The users that the samples speak of, none of them as declared.
fn people(stage: &Stage) {
    stage.user("root", "admin");
    stage
        .gateway
        .put_user(User::new("alice", "user").email("alice@example.com"));
    stage.user("bob", "contributor");
    stage.user("carol", "user");
    stage
        .gateway
        .put_user(User::new("clara", "user").email("Clara@example.com"));
    stage.user("dave", "user");
    stage.user("Erin.Example", "contributor");
}

#[tokio::test]
async fn the_samples_converge_and_read_well() {
    let stage = Stage::set("samples").await;
    people(&stage);
    let _operator = stage.operator().await;
    stage.kubectl(&["apply", "-f", SAMPLES]).await.unwrap();
    for name in ["alice", "bob", "carol", "clara"] {
        let object = format!("fwuser/{name}");
        let wait = ["wait", "--for=condition=Ready", &object, "--timeout=30s"];
        stage.kubectl(&wait).await.unwrap();
    }
    stage.until_reason("dave", "Drifted").await;
    stage.until_reason("erin", "Suspended").await;

    let role = |id: &str| stage.gateway.user(id).unwrap().role;
    let alice = stage.gateway.user("alice").unwrap();
    assert_eq!(
        (&*alice.role, &*alice.permission_preset),
        ("custom", "agent")
    );
    assert_eq!(alice.display_name, "Alice Liddell");
    assert_eq!(alice.email, "alice@example.com");
    assert_eq!((&*role("bob"), &*role("carol")), ("user", "inference-user"));
    assert_eq!(role("clara"), "contributor");
    assert_eq!(
        (&*role("dave"), &*role("Erin.Example")),
        ("user", "contributor")
    );

    // Nothing asks about a suspended user, but a list made for the others shows it, be it sooner or later.
    let wide = stage
        .kubectl(&["get", "fwusers", "-o", "wide"])
        .await
        .unwrap();
    let wide: Vec<_> = wide.lines().collect();
    let (erin, rest) = wide.split_last().unwrap();
    assert_table(
        &rest.join("\n"),
        &[
            "NAME USER ROLE PRESET STATE READY REASON AGE",
            "alice alice custom agent READY True InSync",
            "bob bob user READY True InSync",
            "carol carol inference-user READY True InSync",
            "clara clara contributor READY True InSync",
            "dave dave contributor READY False Drifted",
        ],
    );
    let erin = one_line(erin).replace(" READY", "");
    assert!(
        erin.starts_with("erin Erin.Example user Unknown Suspended"),
        "{erin}"
    );
    let asked = stage.gateway.journal();
    let of_erin = |entry: &&Entry| entry.user.as_deref() == Some("Erin.Example");
    assert_eq!(asked.iter().find(of_erin), None);
    let narrow = stage.kubectl(&["get", "fwuser", "alice"]).await.unwrap();
    assert_table(
        &narrow,
        &[
            "NAME USER ROLE STATE READY REASON AGE",
            "alice alice custom READY True InSync",
        ],
    );
}

#[tokio::test]
async fn an_object_is_found_by_its_short_names_its_category_and_its_fields() {
    let stage = Stage::set("names").await;
    stage
        .apply("alice", "{role: custom, permissionPreset: agent}")
        .await;
    stage.apply("bob", "{role: user, userId: Bob.B}").await;
    stage.apply("carol", "{role: user}").await;
    let found = async |args: &[&str]| {
        let args = [&["get"], args, &["-o", "name"]].concat();
        let names = stage.kubectl(&args).await.unwrap();
        let short = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        names.lines().map(short).collect::<Vec<_>>().join(" ")
    };
    for all in [
        "fwuser",
        "fwusers",
        "fireworksuser",
        "fireworksusers",
        "fireworks",
    ] {
        assert_eq!(found(&[all]).await, "alice bob carol", "{all}");
    }
    let by = async |selector: &str| found(&["fwusers", "--field-selector", selector]).await;
    assert_eq!(by("spec.role=user").await, "bob carol");
    assert_eq!(by("spec.role=custom").await, "alice");
    assert_eq!(by("spec.role!=user").await, "alice");
    assert_eq!(by("spec.userId=Bob.B").await, "bob");
    assert_eq!(by("spec.role=user,spec.userId=Bob.B").await, "bob");
    assert_eq!(by("spec.role=admin").await, "");
}

#[tokio::test]
async fn describe_shows_the_desired_and_the_actual_user_and_the_changes() {
    let stage = Stage::set("describe").await;
    stage
        .gateway
        .put_user(User::new("alice", "user").email("alice@example.com"));
    stage.user("dave", "user");
    let _operator = stage.operator().await;
    stage
        .apply("alice", "{role: contributor, displayName: Alice Liddell}")
        .await;
    stage.until_ready("alice").await;
    stage.until_event("alice", "RoleChanged").await;
    let text = stage
        .kubectl(&["describe", "fwuser", "alice"])
        .await
        .unwrap();
    let text = one_line(&text);
    for reported in [
        "Spec: Display Name: Alice Liddell",
        "Role: contributor",
        "Message: the remote user matches the spec",
        "Reason: InSync Status: True Type: Ready",
        "Name: accounts/acme/users/alice",
        "State: READY",
        "User Id: alice",
        "Normal RoleChanged",
        "role changed from user to contributor",
    ] {
        assert!(text.contains(reported), "{reported:?} is not in: {text}");
    }
    assert!(!text.contains("@example.com"), "{text}");

    stage
        .apply("dave", "{role: user, managementPolicy: Observe}")
        .await;
    stage.until_ready("dave").await;
    let edited = |user: &mut User| "contributor".clone_into(&mut user.role);
    stage.gateway.edit_user("dave", edited);
    stage.until_reason("dave", "Drifted").await;
    stage.until_event("dave", "DriftDetected").await;
    let text = stage
        .kubectl(&["describe", "fwuser", "dave"])
        .await
        .unwrap();
    let text = one_line(&text);
    for reported in [
        "Drift: Actual: contributor Desired: user Field: role",
        "Message: observed only, never changed: the remote user differs in role",
        "Reason: Drifted Status: False Type: Ready",
        "Reason: Drifted Status: True Type: Stalled",
        "Warning DriftDetected",
    ] {
        assert!(text.contains(reported), "{reported:?} is not in: {text}");
    }
    let dave = stage.object("dave").await;
    assert_eq!(
        condition(&dave, "Stalled")["message"],
        ready(&dave)["message"]
    );
}

#[tokio::test]
async fn explain_answers_the_questions_of_an_on_call_engineer() {
    let stage = Stage::set("explain").await;
    let questions: &[(&str, &[&str])] = &[
        (
            "",
            &[
                "The operator reconciles the remote user to match the spec",
                "spec <Object> -required-",
            ],
        ),
        (
            ".spec",
            &[
                "The operator does not create users",
                "role <string> -required-",
                "enum: admin, user, contributor, inference-user, ....",
                "enum: Manage, Observe",
            ],
        ),
        (
            ".spec.role",
            &[
                "Role of the user in the account, in Fireworks' own spelling",
                "custom takes its permissions from permissionPreset",
                "The only remaining admin is never demoted (reason Protected)",
                "ENUM: admin user contributor inference-user custom",
            ],
        ),
        (
            ".spec.permissionPreset",
            &["Required when role is custom, forbidden otherwise"],
        ),
        (
            ".spec.displayName",
            &["Unset means that the remote display name is not managed"],
        ),
        (
            ".spec.userId",
            &[
                "Unset means metadata.name",
                "Cannot be changed, set or removed later",
            ],
        ),
        (
            ".spec.managementPolicy",
            &["Observe: it never changes the remote user", "status.drift"],
        ),
        (".spec.suspend", &["no request is made for this object"]),
        (
            ".status.observedGeneration",
            &["-1 before the first reconciliation"],
        ),
        (
            ".status.drift",
            &[
                "Managed fields whose remote value differs",
                "desired <string>",
                "actual <string>",
            ],
        ),
        (".status.drift.actual", &["absent if it is unset"]),
        (
            ".status.state",
            &["STATE_UNSPECIFIED, CREATING, READY, UPDATING or DELETING"],
        ),
        (
            ".status.updateTime",
            &["Time of the last change of the remote user"],
        ),
        (
            ".status.conditions",
            &[
                "True if the remote user matches the spec, Unknown while the operator makes progress, False if the user does not match",
                "Reconciling and Stalled are present only while True",
            ],
        ),
    ];
    for (field, reported) in questions {
        let path = format!("fireworksuser{field}");
        let text = stage.kubectl(&["explain", &path]).await.unwrap();
        let text = one_line(&text);
        for reported in *reported {
            assert!(
                text.contains(reported),
                "{path}: {reported:?} is not in: {text}"
            );
        }
    }
}

#[tokio::test]
async fn no_field_is_without_an_explanation() {
    let stage = Stage::set("explained").await;
    let crd = stage
        .plane
        .get_json(&["crd", "fireworksusers.iam.fireworks.ai"])
        .await
        .unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut unanswered = Vec::new();
    for part in ["spec", "status"] {
        find_unexplained(&schema["properties"][part], part, &mut unanswered);
    }
    assert_eq!(unanswered, Vec::<String>::new());
}

fn find_unexplained(schema: &serde_json::Value, path: &str, unanswered: &mut Vec<String>) {
    if schema["description"]
        .as_str()
        .unwrap_or_default()
        .is_empty()
    {
        unanswered.push(path.to_owned());
    }
    let inner = [&schema["properties"], &schema["items"]["properties"]];
    for (name, field) in inner
        .into_iter()
        .filter_map(|one| one.as_object())
        .flatten()
    {
        find_unexplained(field, &format!("{path}.{name}"), unanswered);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The whole table; the age of a row is not compared.
fn assert_table(text: &str, expected: &[&str]) {
    let mut lines = text.lines();
    let mut rows = vec![one_line(lines.next().unwrap_or_default())];
    for line in lines {
        let mut cells: Vec<_> = line.split_whitespace().collect();
        let age = cells.pop().unwrap_or_default();
        assert!(age.ends_with(['s', 'm']), "no age at the end of: {line}");
        rows.push(cells.join(" "));
    }
    assert_eq!(rows, expected, "{text}");
}
