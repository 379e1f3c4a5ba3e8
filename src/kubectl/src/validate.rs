//! Checks manifests without a cluster: each by itself, and all of them for what they contradict each other in.

use std::collections::BTreeMap;

use fireworks_api::text;

use crate::input::tree::Tree;
use crate::input::{Input, Manifest};
use crate::problem::Problem;
use crate::schema::{Schema, position_of};

/// The namespace of a manifest that names none, where the command line names none either.
pub const NAMESPACE: &str = "default";

/// Returns what is wrong with the manifests, in the order of the input. `namespace` is that of manifests that name none.
#[must_use]
pub fn check(input: &Input, schema: &Schema, namespace: &str) -> Vec<Problem> {
    let contested = contested_users(&input.manifests);
    let mut problems = check_each(input, schema, namespace);
    for (at, other) in contested {
        let manifest = &input.manifests[at];
        let is_named = user_id(manifest).is_some();
        let field = if is_named {
            "spec.userId"
        } else {
            "metadata.name"
        };
        let (title, place) = (other.title(), at_place(other));
        let message = format!("{title} at {place} manages the same user: delete one of the two");
        problems[at].push(problem(manifest, field.to_owned(), message));
    }
    problems.into_iter().flatten().collect()
}

/// Returns for each manifest what is wrong with it, users that several manage aside.
#[must_use]
pub fn check_each(input: &Input, schema: &Schema, namespace: &str) -> Vec<Vec<Problem>> {
    let repeated = repeated_objects(&input.manifests, namespace);
    let check = |(at, manifest): (usize, &Manifest)| {
        let flaws = schema.check(&manifest.tree).into_iter();
        let flaws = flaws.map(|flaw| problem(manifest, flaw.field, flaw.message));
        let mut problems: Vec<Problem> = flaws.collect();
        if let Some(first) = repeated.get(&at) {
            let message = format!("the object is defined already, at {}", at_place(first));
            problems.push(problem(manifest, "metadata.name".to_owned(), message));
        }
        problems
    };
    input.manifests.iter().enumerate().map(check).collect()
}

fn problem(manifest: &Manifest, field: String, message: String) -> Problem {
    let mut place = manifest.place.clone();
    place.line = position_of(&manifest.tree, &field).unwrap_or(place.line);
    Problem {
        place,
        object: manifest.title(),
        field,
        message,
        is_unread: false,
    }
}

fn at_place(manifest: &Manifest) -> String {
    format!("{}:{}", manifest.place.file, manifest.place.line)
}

/// Returns the manifests whose object an earlier one defines, each with that one.
fn repeated_objects<'a>(
    manifests: &'a [Manifest],
    namespace: &'a str,
) -> BTreeMap<usize, &'a Manifest> {
    let mut first = BTreeMap::new();
    let mut repeated = BTreeMap::new();
    for (at, manifest) in manifests.iter().enumerate() {
        let Some(name) = manifest.metadata("name") else {
            continue;
        };
        let key = (manifest.metadata("namespace").unwrap_or(namespace), name);
        match first.get(&key) {
            Some(first) => {
                repeated.insert(at, *first);
            }
            None => {
                first.insert(key, manifest);
            }
        }
    }
    repeated
}

/// Returns the manifests whose user another object manages too, each with one of those. Ids are compared in lower case.
#[must_use]
pub fn contested_users(manifests: &[Manifest]) -> BTreeMap<usize, &Manifest> {
    let mut by_user: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, manifest) in manifests.iter().enumerate().filter(|(_, one)| manages(one)) {
        let user = user_id(manifest).or_else(|| manifest.metadata("name"));
        if let Some(user) = user {
            by_user
                .entry(user.to_ascii_lowercase())
                .or_default()
                .push(at);
        }
    }
    let mut contested = BTreeMap::new();
    for all in by_user.values() {
        // The same object twice is a problem of its own.
        let first = manifests[all[0]].title();
        let Some(second) = all.iter().find(|at| manifests[**at].title() != first) else {
            continue;
        };
        for at in all {
            let is_first = manifests[*at].title() == first;
            let other = if is_first { *second } else { all[0] };
            contested.insert(*at, &manifests[other]);
        }
    }
    contested
}

fn user_id(manifest: &Manifest) -> Option<&str> {
    manifest.tree.get("spec")?.get("userId")?.text()
}

/// Returns whether the object claims its user.
fn manages(manifest: &Manifest) -> bool {
    let policy = manifest
        .tree
        .get("spec")
        .and_then(|spec| spec.get("managementPolicy"));
    policy.and_then(Tree::text) != Some("Observe")
}

/// Returns one line about what was checked.
#[must_use]
pub fn summary(input: &Input, problems: &[Problem]) -> String {
    let mut invalid: Vec<_> = problems
        .iter()
        .map(|one| (&one.place, &one.object))
        .collect();
    invalid.sort_unstable_by_key(|(place, object)| (&place.file, place.document, *object));
    invalid.dedup_by_key(|(place, object)| (&place.file, place.document, *object));
    let skipped = match input.skipped {
        0 => String::new(),
        number => format!("; {number} documents of other kinds skipped"),
    };
    let text = format!(
        "{} FireworksUsers in {} files checked, {} invalid{skipped}",
        input.manifests.len(),
        input.files,
        invalid.len()
    );
    text::clean(&text, text::MESSAGE_MAX)
}
