//! Images for what only the tests run, made without a container engine: an OCI archive of one program, and of the shared
//! libraries it is linked with. What the product ships is not made here.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use ring::digest;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::shell;

/// One program, and as what it is known.
pub(crate) struct Image<'a> {
    /// The name with its tag, `localhost/NAME:TAG`.
    pub(crate) name: &'a str,
    /// The program.
    pub(crate) program: &'a Path,
    /// Other files: where they are, and where they are to be.
    pub(crate) files: &'a [(&'a Path, &'a str)],
    /// The user that it runs as.
    pub(crate) user: &'a str,
}

impl Image<'_> {
    /// Writes the archive.
    pub(crate) fn write(&self, archive: &Path) -> Result {
        let folder = tempfile::tempdir()?;
        let layer = folder.path().join("layer.tar");
        self.write_layer(&layer, folder.path())?;
        let (layer_digest, layer_size) = digest_of(&layer)?;
        let entrypoint = format!("/{}", name_of(self.program)?);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": [entrypoint], "User": self.user, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
            "history": [{"created_by": "tests/cluster"}],
        });
        let mut out = tar::Builder::new(File::create(archive)?);
        let layer_blob = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_digest}"),
            "size": layer_size,
        });
        out.append_path_with_name(&layer, format!("blobs/sha256/{layer_digest}"))?;
        let config = append_blob(
            &mut out,
            "application/vnd.oci.image.config.v1+json",
            &config,
        )?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer_blob],
        });
        let mut manifest = append_blob(
            &mut out,
            "application/vnd.oci.image.manifest.v1+json",
            &manifest,
        )?;
        manifest["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        });
        append(&mut out, "index.json", index.to_string().as_bytes())?;
        append(&mut out, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        out.finish()?;
        Ok(())
    }

    fn write_layer(&self, layer: &Path, folder: &Path) -> Result {
        let stripped = folder.join("program");
        shell::run(
            "strip",
            &[
                "-o".as_ref(),
                stripped.as_os_str(),
                self.program.as_os_str(),
            ],
        )?;
        let mut tar = tar::Builder::new(File::create(layer)?);
        tar.append_path_with_name(&stripped, name_of(self.program)?)?;
        for library in libraries(self.program)? {
            let at = library.strip_prefix("/").unwrap_or(&library);
            // What the loader looks for is often a link to the file itself.
            append_file(&mut tar, &library, &at.to_string_lossy())?;
        }
        for (file, at) in self.files {
            append_file(&mut tar, file, at)?;
        }
        tar.finish()?;
        Ok(())
    }
}

/// The shared libraries that the loader finds for the program, and the loader; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let Ok(list) = shell::run("ldd", &[program]) else {
        return Ok(Vec::new());
    };
    if list.contains("not found") {
        return Err(Failure::new(format!("{}: {list}", program.display())));
    }
    // `libc.so.6 => /lib/libc.so.6 (0x…)`, or `/lib64/ld-linux.so.2 (0x…)`.
    let words = list.lines().filter_map(|line| {
        line.split_whitespace()
            .find(|word| word.starts_with('/'))
            .map(PathBuf::from)
    });
    Ok(words.collect())
}

fn append_file(tar: &mut tar::Builder<File>, file: &Path, at: &str) -> Result {
    let mut bytes = Vec::new();
    File::open(file)?.read_to_end(&mut bytes)?;
    append_with_mode(tar, at, &bytes, 0o755)
}

fn append(tar: &mut tar::Builder<File>, at: &str, bytes: &[u8]) -> Result {
    append_with_mode(tar, at, bytes, 0o644)
}

fn append_with_mode(tar: &mut tar::Builder<File>, at: &str, bytes: &[u8], mode: u32) -> Result {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, at, bytes)?;
    Ok(())
}

fn append_blob(tar: &mut tar::Builder<File>, media_type: &str, value: &Value) -> Result<Value> {
    let bytes = value.to_string().into_bytes();
    let digest = hex(digest::digest(&digest::SHA256, &bytes).as_ref());
    append(tar, &format!("blobs/sha256/{digest}"), &bytes)?;
    Ok(json!({
        "mediaType": media_type,
        "digest": format!("sha256:{digest}"),
        "size": bytes.len(),
    }))
}

fn digest_of(file: &Path) -> Result<(String, usize)> {
    let bytes = fs::read(file)?;
    let digest = digest::digest(&digest::SHA256, &bytes);
    Ok((hex(digest.as_ref()), bytes.len()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn name_of(program: &Path) -> Result<String> {
    let name = program
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| Failure::new(format!("{} is no program", program.display())))
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}
