//! What `make image` wrote, as it is found on the node: what is in it, whose process it becomes, which authorities it trusts.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::World;
use super::installed::{OPERATOR, SYSTEM};
use super::process::Process;
use crate::failure::{Failure, Result, ensure};
use crate::images::{AUTHORITIES, released};
use crate::shell;

/// What may be pulled, in bytes.
const COMPRESSED_AT_MOST: u64 = 5_000_000;
/// Fewer public authorities are a list that was cut short.
const AUTHORITIES_AT_LEAST: usize = 100;
/// The ELF section in which `cargo auditable` lists the dependencies.
const DEPENDENCIES: &[u8] = b".dep-v0";
/// As `deploy/image` has it.
const NOBODY: &str = "65532";

/// The image has its labels, is small, and runs one static program as user `nobody`, with no rights, that trusts the public
/// authorities.
pub(crate) async fn the_released_image_is_one_small_program_without_privileges(
    world: &World<'_>,
) -> Result {
    world.node.rolled_out(SYSTEM, OPERATOR).await?;
    let archive = released()?.join("fireworks-user-operator.tar");
    let index = blob(&archive, "index.json")?;
    let manifest = described(&archive, &index["manifests"][0])?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let size: u64 = layers.filter_map(|layer| layer["size"].as_u64()).sum();
    println!("  {} kB compressed", size / 1000);
    ensure((1..=COMPRESSED_AT_MOST).contains(&size), || {
        format!("{size} bytes are to be pulled")
    })?;

    let config = described(&archive, &manifest["config"])?;
    let config = &config["config"];
    ensure(config["User"] == format!("{NOBODY}:{NOBODY}"), || {
        format!("it runs as {}", config["User"])
    })?;
    let program = released()?.join("rootfs/fireworks-user-operator");
    let bytes = std::fs::read(&program)?;
    ensure(
        bytes
            .windows(DEPENDENCIES.len())
            .any(|window| window == DEPENDENCIES),
        || "the list of its dependencies is missing".to_owned(),
    )?;
    let version = shell::run(&program.display().to_string(), &["--version"])?;
    for label in ["version", "revision"] {
        let value = &config["Labels"][format!("org.opencontainers.image.{label}")];
        let value = value.as_str().unwrap_or("nothing at all");
        ensure(version.contains(value), || {
            format!("it is labelled {value}, and prints {version}")
        })?;
    }

    let process = Process::find()?;
    let mapped = process.mapped()?;
    ensure(mapped == ["/fireworks-user-operator"], || {
        format!("it runs with {mapped:?}")
    })?;
    let nobody = [NOBODY; 4].join(" ");
    let rights = [
        ("Uid", nobody.as_str()),
        ("Gid", &nobody),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
        // Filtered.
        ("Seccomp", "2"),
    ];
    for (key, wanted) in rights {
        let is = process.status(key)?;
        ensure(is == wanted, || format!("{key} is {is}, and not {wanted}"))?;
    }
    let trusted = authorities(&process.file(AUTHORITIES))?;
    println!("  {trusted} certificate authorities");
    ensure(trusted >= AUTHORITIES_AT_LEAST, || {
        format!("it trusts {trusted} authorities")
    })
}

/// How many authorities of the file are understood by the library that the operator checks with.
fn authorities(file: &Path) -> Result<usize> {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(file)?.collect::<std::result::Result<_, _>>()?;
    let (trusted, ignored) = RootCertStore::empty().add_parsable_certificates(certificates);
    ensure(ignored == 0, || format!("{ignored} are not understood"))?;
    Ok(trusted)
}

fn described(archive: &Path, descriptor: &Value) -> Result<Value> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    blob(archive, &format!("blobs/{}", digest.replace(':', "/")))
}

/// One file of the archive, which is JSON.
fn blob(archive: &Path, name: &str) -> Result<Value> {
    let mut archive = tar::Archive::new(File::open(archive)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(name) {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            return Ok(serde_json::from_str(&text)?);
        }
    }
    Err(Failure::new(format!("the archive has no {name}")))
}
