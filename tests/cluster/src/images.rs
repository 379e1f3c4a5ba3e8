//! The images on the node: what is released, as `make image` left it; the same content as a second version; the program
//! with the hooks of tests; and what the tests run beside the product. Brings them into containerd, runs none of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, ensure};
use crate::image::Image;
use crate::node::{bin, built, ctr};
use crate::settings::PAUSE;
use crate::shell;

/// As the chart and the Deployment of `deploy/` name it, spelt out.
pub(crate) const OPERATOR: &str = "docker.io/library/fireworks-user-operator";
/// The tag of what is released.
pub(crate) const TAG: &str = env!("CARGO_PKG_VERSION");
/// The tag of what an upgrade installs: another image of the same content.
pub(crate) const NEXT_TAG: &str = "next";
/// The operator with the hooks of tests, for what a released one never does.
pub(crate) const UNDER_TEST: &str = "localhost/operator-under-test";
/// The name by which the pages for those who install it call the image; `TAG` is its tag.
pub(crate) const DOCUMENTED: &str = "registry.example.com/fireworks-user-operator";
/// Where a program finds the certificates to trust by default.
pub(crate) const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Imports all of them; `state` is a folder for archives that are made here.
pub(crate) fn import(state: &Path) -> Result {
    let released = released()?.join("fireworks-user-operator.tar");
    ensure(released.is_file(), || {
        format!("{} is not there: run `make image`", released.display())
    })?;
    import_archive(&released)?;
    let archive = state.join("image.tar");
    pack(
        &released_files()?,
        &format!("{OPERATOR}:{NEXT_TAG}"),
        &archive,
    )?;
    import_archive(&archive)?;

    let built = built()?;
    let authorities = released_files()?.join(AUTHORITIES);
    let under_test = format!("{UNDER_TEST}:{TAG}");
    let own = [
        (PAUSE, built.join("pause"), "65535", None),
        ("localhost/coredns:1", bin().join("coredns"), "0", None),
        (
            "localhost/gateway:1",
            built.join("fireworks-gateway-simulator"),
            "65532",
            None,
        ),
        (
            under_test.as_str(),
            built.join("operator-under-test"),
            "65532",
            Some((authorities.as_path(), AUTHORITIES)),
        ),
    ];
    for (name, program, user, file) in own {
        let image = Image {
            name,
            program: &program,
            files: file.as_slice(),
            user,
        };
        image.write(&archive)?;
        import_archive(&archive)?;
    }
    Ok(())
}

/// Imports the image that the pages speak of: what is released, with one more authority to trust.
pub(crate) fn import_documented(state: &Path, authority: &str) -> Result {
    let (from, to) = (released_files()?, state.join("documented"));
    let list = to.join(AUTHORITIES);
    fs::create_dir_all(list.parent().unwrap_or(&to))?;
    let program = "fireworks-user-operator";
    fs::copy(from.join(program), to.join(program))?;
    let trusted = fs::read_to_string(from.join(AUTHORITIES))?;
    fs::write(list, format!("{trusted}\n{authority}"))?;
    let archive = state.join("image.tar");
    pack(&to, &format!("{DOCUMENTED}:{TAG}"), &archive)?;
    import_archive(&archive)
}

/// Packs a folder as `make image` does. What is in the released image is another image by its other label.
fn pack(files: &Path, name: &str, archive: &Path) -> Result {
    let packer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/image/pack.py");
    let args = [
        // Without a trace of Python in the source tree.
        "-B".as_ref(),
        packer.as_os_str(),
        files.as_os_str(),
        archive.as_os_str(),
        "--name".as_ref(),
        name.as_ref(),
        "--machine".as_ref(),
        std::env::consts::ARCH.as_ref(),
        "--created=0".as_ref(),
        "--user=65532:65532".as_ref(),
        "--entrypoint=/fireworks-user-operator".as_ref(),
        "--label=org.opencontainers.image.version=next".as_ref(),
    ];
    shell::run("python3", &args).map(drop)
}

fn import_archive(archive: &Path) -> Result {
    let archive = archive.display().to_string();
    ctr(&["-n", "k8s.io", "images", "import", &archive]).map(drop)
}

/// Where `make image` leaves what it makes.
pub(crate) fn released() -> Result<PathBuf> {
    let built = built()?;
    let target = built.parent().map(|target| target.join("image"));
    target.ok_or_else(|| Failure::new("this program is in no target folder"))
}

/// What is in the released image.
fn released_files() -> Result<PathBuf> {
    Ok(released()?.join("rootfs"))
}
