//! The Kubernetes API by plain HTTP with all rights: for what has to go faster than a `kubectl` process starts. It knows
//! paths and bodies, no kinds.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::error::RigError;

/// The longest that an answer may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// An administrator's way to one API server. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Rest {
    url: String,
    token: String,
    client: reqwest::Client,
    impersonated: Option<String>,
}

impl Rest {
    pub(crate) fn new(url: String, authority: &Path, token: String) -> Result<Self, RigError> {
        let client = client(authority)?;
        Ok(Self {
            url,
            token,
            client,
            impersonated: None,
        })
    }

    /// Returns a way on which each request is made in the name of that user, with that user's rights alone.
    #[must_use]
    pub fn impersonating(&self, user: &str) -> Self {
        Self {
            impersonated: Some(user.to_owned()),
            ..self.clone()
        }
    }

    /// Gets what is at that path.
    ///
    /// # Errors
    /// If there is nothing, no answer, or it is no JSON.
    pub async fn get(&self, path: &str) -> Result<Value, RigError> {
        let (status, body) = self.send("GET", path, None).await?;
        if status == 200 {
            return Ok(body);
        }
        Err(RigError::Answer {
            what: format!("GET {path}"),
            why: format!("{status}: {}", body["message"]),
        })
    }

    /// Sends a request; a PATCH is a JSON merge patch. Answers the HTTP status and the body.
    ///
    /// # Errors
    /// If there is no answer, or it is no JSON.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), RigError> {
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send_as(method, path, body.map(|body| (kind, body)))
            .await
    }

    /// Applies it on the server's side, whatever other managers its fields have. Answers the HTTP status and the body.
    ///
    /// # Errors
    /// If there is no answer, or it is no JSON.
    pub async fn apply(
        &self,
        path: &str,
        manager: &str,
        body: &Value,
    ) -> Result<(u16, Value), RigError> {
        // JSON is YAML.
        self.apply_yaml(path, manager, body.to_string()).await
    }

    /// The same with a manifest in YAML. Fields that its kind does not have are refused.
    ///
    /// # Errors
    /// If there is no answer, or it is no JSON.
    pub async fn apply_yaml(
        &self,
        path: &str,
        manager: &str,
        manifest: String,
    ) -> Result<(u16, Value), RigError> {
        let path = format!("{path}?fieldManager={manager}&force=true&fieldValidation=Strict");
        let body = ("application/apply-patch+yaml", manifest);
        self.send_text("PATCH", &path, body).await
    }

    /// Sends a request with a body of that media type. Answers the HTTP status and the body.
    ///
    /// # Errors
    /// If there is no answer, or it is no JSON.
    pub async fn send_as(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(u16, Value), RigError> {
        let body = body.map(|(kind, body)| (kind, body.to_string()));
        self.request(method, path, body).await
    }

    /// Sends a request with a body of that media type as it is. Answers the HTTP status and the body.
    ///
    /// # Errors
    /// If there is no answer, or it is no JSON.
    pub async fn send_text(
        &self,
        method: &str,
        path: &str,
        body: (&str, String),
    ) -> Result<(u16, Value), RigError> {
        self.request(method, path, Some(body)).await
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<(u16, Value), RigError> {
        let what = || format!("{method} {path}");
        let broken = |error: &dyn std::error::Error| RigError::Answer {
            what: what(),
            why: error.to_string(),
        };
        let method = method.parse().map_err(|error| broken(&error))?;
        let request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .timeout(DEADLINE)
            .bearer_auth(&self.token);
        let request = match &self.impersonated {
            Some(user) => request.header("impersonate-user", user),
            None => request,
        };
        let request = match body {
            Some((kind, body)) => request
                .header("content-type", kind)
                .header("accept", "application/json")
                .body(body),
            None => request,
        };
        let answer = request.send().await.map_err(|error| broken(&error))?;
        let status = answer.status().as_u16();
        let body = answer.json().await.map_err(|error| broken(&error))?;
        Ok((status, body))
    }
}

/// A client that trusts these certificates alone, and knows no proxy and no redirect.
pub(crate) fn client(authority: &Path) -> Result<reqwest::Client, RigError> {
    let broken = |why: reqwest::Error| RigError::Answer {
        what: "prepare for calls to the API server".to_owned(),
        why: why.to_string(),
    };
    // Another part of this process may have chosen first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem =
        std::fs::read(authority).map_err(RigError::io("read the API server's certificate"))?;
    let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(broken)?;
    reqwest::Client::builder()
        .tls_certs_only(trusted)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(broken)
}
