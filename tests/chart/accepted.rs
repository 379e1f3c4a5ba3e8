//! Every document that any combination of the switches renders, put to a real API server.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rig::{ControlPlane, Options};

use crate::helm::{Document, HELMS, chart, documents, program, rendered, repository};
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
        13,
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

/// The page on installing names helm's refusal, and the flag.
#[tokio::test]
async fn helm_takes_over_a_definition_that_kubectl_applied() {
    let options = Options {
        crds: Some(repository().join("crds")),
        ..Options::bare()
    };
    let plane = ControlPlane::start(&options).unwrap();
    plane
        .kubectl(&["create", "namespace", "fireworks-system"])
        .await
        .unwrap();
    for helm in HELMS {
        let install = |more: &[&str]| {
            program(helm)
                .args(["install", "fireworks-user-operator"])
                .arg(chart())
                .args(["--namespace", "fireworks-system"])
                .args(["--set", "image.repository=fireworks-user-operator"])
                .args(more)
                .env("KUBECONFIG", plane.admin_kubeconfig())
                .output()
                .unwrap()
        };
        let refused = install(&[]);
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
        let refusal = "exists and cannot be imported into the current release";
        assert!(
            !refused.status.success() && printed.contains(refusal),
            "{helm}: {printed}"
        );
        let taken = install(&["--take-ownership"]);
        let printed = String::from_utf8_lossy(&taken.stderr).into_owned();
        assert!(taken.status.success(), "{helm}: {printed}");
        let uninstall = program(helm)
            .args(["uninstall", "fireworks-user-operator"])
            .args(["--namespace", "fireworks-system"])
            .env("KUBECONFIG", plane.admin_kubeconfig())
            .status()
            .unwrap();
        assert!(uninstall.success(), "{helm}");
        // As `kubectl apply` would have left it.
        let crd = [
            "annotate",
            "crd",
            "fireworksusers.iam.fireworks.ai",
            "meta.helm.sh/release-name-",
        ];
        plane.kubectl(&crd).await.unwrap();
    }
}
