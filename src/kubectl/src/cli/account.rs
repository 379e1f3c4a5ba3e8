//! Where the account comes from: flags, with the same variables as the operator, or a snapshot.

// The comments on clap's structures are the text of --help, where backticks would only disturb.
#![allow(clippy::doc_markdown)]

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use fireworks_api::wire::{AccountId, UserId};
use fireworks_client::Settings;
use fireworks_client::key::ApiKeys;
use fireworks_client::url::{BaseUrl, ProxyUrl};

use super::Failure;
use crate::clock;
use crate::reader::Reader;
use crate::snapshot::{self, Snapshot};

/// The largest snapshot that is read, in bytes.
const SNAPSHOT_MAX: u64 = 256 * 1024 * 1024;
/// The variable of the API key. There is no flag for it: every user of the machine could read it.
const API_KEY: &str = "FIREWORKS_API_KEY";

/// The account by flags.
#[derive(Args, Debug)]
pub(super) struct Account {
    /// Id of the account
    #[arg(
        long = "account-id",
        value_name = "ID",
        env = "FIREWORKS_ACCOUNT_ID",
        hide_env_values = true
    )]
    id: Option<AccountId>,

    /// File that contains the API key; or set FIREWORKS_API_KEY
    #[arg(
        long,
        value_name = "PATH",
        env = "FIREWORKS_API_KEY_FILE",
        hide_env_values = true
    )]
    api_key_file: Option<PathBuf>,

    /// Base URL of Fireworks
    #[arg(long, value_name = "URL", env = "FIREWORKS_BASE_URL", hide_env_values = true,
        default_value = "https://api.fireworks.ai", value_parser = BaseUrl::from_str)]
    base_url: BaseUrl,

    /// PEM file of certificate authorities to trust in addition to the system's
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,

    /// Proxy for requests to Fireworks; proxy variables of the environment are ignored
    #[arg(long, value_name = "URL", value_parser = ProxyUrl::from_str)]
    https_proxy: Option<ProxyUrl>,
}

impl Account {
    /// Reads the account's users; `declared` are those that manifests declare.
    pub(super) fn fetch(&self, declared: &[UserId]) -> Result<Snapshot, Failure> {
        let account = self.id.clone();
        let account = account.ok_or(Failure::Usage("--account-id is missing".to_owned()))?;
        let keys = self.keys()?;
        // Only a second provider in this process could have come before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings {
            base_url: self.base_url.clone(),
            account,
            ca_file: self.ca_file.clone(),
            https_proxy: self.https_proxy.clone(),
            wall_clock: clock::now,
        };
        let setup = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let mut reader = Reader::new(settings, keys).map_err(|error| setup(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| setup(&error))?;
        Ok(runtime.block_on(snapshot::fetch(&mut reader, declared)))
    }

    fn keys(&self) -> Result<ApiKeys, Failure> {
        #[allow(
            clippy::disallowed_methods,
            reason = "the one variable that clap must not read: its errors could show the value"
        )]
        let value = std::env::var(API_KEY).ok().filter(|key| !key.is_empty());
        let keys = match (value, &self.api_key_file) {
            (Some(_), Some(_)) => {
                let why = format!("{API_KEY} and --api-key-file are both set: keep one of them");
                return Err(Failure::Usage(why));
            }
            (None, None) => {
                let why = format!("no API key: set {API_KEY} or --api-key-file");
                return Err(Failure::Usage(why));
            }
            (Some(key), None) => ApiKeys::fixed(key),
            (None, Some(path)) => ApiKeys::from_file(path.clone()),
        };
        keys.map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Reads a snapshot from a file.
pub(super) fn stored(path: &PathBuf) -> Result<Snapshot, Failure> {
    let size = fs::metadata(path).map(|file| file.len());
    let text = match size {
        Ok(size) if size > SNAPSHOT_MAX => Err("is larger than 256 MiB".to_owned()),
        Ok(_) => {
            fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", error.kind()))
        }
        Err(error) => Err(format!("cannot be read: {}", error.kind())),
    };
    let text = text.map_err(|why| Failure::Incomplete(format!("the snapshot {why}")))?;
    Snapshot::from_file(&text).map_err(|error| Failure::Incomplete(error.to_string()))
}
