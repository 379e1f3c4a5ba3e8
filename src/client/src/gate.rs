//! The last gate before a new connection is used. A call may wait for its connection while another
//! call is answered with 429; what had not left by then must not leave. Knows no budget: the
//! maker of the client decides when the gate is shut.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use tower_layer::Layer;
use tower_service::Service;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Says whether calls may leave now.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> bool + Send + Sync>);

impl Gate {
    /// A gate that is open while `is_open` says so.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_open))
    }

    /// Returns whether it is open now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        (self.0)()
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, connector: S) -> Gated<S> {
        Gated {
            connector,
            gate: self.clone(),
        }
    }
}

/// A connector whose connections are thrown away where the gate is shut by the time they are made.
#[derive(Clone)]
pub struct Gated<S> {
    connector: S,
    gate: Gate,
}

impl<S, R> Service<R> for Gated<S>
where
    S: Service<R, Error = Cause>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<S::Response, Cause>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.connector.call(request);
        let gate = self.gate.clone();
        async move {
            let connection = connecting.await?;
            if gate.is_open() {
                Ok(connection)
            } else {
                Err("calls are paused".into())
            }
        }
        .boxed()
    }
}
