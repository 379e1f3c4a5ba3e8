//! Access to the API server: who asks, where, and how long an answer may take. Every call made with this client ends,
//! also those that a library makes by itself. Knows no kind.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, KubeconfigError};
use tower_layer::Layer;
use tower_service::Service;

use super::Fatal;
use crate::cli::UsageError;
use crate::runtime::pulse::Pulse;
use crate::runtime::{clock, effects};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// In a Pod its `ServiceAccount`, else what KUBECONFIG names. An answer has to be complete within `deadline`, that of a
/// watch to have begun; whether a watch has fallen silent is for whoever watches to say. Each frame of a watch, bookmarks
/// included, is a sign of life in `pulse`.
pub(super) async fn client(deadline: Duration, pulse: Arc<Pulse>) -> Result<kube::Client, Fatal> {
    let mut config = match kube::Config::incluster() {
        Ok(config) => config,
        Err(_) => kube::Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .map_err(|error| UsageError::new("KUBECONFIG", no_access(&error)))?,
    };
    config.default_retry = false;
    config.connect_timeout = Some(deadline);
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| UsageError::new("KUBECONFIG", one_line(&error)))?;
    Ok(builder.with_layer(&Deadline { deadline, pulse }).build())
}

/// Gives up calls that take longer.
#[derive(Clone)]
struct Deadline {
    deadline: Duration,
    pulse: Arc<Pulse>,
}

impl<S> Layer<S> for Deadline {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded {
            inner,
            deadline: self.deadline,
            pulse: self.pulse.clone(),
        }
    }
}

struct Bounded<S> {
    inner: S,
    deadline: Duration,
    pulse: Arc<Pulse>,
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let watched = watches(request.uri().query().unwrap_or_default())
            .then(|| request.uri().path().to_owned());
        let pulse = self.pulse.clone();
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
                Either::Left(Full::new(body.collect().await?.to_bytes()))
            };
            Ok(Response::from_parts(head, body))
        };
        let bounded = tokio::time::timeout(self.deadline, effects::counted(whole));
        async {
            bounded
                .await
                .unwrap_or_else(|_| Err("the API server did not answer in time".into()))
        }
        .boxed()
    }
}

/// The answer to a watch lasts.
fn watches(query: &str) -> bool {
    query.split('&').any(|pair| pair == "watch=true")
}

/// Why a kubeconfig gives no access. What cannot be parsed is not quoted: it may be a token.
fn no_access(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "the file is no kubeconfig: its YAML is malformed".to_owned(),
        error => one_line(error),
    }
}

/// An error and its causes in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
