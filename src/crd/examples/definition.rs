//! Prints the `CustomResourceDefinition` that the types of this crate describe: `make crds`.

use std::error::Error;
use std::io::{self, Write};

use fireworks_crd::FireworksUser;
use kube::CustomResourceExt;

fn main() -> Result<(), Box<dyn Error>> {
    let definition = serde_saphyr::to_string(&FireworksUser::crd())?;
    io::stdout().write_all(definition.as_bytes())?;
    Ok(())
}
