//! The switches of the chart, and every combination of those that a template distinguishes: what a template renders
//! depends on the values it reads and on nothing else.

use std::collections::BTreeSet;
use std::fs;

use crate::helm::chart;

/// A value that decides whether something is there or how it is built: its path, and the settings it may have.
pub struct Switch {
    pub path: &'static str,
    pub positions: &'static [&'static str],
}

/// The position that values.yaml gives: an empty list cannot be given on the command line.
const AS_IT_IS: &str = "";

const fn switch(path: &'static str, positions: &'static [&'static str]) -> Switch {
    Switch { path, positions }
}

/// What else there is among the values is put into place as it is.
pub const SWITCHES: &[Switch] = &[
    switch("crds.enabled", &["crds.enabled=true", "crds.enabled=false"]),
    switch("crds.keep", &["crds.keep=true", "crds.keep=false"]),
    switch("rbac.create", &["rbac.create=true", "rbac.create=false"]),
    switch(
        "userRoles.create",
        &["userRoles.create=true", "userRoles.create=false"],
    ),
    switch(
        "userRoles.aggregate.view",
        &[
            "userRoles.aggregate.view=true",
            "userRoles.aggregate.view=false",
        ],
    ),
    switch(
        "userRoles.aggregate.edit",
        &[
            "userRoles.aggregate.edit=true",
            "userRoles.aggregate.edit=false",
        ],
    ),
    switch(
        "userRoles.aggregate.admin",
        &[
            "userRoles.aggregate.admin=true",
            "userRoles.aggregate.admin=false",
        ],
    ),
    switch(
        "restrictAdmin.enabled",
        &["restrictAdmin.enabled=true", "restrictAdmin.enabled=false"],
    ),
    switch(
        "userRoles.aggregate.grant",
        &[
            "userRoles.aggregate.grant=true",
            "userRoles.aggregate.grant=false",
        ],
    ),
    switch(
        "requireGrant.enabled",
        &["requireGrant.enabled=true", "requireGrant.enabled=false"],
    ),
    switch(
        "restrictStatus.enabled",
        &[
            "restrictStatus.enabled=true",
            "restrictStatus.enabled=false",
        ],
    ),
    switch(
        "restrictOperator.enabled",
        &[
            "restrictOperator.enabled=true",
            "restrictOperator.enabled=false",
        ],
    ),
    switch(
        "grantNamespaces",
        &[AS_IT_IS, "grantNamespaces={team-a,iam}"],
    ),
    switch(
        "serviceAccount.create",
        &["serviceAccount.create=true", "serviceAccount.create=false"],
    ),
    switch(
        "networkPolicy.enabled",
        &["networkPolicy.enabled=true", "networkPolicy.enabled=false"],
    ),
    switch(
        "namespace.create",
        &["namespace.create=true", "namespace.create=false"],
    ),
    switch(
        "settings.observeOnly",
        &["settings.observeOnly=true", "settings.observeOnly=false"],
    ),
    switch(
        "settings.leaderElection",
        &[
            "settings.leaderElection=true",
            "settings.leaderElection=false",
            // Several Pods need it.
            "replicas=2",
        ],
    ),
    switch("settings.accountId", &[AS_IT_IS, "settings.accountId=acme"]),
    switch(
        "watchNamespaces",
        &[AS_IT_IS, "watchNamespaces={team-a,team-b}"],
    ),
    switch(
        "caBundle",
        &[
            AS_IT_IS,
            "caBundle.configMap=my-ca",
            "caBundle.secret=my-ca",
        ],
    ),
];

/// The combinations that make a difference to some template, each as `--set`s.
pub fn combinations() -> BTreeSet<Vec<String>> {
    let helpers = helpers();
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(chart().join("templates")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('_') {
            continue;
        }
        let text = with_includes(&fs::read_to_string(entry.path()).unwrap(), &helpers);
        let read: Vec<&Switch> = SWITCHES
            .iter()
            .filter(|switch| reads(&text, switch.path))
            .collect();
        all.extend(product(&read));
    }
    all
}

/// Whether the template looks at the value, at a part of it, or takes a whole that holds it: `.Values.settings` without a
/// dot after it may be looked into anywhere.
fn reads(text: &str, path: &str) -> bool {
    let after = |name: &str| {
        let name = format!(".Values.{name}");
        let next = |(at, _)| text[at + name.len()..].chars().next();
        text.match_indices(&name).map(next).collect::<Vec<_>>()
    };
    let ends = |next: &Option<char>| !next.is_some_and(char::is_alphanumeric);
    let ends_whole = |next: &Option<char>| ends(next) && *next != Some('.');
    let wholes = path.match_indices('.').map(|(at, _)| &path[..at]);
    after(path).iter().any(ends) || wholes.flat_map(after).any(|next| ends_whole(&next))
}

fn product(switches: &[&Switch]) -> Vec<Vec<String>> {
    switches.iter().fold(vec![Vec::new()], |all, switch| {
        let with = |set: &&str| {
            let set: Vec<String> = Some(*set)
                .filter(|set| *set != AS_IT_IS)
                .map(ToOwned::to_owned)
                .into_iter()
                .collect();
            all.iter()
                .map(move |others| [&others[..], &set[..]].concat())
                .collect::<Vec<_>>()
        };
        switch.positions.iter().flat_map(with).collect()
    })
}

/// Every `define`, by name.
fn helpers() -> Vec<(String, String)> {
    let files = fs::read_dir(chart().join("templates")).unwrap().flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|end| end == "tpl"))
        .flat_map(|file| {
            let text = fs::read_to_string(file.path()).unwrap();
            let define = |part: &str| {
                let (name, body) = part.split_once('"').unwrap();
                (name.to_owned(), body.to_owned())
            };
            text.split("define \"")
                .skip(1)
                .map(define)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The template with the text of all it includes, and what that includes.
fn with_includes(text: &str, helpers: &[(String, String)]) -> String {
    let mut whole = text.to_owned();
    let mut waiting: Vec<&(String, String)> = helpers.iter().collect();
    loop {
        let (included, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|(name, _)| whole.contains(&format!("include \"{name}\"")));
        if included.is_empty() {
            return whole;
        }
        for (_, body) in included {
            whole.push_str(body);
        }
        waiting = rest;
    }
}

#[test]
fn what_a_template_reads_is_found() {
    assert!(reads("{{ .Values.rbac.create }}", "rbac.create"));
    assert!(reads("{{ with .Values.settings }}", "settings.observeOnly"));
    assert!(reads("{{ $ca := .Values.caBundle }}", "caBundle"));
    assert!(reads("{{ .Values.caBundle.key }}", "caBundle"));
    assert!(!reads(
        "{{ .Values.settings.listen }}",
        "settings.observeOnly"
    ));
    assert!(!reads("{{ .Values.rbacs }}", "rbac.create"));
    let helpers = vec![
        ("a".to_owned(), "{{ include \"b\" . }}".to_owned()),
        ("b".to_owned(), "{{ .Values.rbac.create }}".to_owned()),
    ];
    assert!(reads(
        &with_includes("{{ include \"a\" . }}", &helpers),
        "rbac.create"
    ));
    assert!(!reads(
        &with_includes("{{ include \"c\" . }}", &helpers),
        "rbac.create"
    ));
}

#[test]
fn every_switch_is_a_value_that_some_template_reads() {
    let values = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&values).unwrap();
    let combinations = combinations();
    for switch in SWITCHES {
        let pointer = format!("/{}", switch.path.replace('.', "/"));
        assert!(values.pointer(&pointer).is_some(), "{}", switch.path);
        for position in switch.positions {
            let used = |sets: &Vec<String>| sets.iter().any(|set| set == position);
            assert!(
                *position == AS_IT_IS || combinations.iter().any(used),
                "{position}"
            );
        }
    }
    // No switch is missing from the list.
    let listed = |path: &str| SWITCHES.iter().any(|switch| switch.path == path);
    for (name, section) in values.as_object().unwrap() {
        for path in booleans(name, section) {
            assert!(listed(&path), "{path} is a switch and not combined");
        }
    }
}

fn booleans(path: &str, value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Bool(_) => vec![path.to_owned()],
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| booleans(&format!("{path}.{name}"), field))
            .collect(),
        _ => Vec::new(),
    }
}
