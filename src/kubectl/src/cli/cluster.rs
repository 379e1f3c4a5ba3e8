//! Where objects come from: manifests, a cluster, or manifests onto a cluster.

// The comments on clap's structures are the text of --help, where backticks would only disturb.
#![allow(clippy::doc_markdown)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Files, schema};
use crate::clock;
use crate::cluster::{Cluster, Error, Listing, Settings};
use crate::input::{Input, Manifest};
use crate::plan::{Declared, Manifests};

/// The cluster by flags.
#[derive(Args, Debug)]
pub(super) struct ClusterFlags {
    /// Plan the objects of the cluster; with -f, as they would be after the manifests are applied
    #[arg(long)]
    from_cluster: bool,

    /// Kubeconfig file; by default KUBECONFIG, ~/.kube/config, or the ServiceAccount of a Pod
    #[arg(long, value_name = "PATH", requires = "from_cluster")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; by default its current one
    #[arg(long, value_name = "NAME", requires = "from_cluster")]
    context: Option<String>,
}

impl ClusterFlags {
    /// Returns what is declared: by the manifests, by the cluster, or by the manifests applied onto the cluster.
    pub(super) fn declared(&self, files: &Files, input: &Input) -> Result<Declared, Failure> {
        let schema = schema()?;
        if !self.from_cluster {
            return Ok(Declared::of(input, &schema, files.namespace()?));
        }
        let namespaces: BTreeSet<String> = files.namespaces.iter().cloned().collect();
        if let Some(wrong) = namespaces.iter().find(|name| !is_name(name)) {
            let wrong = crate::plan::shown(wrong);
            return Err(Failure::Usage(format!("-n: {wrong} is no namespace")));
        }
        let (listing, default) = self.list(&namespaces)?;
        let only = namespaces.iter().next().filter(|_| namespaces.len() == 1);
        let manifests = Manifests {
            input,
            schema: &schema,
            namespace: only.unwrap_or(&default),
        };
        if let Some(outside) = outside(&manifests, &namespaces) {
            let (title, file) = (outside.title(), &outside.place.file);
            let why = format!("{file}: {title} is in a namespace that -n does not name");
            return Err(Failure::Usage(why));
        }
        let manifests = (!files.paths.is_empty()).then_some(manifests);
        Ok(Declared::onto(listing, manifests, clock::now()))
    }

    /// Returns the objects of these namespaces, and the namespace of manifests that name none.
    fn list(&self, namespaces: &BTreeSet<String>) -> Result<(Listing, String), Failure> {
        // Only a second provider in this process could have come before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::Usage(error.to_string()))?;
        let settings = Settings {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            deadline: None,
        };
        let listed = runtime.block_on(async {
            let cluster = Cluster::connect(&settings).await?;
            let listing = cluster.list(namespaces).await?;
            Ok((listing, cluster.namespace().to_owned()))
        });
        listed.map_err(|error: Error| {
            if error.is_setting() {
                Failure::Usage(error.to_string())
            } else {
                Failure::Incomplete(error.to_string())
            }
        })
    }
}

/// Returns a manifest of a namespace that is not among those.
fn outside<'a>(manifests: &Manifests<'a>, namespaces: &BTreeSet<String>) -> Option<&'a Manifest> {
    let namespace = manifests.namespace;
    let is_outside = |manifest: &&Manifest| {
        let namespace = manifest.metadata("namespace").unwrap_or(namespace);
        !namespaces.contains(namespace)
    };
    let mut all = manifests.input.manifests.iter();
    all.find(is_outside).filter(|_| !namespaces.is_empty())
}

/// Returns whether it can be the name of a namespace.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(is_part)
}
