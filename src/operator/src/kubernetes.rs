//! Access to the API server: who asks, where, and how long an answer may take. Every call made with this client ends,
//! also those that a library makes by itself. Knows no kind.

mod token;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fireworks_client::causes::chain_of;
use futures::future::{BoxFuture, FutureExt};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use operator_runtime::bulk::{Bulk, LARGE, MaxBody, TooLarge};
use operator_runtime::clock;
use operator_runtime::hooks::{self, Hooks};
use operator_runtime::pulse::Pulse;
use tower_layer::Layer;
use tower_service::Service;

use crate::cli::UsageError;
use crate::run::Fatal;
use token::TokenFile;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where a Pod finds the credentials of its `ServiceAccount`.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// In a Pod its `ServiceAccount`, else what KUBECONFIG names. An answer has to be complete within `deadline`, that of a
/// watch to have begun; whether a watch is idle for too long is for the watch to find out. Each frame of a watch, bookmarks
/// included, is a sign of life in `pulse`. A credential plugin may run for as long as it likes; dropping the future
/// abandons it. Of large answers one is in memory at a time. `hooks` are called around each request, outside its deadline.
pub(super) async fn access(
    deadline: Duration,
    pulse: Arc<Pulse>,
    bulk: Bulk,
    hooks: Arc<dyn Hooks>,
) -> Result<Access, Fatal> {
    let mut config = config().await?;
    let proxy = config.proxy_url.as_ref().and_then(http::Uri::host);
    let proxy = proxy.map(str::to_owned);
    config.default_retry = false;
    config.connect_timeout = Some(deadline);
    let layer = Limits {
        deadline,
        address: config.cluster_url.to_string().trim_end_matches('/').into(),
        token: TokenFile::take_from(&mut config.auth_info)?.map(Arc::new),
        pulse,
        bulk,
        hooks,
    };
    // A plugin is waited for on a thread of its own: the runtime's only thread has to see signals.
    let building = tokio::task::spawn_blocking(move || ClientBuilder::try_from(config));
    let builder = building
        .await
        .map_err(|error| Fatal::Setup(format!("set up the client of the API server: {error}")))?
        .map_err(|error| UsageError::new("KUBECONFIG", chain_of(&error)))?;
    Ok(Access {
        client: builder.with_layer(&layer).build(),
        proxy,
    })
}

/// A way to the API server.
pub(super) struct Access {
    /// The client.
    pub(super) client: kube::Client,
    /// The host of the proxy in between.
    pub(super) proxy: Option<String>,
}

async fn config() -> Result<kube::Config, UsageError> {
    let in_cluster = match kube::Config::incluster() {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let error = match kubeconfig().await {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let is_missing = matches!(
        error,
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..)
    );
    let is_pod = !matches!(in_cluster, InClusterError::ReadEnvironmentVariable(_));
    Err(if is_pod && is_missing {
        let problem = format!(
            "{}: a Pod needs {SERVICE_ACCOUNT}/{{token,ca.crt,namespace}}; set automountServiceAccountToken: true, or KUBECONFIG",
            chain_of(&in_cluster)
        );
        UsageError::new("ServiceAccount", problem)
    } else {
        UsageError::new("KUBECONFIG", no_access(&error))
    })
}

/// What KUBECONFIG names. Of proxies only the cluster's own `proxy-url` counts: kube would take `HTTPS_PROXY`, too, and
/// compare `NO_PROXY` with the address of the proxy.
async fn kubeconfig() -> Result<kube::Config, KubeconfigError> {
    let mut file = Kubeconfig::read()?;
    let proxy = declared_proxy(&file);
    for named in &mut file.clusters {
        if let Some(cluster) = &mut named.cluster {
            // Where the file names a proxy, kube does not look at the environment.
            cluster.proxy_url = Some(NO_AMBIENT_PROXY.to_owned());
        }
    }
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(file, &options).await?;
    config.proxy_url = match proxy {
        Some(proxy) => Some(proxy.parse().map_err(KubeconfigError::ParseProxyUrl)?),
        None => None,
    };
    Ok(config)
}

/// Takes the place of a proxy while kube reads a kubeconfig; never used as one.
const NO_AMBIENT_PROXY: &str = "http://proxy.invalid";

/// The `proxy-url` of the current context's cluster.
fn declared_proxy(file: &Kubeconfig) -> Option<String> {
    let current = file.current_context.as_ref()?;
    let mut contexts = file.contexts.iter();
    let context = contexts.find(|context| context.name == *current)?;
    let name = &context.context.as_ref()?.cluster;
    let mut clusters = file.clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == *name)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone()?;
    Some(proxy).filter(|proxy| !proxy.is_empty())
}

