//! The two addresses that can be set: the gateway's and a proxy's. Checked here, so that a key is
//! never sent in the clear to another machine. An error never repeats what was given, since a URL
//! may hold a password.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// Why a text is no address we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It cannot be read as a URL with a host.
    #[error("must be a URL such as https://host")]
    NotUrl,
    /// A host name with other than ASCII letters.
    #[error("must have its host name in ASCII; letters of other alphabets are written as xn--...")]
    NotAscii,
    /// Neither HTTPS nor plain HTTP to this machine.
    #[error("must start with https:// (http:// is for a loopback host only)")]
    Plain,
    /// Neither `http` nor `https`.
    #[error("must start with http:// or https://")]
    Scheme,
    /// A user name or a password.
    #[error("must hold no user name or password")]
    Credentials,
    /// A query, a fragment, or (of a proxy) a path.
    #[error("must hold no query and no fragment, and for a proxy no path")]
    Surplus,
}

fn parse(text: &str) -> Result<Url, InvalidUrl> {
    let url = Url::parse(text).map_err(|_| {
        if text.is_ascii() {
            InvalidUrl::NotUrl
        } else {
            InvalidUrl::NotAscii
        }
    })?;
    if !url.has_host() {
        return Err(InvalidUrl::NotUrl);
    }
    if url.query().is_some() || url.fragment().is_some() {
        Err(InvalidUrl::Surplus)
    } else {
        Ok(url)
    }
}

/// Where the gateway is: HTTPS, or plain HTTP to a loopback address; a path prefix is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Whether calls are not encrypted: the gateway is on this machine.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let url = parse(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if url.host_str().is_some_and(is_loopback) => Ok(Self(url)),
            _ => Err(InvalidUrl::Plain),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A proxy that tunnels HTTPS. It may hold a user name and a password, so it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ProxyUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let url = parse(text)?;
        match url.scheme() {
            "http" | "https" if url.path() == "/" => Ok(Self(url)),
            "http" | "https" => Err(InvalidUrl::Surplus),
            _ => Err(InvalidUrl::Scheme),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyUrl")
            .field("host", &self.0.host_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn base_url_is_https_or_on_this_machine() {
        for (text, shown) in [
            ("https://api.fireworks.ai", "https://api.fireworks.ai"),
            ("HTTPS://api.fireworks.ai/", "https://api.fireworks.ai"),
            (
                "https://gate.example:8443/fw/eu/",
                "https://gate.example:8443/fw/eu",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.9.8.7", "http://127.9.8.7"),
            ("http://[::1]:80/x", "http://[::1]/x"),
            ("http://localhost:1234", "http://localhost:1234"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.is_plain(), shown.starts_with("http:"));
        }
    }

    #[test]
    fn base_url_of_another_machine_is_never_plain() {
        for text in [
            "http://api.fireworks.ai",
            "http://localhost.example.com",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::ffff:127.0.0.1]",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(InvalidUrl::Plain), "{text}");
        }
    }

    #[test]
    fn a_host_name_of_another_alphabet_is_taken_in_ascii() {
        let url: BaseUrl = "https://xn--bcher-kva.example".parse().unwrap();
        assert_eq!(url.url().host_str(), Some("xn--bcher-kva.example"));
    }

    #[test]
    fn base_url_with_surplus_parts_is_refused_without_repeating_it() {
        for (text, why) in [
            ("https://bob:canary@host", InvalidUrl::Credentials),
            ("https://bob@host", InvalidUrl::Credentials),
            ("https://host?key=canary", InvalidUrl::Surplus),
            ("https://host/#canary", InvalidUrl::Surplus),
            ("", InvalidUrl::NotUrl),
            ("api.fireworks.ai", InvalidUrl::NotUrl),
            ("mailto:canary", InvalidUrl::NotUrl),
            ("https://", InvalidUrl::NotUrl),
            ("http://canary:port", InvalidUrl::NotUrl),
            ("https://b\u{fc}cher.example", InvalidUrl::NotAscii),
        ] {
            let error = text.parse::<BaseUrl>().unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn https_proxy_may_have_a_password_and_hides_it() {
        let proxy: ProxyUrl = "http://bob:canary@proxy.example:3128".parse().unwrap();
        let shown = format!("{proxy:?}");
        assert!(!shown.contains("canary") && !shown.contains("bob"));
        assert!(shown.contains("proxy.example"), "{shown}");
        assert_eq!(
            "socks5://proxy".parse::<ProxyUrl>(),
            Err(InvalidUrl::Scheme)
        );
        assert_eq!(
            "http://proxy/path".parse::<ProxyUrl>(),
            Err(InvalidUrl::Surplus)
        );
    }
}
