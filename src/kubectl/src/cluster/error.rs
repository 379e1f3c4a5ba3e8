//! Why a cluster cannot be read, in one line. No credential is in it, and no text of a credential plugin.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use fireworks_api::text;
use fireworks_client::causes::chain_of;
use kube::client::AuthError;
use kube::config::KubeconfigError;
use kube::core::Status;

/// Why the objects of a cluster cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is neither a kubeconfig nor a `ServiceAccount`.
    #[error("no kubeconfig{}: set --kubeconfig or KUBECONFIG", at(.0.as_ref()))]
    NoKubeconfig(Option<PathBuf>),
    /// The file cannot be read.
    #[error("the kubeconfig {} cannot be read: {}", shown(&.0.to_string_lossy()), .1.kind())]
    Unreadable(PathBuf, std::io::Error),
    /// The file has no such context.
    #[error("the kubeconfig has no context {0}")]
    NoContext(String),
    /// The file names no context.
    #[error("the kubeconfig has no current context: set --context")]
    NoCurrentContext,
    /// The file is wrong.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// Its credentials cannot be used.
    #[error("the credentials of the kubeconfig cannot be used: {0}")]
    Credentials(String),
    /// There was no answer.
    #[error("cannot reach the API server at {0}: {1}")]
    Unreachable(String, String),
    /// There was no complete answer in time.
    #[error("the API server at {} did not answer within {} s", .0, .1.as_secs_f32())]
    Timeout(String, Duration),
    /// The credentials were refused.
    #[error("the API server at {0} does not accept the credentials of the kubeconfig (401)")]
    Unauthenticated(String),
    /// The right is missing.
    #[error("may not list FireworksUsers in {}: ask for verb list on fireworksusers.iam.fireworks.ai{} (403)", place(.0.as_ref()), advice(.0.as_ref()))]
    Forbidden(Option<String>),
    /// The kind is unknown.
    #[error(
        "the API server at {0} knows no FireworksUser: the custom resource definition is not installed (404)"
    )]
    NotInstalled(String),
    /// Another refusal.
    #[error("the API server at {0} refused to list FireworksUsers ({1}): {2}")]
    Refused(String, u16, String),
    /// The answer is no list.
    #[error("the answer of the API server at {0} is no list of FireworksUsers")]
    Malformed(String),
    /// A page is larger than what is read.
    #[error("an object of the cluster is larger than 16 MiB")]
    TooLarge,
}

impl Error {
    /// Returns whether the command line or a setting is wrong: no request was made.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        match self {
            Self::NoKubeconfig(_)
            | Self::Unreadable(..)
            | Self::NoContext(_)
            | Self::NoCurrentContext
            | Self::Kubeconfig(_)
            | Self::Credentials(_) => true,
            Self::Unreachable(..)
            | Self::Timeout(..)
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::NotInstalled(_)
            | Self::Refused(..)
            | Self::Malformed(_)
            | Self::TooLarge => false,
        }
    }

    /// What cannot be parsed is not quoted: it may be a token.
    pub(super) fn kubeconfig(error: &KubeconfigError) -> Self {
        match error {
            KubeconfigError::FindPath => Self::NoKubeconfig(None),
            KubeconfigError::ReadConfig(error, path) if error.kind() == ErrorKind::NotFound => {
                Self::NoKubeconfig(Some(path.clone()))
            }
            KubeconfigError::ReadConfig(error, path) => {
                Self::Unreadable(path.clone(), error.kind().into())
            }
            KubeconfigError::Parse(_) => {
                Self::Kubeconfig("it is no kubeconfig: its YAML is malformed".to_owned())
            }
            KubeconfigError::LoadContext(name) => Self::NoContext(shown(name)),
            KubeconfigError::CurrentContextNotSet => Self::NoCurrentContext,
            error => Self::Kubeconfig(shown(&chain_of(error))),
        }
    }

    /// What a credential plugin printed is not quoted: it may be a token.
    pub(super) fn credentials(error: &kube::Error) -> Self {
        let why = match error {
            kube::Error::Auth(AuthError::ReadTokenFile(..)) => {
                "the token file cannot be read".to_owned()
            }
            kube::Error::Auth(AuthError::InvalidBearerToken(_)) => {
                "the token has characters that no token has".to_owned()
            }
            kube::Error::Auth(AuthError::InvalidBasicAuth(_)) => {
                "the password has characters that cannot be sent".to_owned()
            }
            kube::Error::Auth(_) => "the credential plugin failed".to_owned(),
            error => shown(&chain_of(error)),
        };
        Self::Credentials(why)
    }

    pub(super) fn unreachable(address: String, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            // A plugin is run again when what it returned has expired.
            if error.is::<AuthError>() {
                return Self::Credentials("they cannot be renewed".to_owned());
            }
            next = error.source();
        }
        Self::Unreachable(address, shown(&chain_of(error)))
    }

    /// Messages of the API server about missing rights name the user, whose name may be an e-mail address.
    pub(super) fn refused(
        address: String,
        code: u16,
        status: &Status,
        namespace: Option<&str>,
    ) -> Self {
        match code {
            401 => Self::Unauthenticated(address),
            403 => Self::Forbidden(namespace.map(shown)),
            404 => Self::NotInstalled(address),
            code if status.message.is_empty() => {
                Self::Refused(address, code, "it gives no reason".to_owned())
            }
            code => Self::Refused(address, code, shown(&status.message)),
        }
    }
}

fn at(path: Option<&PathBuf>) -> String {
    path.map(|path| format!(" at {}", shown(&path.to_string_lossy())))
        .unwrap_or_default()
}

fn place(namespace: Option<&String>) -> String {
    match namespace {
        Some(namespace) => format!("namespace {namespace}"),
        None => "all namespaces".to_owned(),
    }
}

fn advice(namespace: Option<&String>) -> &'static str {
    if namespace.is_none() {
        ", or name your namespaces with -n"
    } else {
        ""
    }
}

fn shown(text: &str) -> String {
    text::clean(text, text::MESSAGE_MAX)
}