/// Gives up calls that take longer, and names the API server and every cause where there is no answer.
#[derive(Clone)]
struct Limits {
    deadline: Duration,
    address: Arc<str>,
    token: Option<Arc<TokenFile>>,
    pulse: Arc<Pulse>,
    bulk: Bulk,
    hooks: Arc<dyn Hooks>,
}

impl<S> Layer<S> for Limits {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded {
            inner,
            limits: self.clone(),
        }
    }
}

struct Bounded<S> {
    inner: S,
    limits: Limits,
}

/// No answer came from the API server.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach the API server at {address}: {causes}")]
struct Unreachable {
    address: Arc<str>,
    causes: String,
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = Cause>,
    S::Future: Send + 'static,
{
    type Response = Response<Either<Full<Bytes>, Box<DynBody>>>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Self::Response, Cause>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Limits {
            deadline,
            address,
            token,
            pulse,
            bulk,
            hooks,
        } = self.limits.clone();
        if let Some(token) = token {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, token.header(clock::now()));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_watch = watches(request.uri().query().unwrap_or_default());
        let watched = is_watch.then(|| path.clone());
        let max = request.extensions().get::<MaxBody>().copied();
        let answering = self.inner.call(request);
        let whole = async move {
            let (head, body) = answering.await?.into_parts();
            let body = if let Some(watch) = watched {
                if head.status.is_success() {
                    pulse.beat(&watch, clock::now());
                }
                let body = body.map_frame(move |frame| {
                    pulse.beat(&watch, clock::now());
                    frame
                });
                Either::Right(Box::new(body) as Box<DynBody>)
            } else {
                Either::Left(Full::new(collect(body, max, &bulk).await?))
            };
            Ok::<_, Cause>(Response::from_parts(head, body))
        };
        let bounded = async move {
            let causes = match tokio::time::timeout(deadline, whole).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(cause)) if cause.is::<TooLarge>() => return Err(cause),
                Ok(Err(cause)) => chain_of(&*cause),
                Err(_) => format!("no response within {} s", deadline.as_secs()),
            };
            Err(Unreachable { address, causes }.into())
        };
        async move {
            let request = hooks::Request::to_api_server(&method, &path, is_watch);
            hooks::send(&*hooks, request, bounded).await
        }
        .boxed()
    }
}

/// All of an answer. Reading goes on beyond what is small once no other large answer is in memory.
async fn collect(
    mut body: Box<DynBody>,
    max: Option<MaxBody>,
    bulk: &Bulk,
) -> Result<Bytes, Cause> {
    let (mut data, mut turn) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        let size = data.len() + piece.len();
        match max {
            Some(MaxBody(max)) if size > max => return Err(TooLarge(max).into()),
            _ => {}
        }
        if size > LARGE && turn.is_none() {
            turn = Some(bulk.turn().await);
        }
        data.extend_from_slice(&piece);
    }
    Ok(match turn {
        Some(turn) => turn.hold(data),
        None => data.into(),
    })
}

/// The answer to a watch lasts.
fn watches(query: &str) -> bool {
    query.split('&').any(|pair| pair == "watch=true")
}

/// Why a kubeconfig gives no access. What cannot be parsed is not quoted: it may be a token.
fn no_access(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "the file is no kubeconfig: its YAML is malformed".to_owned(),
        error => chain_of(error),
    }
}
