//! The cluster for reading: the only place that knows its client, and the only type that sends requests to it.

mod access;
mod error;
mod stored;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use fireworks_crd::FireworksUser;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Resource;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::{Request, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use error::Error;
pub(crate) use stored::ANNOTATIONS;
pub use stored::{Listing, Stored};

/// The deadline of a request.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The most objects on a page.
const LIMIT: u32 = 500;
/// The largest page that is read, in bytes. One that is larger is requested again with fewer objects.
const PAGE_MAX: usize = 16 * 1024 * 1024;

/// How the cluster is found.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The kubeconfig; by default what `KUBECONFIG` names, `~/.kube/config`, or the `ServiceAccount` of a Pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; by default its current one.
    pub context: Option<String>,
    /// The deadline of each request; by default [`DEADLINE`].
    pub deadline: Option<Duration>,
}

/// Lists the `FireworksUser` objects of a cluster. It has no method that changes anything, and its client is private:
///
/// ```compile_fail
/// # async fn change(cluster: kubectl_fireworks::cluster::Cluster) {
/// let objects: kube::Api<fireworks_crd::FireworksUser> = kube::Api::all(cluster.client);
/// # }
/// ```
///
/// while a list compiles:
///
/// ```
/// # async fn read(cluster: kubectl_fireworks::cluster::Cluster) {
/// let _ = cluster.list(&Default::default()).await;
/// # }
/// ```
pub struct Cluster {
    client: kube::Client,
    address: String,
    namespace: String,
    deadline: Duration,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Cluster {
    /// Returns the cluster of these settings. Makes no request; a credential plugin of the kubeconfig is run.
    ///
    /// # Errors
    /// Settings that give no access.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let config = access::config(settings).await?;
        let deadline = settings.deadline.unwrap_or(DEADLINE);
        let (address, namespace) = (access::address(&config), config.default_namespace.clone());
        Ok(Self {
            client: access::client(config, deadline)?,
            address,
            namespace,
            deadline,
        })
    }

    /// Returns the namespace of objects that name none, as the context has it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Lists the objects of these namespaces, or, where there are none, of all.
    ///
    /// # Errors
    /// Why they cannot be listed.
    pub async fn list(&self, namespaces: &BTreeSet<String>) -> Result<Listing, Error> {
        let mut objects = Vec::new();
        if namespaces.is_empty() {
            self.list_in(None, &mut objects).await?;
        }
        for namespace in namespaces {
            self.list_in(Some(namespace), &mut objects).await?;
        }
        Ok(Listing {
            objects,
            namespaces: (!namespaces.is_empty()).then(|| namespaces.clone()),
        })
    }

    async fn list_in(
        &self,
        namespace: Option<&str>,
        objects: &mut Vec<Stored>,
    ) -> Result<(), Error> {
        let request = Request::new(FireworksUser::url_path(&(), namespace));
        let mut params = ListParams::default().limit(LIMIT);
        let mut limit = LIMIT;
        loop {
            let bytes = match self.page(&request, &params, namespace).await {
                Err(Error::TooLarge) if limit > 1 => {
                    limit = (limit / 8).max(1);
                    params = params.limit(limit);
                    continue;
                }
                page => page?,
            };
            let page: Page<'_> =
                serde_json::from_slice(&bytes).map_err(|_| Error::Malformed(self.address()))?;
            objects.extend(page.items.into_iter().filter_map(Stored::of));
            if page.metadata.next.is_empty() {
                return Ok(());
            }
            params = params.continue_token(&page.metadata.next);
        }
    }

    /// Returns the text of a page.
    async fn page(
        &self,
        request: &Request,
        params: &ListParams,
        namespace: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        let request = request.list(params).map_err(|error| self.failed(&error))?;
        let request = request.map(|_| Body::empty());
        let answer = async {
            let answer = self.client.send(request).await;
            let (head, body) = answer.map_err(|error| self.failed(&error))?.into_parts();
            let body = Limited::new(body, PAGE_MAX).collect().await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Error::TooLarge
                } else {
                    self.failed(&*error)
                }
            })?;
            let bytes = Vec::from(body.to_bytes());
            if head.status.is_success() {
                return Ok(bytes);
            }
            let status: Status = serde_json::from_slice(&bytes).unwrap_or_default();
            let code = head.status.as_u16();
            Err(Error::refused(self.address(), code, &status, namespace))
        };
        let answer = tokio::time::timeout(self.deadline, answer).await;
        answer.unwrap_or_else(|_| Err(Error::Timeout(self.address(), self.deadline)))
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::unreachable(self.address(), error)
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
