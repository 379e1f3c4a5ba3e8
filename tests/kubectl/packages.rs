//! The archives of the program, and the manifest of the krew plugin.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::pages::repository;

const PLATFORMS: [&str; 2] = ["linux-amd64", "linux-arm64"];

fn script(path: &str, arguments: &[&str], time: &str) -> Output {
    Command::new(repository().join(path))
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", time)
        .output()
        .unwrap()
}

fn packed(folder: &Path, time: &str) -> Vec<u8> {
    let archive = folder.with_extension("tar.gz");
    let paths = [folder, &archive].map(|path| path.to_str().unwrap());
    let output = script("deploy/cli/pack.sh", &paths, time);
    assert!(output.status.success(), "{output:?}");
    fs::read(archive).unwrap()
}

/// Neither the time of the files, nor their order or mode bits, nor the folder are in the archive.
#[test]
fn archives_of_equal_files_are_equal() {
    let root = tempfile::tempdir().unwrap();
    let folders = ["one", "other"].map(|name| root.path().join(name));
    let mut files = ["LICENSE", "kubectl-fireworks"];
    for folder in &folders {
        fs::create_dir(folder).unwrap();
        files.reverse();
        for file in files {
            fs::write(folder.join(file), file).unwrap();
        }
    }
    let old = std::time::UNIX_EPOCH;
    let license = fs::File::options()
        .append(true)
        .open(folders[1].join("LICENSE"));
    license.unwrap().set_modified(old).unwrap();
    let [one, other] = folders.each_ref().map(|folder| packed(folder, "86400"));
    assert_eq!(one, other);
    assert_ne!(one, packed(&folders[0], "172800"));
}

/// Fills the template with these sums.
fn filled(sums: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checksums.txt");
    fs::write(&path, sums).unwrap();
    let url = "https://downloads.example.com/v0.1.0";
    script(
        "deploy/krew/fill.sh",
        &["v0.1.0", url, path.to_str().unwrap()],
        "0",
    )
}

fn sum(platform: &str) -> String {
    let digit = if platform.ends_with("amd64") {
        "a"
    } else {
        "b"
    };
    digit.repeat(64)
}

/// The rules of krew's `ValidatePlugin`: it refuses unknown fields, and a manifest that breaks one of these.
#[test]
fn krew_accepts_the_filled_manifest() {
    let sums = PLATFORMS.map(|of| format!("{}  kubectl-fireworks-{of}.tar.gz\n", sum(of)));
    let output = filled(&sums.concat());
    assert!(output.status.success(), "{output:?}");
    let plugin: Value = serde_saphyr::from_str(str::from_utf8(&output.stdout).unwrap()).unwrap();
    assert_eq!(
        plugin["apiVersion"],
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(
        (&plugin["kind"], &plugin["metadata"]["name"]),
        (&"Plugin".into(), &"fireworks".into())
    );
    let spec = &plugin["spec"];
    assert_eq!(spec["version"], "v0.1.0");
    let short = spec["shortDescription"].as_str().unwrap();
    assert!(!short.contains('\n') && short.len() <= 50, "{short}");
    let fields = [
        "caveats",
        "description",
        "platforms",
        "shortDescription",
        "version",
    ];
    assert_eq!(fields_of(spec), fields);
    let platforms = spec["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), PLATFORMS.len());
    for (platform, of) in platforms.iter().zip(PLATFORMS) {
        assert_eq!(
            fields_of(platform),
            ["bin", "files", "selector", "sha256", "uri"]
        );
        let labels = &platform["selector"]["matchLabels"];
        let named = format!(
            "{}-{}",
            labels["os"].as_str().unwrap(),
            labels["arch"].as_str().unwrap()
        );
        assert_eq!(named, of);
        assert_eq!(platform["sha256"], sum(of));
        let archive = format!("https://downloads.example.com/v0.1.0/kubectl-fireworks-{of}.tar.gz");
        assert_eq!(platform["uri"], archive);
        // As in the archive: `bin` is one of the files, and krew makes a link `kubectl-fireworks` to it.
        let files = platform["files"].as_array().unwrap().iter();
        let from: Vec<_> = files
            .map(|file| (file["from"].as_str().unwrap(), &file["to"]))
            .collect();
        assert_eq!(
            from,
            [("kubectl-fireworks", &".".into()), ("LICENSE", &".".into())]
        );
        assert_eq!(platform["bin"], from[0].0);
    }
}

fn fields_of(value: &Value) -> Vec<&str> {
    let mut fields: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    fields
}

/// No address or sum is invented: the file in the repository has placeholders, and a release without an archive fails.
#[test]
fn krew_manifest_has_placeholders_until_a_release() {
    let template = fs::read_to_string(repository().join("deploy/krew/fireworks.yaml")).unwrap();
    assert!(!template.contains("https://"), "{template}");
    let output = filled(&format!(
        "{}  kubectl-fireworks-linux-amd64.tar.gz\n",
        sum("amd64")
    ));
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("no SHA-256 of linux-arm64"), "{problem}");
}
