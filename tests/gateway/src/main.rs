//! The simulator as a program, for people and for the demo. Arguments in, one line with the address out; everything
//! else is the library's.

mod tls;

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, error::ErrorKind};
use fireworks_gateway_simulator::{Settings, Simulator, Switches, settings::TEST_KEY};
use tokio::signal::unix::{SignalKind, signal};

use crate::tls::Tls;

/// A stand-in for the Fireworks gateway's users API: it answers like the gateway, keeps a journal of every request and
/// misbehaves on demand. For tests and demonstrations only.
#[derive(Parser)]
#[command(name = "fireworks-gateway-simulator", version, after_help = CONTROL_PAGES)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address to listen on for HTTPS as well; needs the two below
    #[arg(long, value_name = "ADDRESS", requires_all = ["tls_certificate", "tls_key"])]
    tls_listen: Option<SocketAddr>,
    /// File with the certificates to show there, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_certificate: Option<PathBuf>,
    /// File with their private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_key: Option<PathBuf>,
    /// The one account it knows
    #[arg(
        long,
        env = "FIREWORKS_ACCOUNT_ID",
        default_value = "acme",
        value_name = "ID"
    )]
    account_id: String,
    /// File with the API key to accept; without it the environment's `FIREWORKS_API_KEY`, or else a well-known key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// How many seeded users to start with: user-00000 and so on
    #[arg(long, default_value_t = 0, value_name = "N")]
    users: usize,
    /// Seed of their roles and names
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Wait this long before every answer, as in 50ms or 2s
    #[arg(long, value_parser = parse_duration, default_value = "0ms", value_name = "TIME")]
    latency: Duration,
    /// Spread that wait: the standard deviation of its logarithm, in hundredths
    #[arg(long, default_value_t = 0, value_name = "HUNDREDTHS")]
    latency_spread: u32,
    /// Answer 429 above this many requests a minute; without it there is no limit
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
}

const CONTROL_PAGES: &str = "\
Control pages (JSON, no credential):
  GET    /_journal?since=SEQ     every request: time, verb, body, what it changed, fault injected
  DELETE /_journal               forget them
  GET    /_violations            what no request and no answer should have looked like
  GET, PUT, POST, DELETE /_faults    for example
         {\"verb\": \"PATCH\", \"user\": \"alice\", \"nth\": 1, \"times\": 2, \"fault\": {\"kind\": \"error\", \"code\": 14}}
         no answer in time:  hang, hangInBody, slowBody, delay, deaf
         no answer at all:   applyThenDrop, dropBeforeApply, zombie, truncated
         another answer:     error, html502, throttle, raw, redirect
         a wrong answer:     oversized, invalidJson, wrongContentType, gzipBomb, wrongUser, altered
         a wrong list:       expiredToken, repeatedToken, duplicatedRows, omittedUsers
         another effect:     ignored, normalised, stuckUpdating, stuckState, replicaLag, meanwhile
  DELETE /_faults/ID             take one back
  GET, PUT, DELETE /_chaos       faults chosen by a seed, for example
         {\"seed\": 1, \"perMille\": 200, \"kinds\": [{\"kind\": \"html502\"}, {\"kind\": \"truncated\"}]}
  PUT    /_keys                  accept these keys and no others, for example [\"one\", \"two\"]
  GET, PUT, PATCH /_switches     behaviours the real gateway may or may not have
  GET /_users; GET, PUT, PATCH, DELETE /_users/ID    edit users out of band";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_arguments(&error),
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("error: {line}");
            ExitCode::from(2)
        }
    }
}

/// Help and version are no errors; anything else is one line.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // A closed pipe, as after `| head`, is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{}",
        error
            .to_string()
            .lines()
            .next()
            .unwrap_or("error: bad arguments")
    );
    ExitCode::from(2)
}

fn run(arguments: Arguments) -> Result<(), String> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let (api_key, key_source) = api_key(arguments.api_key_file.as_ref())?;
    let tls = Tls::read(
        arguments.tls_listen,
        arguments.tls_certificate.as_deref(),
        arguments.tls_key.as_deref(),
    )?;
    let switches = Switches {
        requests_per_minute: arguments.requests_per_minute,
        latency_ms: u64::try_from(arguments.latency.as_millis()).unwrap_or(u64::MAX),
        latency_spread: arguments.latency_spread,
        ..Switches::default()
    };
    let settings = Settings {
        account_id: arguments.account_id,
        api_keys: vec![api_key],
        listen: arguments.listen,
        users: arguments.users,
        seed: arguments.seed,
        switches,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        // Before the line below: a reader may signal at once.
        let ended = terminated().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let simulator = Simulator::start(settings)
            .map_err(|error| format!("--listen {}: {error}", arguments.listen))?;
        let tls = match tls {
            Some(tls) => format!(" {}", tls.start(simulator.address()).await?),
            None => String::new(),
        };
        let line = format!(
            "gateway simulator: {}{tls} account {} users {} key {key_source}\n",
            simulator.base_url(),
            simulator.account_id(),
            arguments.users,
        );
        let mut out = io::stdout();
        // There may be no reader; that is no reason to end.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        ended.await;
        Ok(())
    })
}

fn terminated() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program's only look at the environment besides clap's"
)]
/// The key and, for people, where it came from; only the well-known one is ever shown.
fn api_key(file: Option<&PathBuf>) -> Result<(String, String), String> {
    if let Some(path) = file {
        let shown = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| format!("--api-key-file {shown}: {error}"))?;
        let key = text.strip_suffix('\n').unwrap_or(&text);
        if key.is_empty() {
            return Err(format!("--api-key-file {shown}: the file is empty"));
        }
        return Ok((key.to_owned(), format!("from {shown}")));
    }
    match std::env::var("FIREWORKS_API_KEY") {
        Ok(key) if !key.is_empty() => Ok((key, "from FIREWORKS_API_KEY".into())),
        _ => Ok((TEST_KEY.into(), format!("{TEST_KEY} (for tests only)"))),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "write it like 50ms or 2s".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err("write it like 50ms or 2s".to_owned()),
    }
}
