//! The way to the API server: a kubeconfig, or the `ServiceAccount` of a Pod.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::{Error, Settings};

/// Takes the place of a proxy while kube reads a kubeconfig, so that it does not look at the environment. Never used.
const NO_AMBIENT_PROXY: &str = "http://proxy.invalid";

/// Returns the configuration: of the kubeconfig, or, where nothing asks for one and there is none, of the Pod.
pub(super) async fn config(settings: &Settings) -> Result<Config, Error> {
    let file = match &settings.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let is_optional = settings.kubeconfig.is_none() && settings.context.is_none();
    match file {
        Ok(file) => of_file(file, settings.context.clone()).await,
        Err(error) if is_optional && is_missing(&error) => {
            Config::incluster().map_err(|_| Error::kubeconfig(&error))
        }
        Err(error) => Err(Error::kubeconfig(&error)),
    }
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Of proxies only the cluster's own `proxy-url` counts: kube would take `HTTPS_PROXY`, too, and compare `NO_PROXY` with the
/// address of the proxy.
async fn of_file(mut file: Kubeconfig, context: Option<String>) -> Result<Config, Error> {
    let proxy = declared_proxy(&file, context.as_ref());
    for named in &mut file.clusters {
        if let Some(cluster) = &mut named.cluster {
            cluster.proxy_url = Some(NO_AMBIENT_PROXY.to_owned());
        }
    }
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|error| Error::kubeconfig(&error))?;
    let proxy = proxy.map(|proxy| proxy.parse());
    let proxy = proxy.transpose().map_err(KubeconfigError::ParseProxyUrl);
    config.proxy_url = proxy.map_err(|error| Error::kubeconfig(&error))?;
    Ok(config)
}

/// Returns the `proxy-url` of the context's cluster.
fn declared_proxy(file: &Kubeconfig, context: Option<&String>) -> Option<String> {
    let name = context.or(file.current_context.as_ref())?;
    let mut contexts = file.contexts.iter();
    let context = contexts.find(|context| context.name == *name)?;
    let name = &context.context.as_ref()?.cluster;
    let mut clusters = file.clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == *name)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone()?;
    Some(proxy).filter(|proxy| !proxy.is_empty())
}

/// Returns the address of the API server without what may be secret in a URL.
pub(super) fn address(config: &Config) -> String {
    let url = &config.cluster_url;
    let port = url.port_u16().map(|port| format!(":{port}"));
    let (scheme, host) = (url.scheme_str(), url.host());
    format!(
        "{}://{}{}",
        scheme.unwrap_or("https"),
        host.unwrap_or_default(),
        port.unwrap_or_default()
    )
}

/// Returns the client. It sends each request once.
pub(super) fn client(mut config: Config, deadline: Duration) -> Result<kube::Client, Error> {
    config.default_retry = false;
    config.connect_timeout = Some(deadline);
    let name = "user-agent".parse();
    let value = concat!("kubectl-fireworks/", env!("CARGO_PKG_VERSION")).parse();
    if let (Ok(name), Ok(value)) = (name, value) {
        config.headers.push((name, value));
    }
    let builder = ClientBuilder::try_from(config).map_err(|error| Error::credentials(&error))?;
    Ok(builder.build())
}
