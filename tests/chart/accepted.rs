//! Every document that any combination of the switches renders, put to a real API server.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rig::{ControlPlane, Options};

use crate::helm::{Document, HELMS, documents, rendered};
use crate::switches::combinations;

/// Both helms render the same; what they render, none twice.
fn all_documents() -> BTreeSet<Document> {
    let todo = Mutex::new(combinations().into_iter());
    let found = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(sets) = todo.lock().unwrap().next() else {
                        break;
                    };
                    let [four, three] = HELMS.map(|helm| documents(&rendered(helm, &sets)));
                    assert_eq!(four, three, "helm 4 and helm 3 differ for {sets:?}");
                    found.lock().unwrap().extend(four);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[tokio::test]
async fn every_combination_of_the_switches_is_accepted_by_the_api_server() {
    let documents = all_documents();
    let templates: BTreeSet<&str> = documents.iter().map(|d| d.template.as_str()).collect();
    assert_eq!(
        templates.len(),
        8,
        "templates that render something: {templates:?}"
    );
    assert!(documents.len() > 50, "only {} documents", documents.len());

    let plane = ControlPlane::start(&Options::bare()).unwrap();
    for namespace in ["fireworks-system", "team-a", "team-b"] {
        plane
            .kubectl(&["create", "namespace", namespace])
            .await
            .unwrap();
    }
    let yaml: Vec<&str> = documents.iter().map(|d| d.yaml.as_str()).collect();
    let yaml = yaml.join("\n---\n");
    // As helm 4 does it.
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-o",
        "name",
        "-f",
        "-",
    ];
    let accepted = plane.admin().run_with_input(&apply, &yaml).await.unwrap();
    assert_eq!(accepted.lines().count(), documents.len());
}
