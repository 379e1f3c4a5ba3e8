//! The commands of the pages for those who install it: what stands in their blocks, and a shell that runs a block as it is
//! written. Which blocks make a way through a page, and what is then true, is in the scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result, ensure};
use crate::node::{Node, program};
use crate::shell;

/// What every command of the pages is run in.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Longer than anything the commands wait for by themselves.
const SECONDS_AT_MOST: &str = "400";
/// The page with all the ways.
pub(crate) const INSTALL: &str = "docs/install.md";
/// The page that is read first; of it the part on installing.
pub(crate) const README: &str = "README.md";

/// Blocks that no scenario runs, by their page and first line, and why.
const NOT_RUN: [(&str, &str, &str); 1] = [(
    INSTALL,
    "cargo build --release",
    "the node has no network to build with, and the program would run until it is ended",
)];

/// A block of commands: its page, and its lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    page: &'static str,
    text: String,
}

impl Block {
    fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    fn is_not_run(&self) -> bool {
        NOT_RUN
            .iter()
            .any(|(page, line, _)| *page == self.page && *line == self.first_line())
    }
}

/// All blocks there are.
pub(crate) fn blocks() -> Result<Vec<Block>> {
    let read = |page: &str| fs::read_to_string(Path::new(REPOSITORY).join(page));
    let readme = read(README)?;
    let part = readme
        .split("\n## ")
        .find(|part| part.starts_with("Install\n"));
    let part = part.ok_or_else(|| Failure::new("README.md does not show how to install it"))?;
    let mut all = fenced(README, part);
    all.extend(fenced(INSTALL, &read(INSTALL)?));
    Ok(all)
}

/// What stands between fences for a shell.
fn fenced(page: &'static str, text: &str) -> Vec<Block> {
    let parts = text.split("```sh\n").skip(1);
    let texts = parts.filter_map(|part| part.split("```").next());
    texts
        .map(|text| Block {
            page,
            text: text.to_owned(),
        })
        .collect()
}

/// Blocks that are neither in `run` nor listed here, and those listed here that are in no page.
pub(crate) fn forgotten(run: &BTreeSet<Block>) -> Result<Vec<String>> {
    let all = blocks()?;
    let mut forgotten: Vec<String> = all
        .iter()
        .filter(|block| !run.contains(block) && !block.is_not_run())
        .map(|block| format!("{}: {}", block.page, block.first_line()))
        .collect();
    for (page, line, _) in NOT_RUN {
        let is = |block: &Block| block.page == page && block.first_line() == line;
        if !all.iter().any(is) {
            forgotten.push(format!("{page} has no block that begins with {line}"));
        }
    }
    Ok(forgotten)
}

/// A reader who has put in their own values, and runs one block after the other in one shell.
pub(crate) struct Reader {
    blocks: Vec<Block>,
    /// What to replace, and by what.
    put_in: BTreeMap<&'static str, String>,
    /// What has been exported, as it was written.
    exports: String,
    programs: PathBuf,
    kubeconfig: PathBuf,
    run: BTreeSet<Block>,
}

impl Reader {
    /// With that program as helm; `put_in` is what the pages ask to be replaced.
    pub(crate) fn new(
        node: &Node,
        helm: &str,
        put_in: BTreeMap<&'static str, String>,
    ) -> Result<Self> {
        let programs = node
            .state()
            .join(format!("programs-of-a-reader-with-{helm}"));
        if !programs.exists() {
            fs::create_dir(&programs)?;
            symlink(program(helm), programs.join("helm"))?;
            symlink(program("kubectl"), programs.join("kubectl"))?;
        }
        Ok(Self {
            blocks: blocks()?,
            put_in,
            exports: String::new(),
            programs,
            kubeconfig: node.kubeconfig(),
            run: BTreeSet::new(),
        })
    }

    /// Runs the one block of the page that begins so, to its end.
    pub(crate) async fn follow(&mut self, page: &str, beginning: &str) -> Result {
        self.follow_with(page, beginning, "", "").await
    }

    /// The same with one word in place of another, where the page asks for it beside the block.
    pub(crate) async fn follow_with(
        &mut self,
        page: &str,
        beginning: &str,
        word: &str,
        other: &str,
    ) -> Result {
        let is = |block: &&Block| block.page == page && block.text.starts_with(beginning);
        let mut found = self.blocks.iter().filter(is);
        let (Some(block), None) = (found.next(), found.next()) else {
            return Err(Failure::new(format!(
                "{page} has none, or more than one, block that begins with {beginning}"
            )));
        };
        ensure(block.text.contains(word), || {
            format!("{word} is not in the block {beginning} of {page}")
        })?;
        let block = block.clone();
        let mut text = block.text.clone();
        if !word.is_empty() {
            text = text.replace(word, other);
        }
        for (placeholder, own) in &self.put_in {
            text = text.replace(placeholder, own);
        }
        let script = format!("set -eu\n{}{text}", self.exports);
        if text.lines().all(|line| line.starts_with("export ")) {
            self.exports.push_str(&text);
        }
        self.shell(&script).await?;
        self.run.insert(block);
        Ok(())
    }

    /// What has been run.
    pub(crate) fn run(self) -> BTreeSet<Block> {
        self.run
    }

    async fn shell(&self, script: &str) -> Result<String> {
        let mut command = Command::new("timeout");
        let path = format!("{}:/usr/bin:/bin", self.programs.display());
        command
            .args([SECONDS_AT_MOST, "sh", "-c", script])
            .current_dir(REPOSITORY)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.programs)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(std::process::Stdio::null());
        tokio::task::spawn_blocking(move || shell::finish(&mut command))
            .await
            .map_err(Failure::from)?
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_block_is_run_or_listed_or_forgotten() {
        let all = blocks().unwrap();
        assert!(all.iter().any(|block| block.page == README));
        let run = |wanted: fn(&Block) -> bool| {
            let run = all.iter().filter(|block| wanted(block)).cloned().collect();
            forgotten(&run).unwrap()
        };
        assert_eq!(run(|_| true), Vec::<String>::new());
        assert_eq!(run(|block| !block.is_not_run()), Vec::<String>::new());
        let line = "helm rollback fireworks-user-operator --namespace fireworks-system --wait";
        let others = |block: &Block| !block.text.starts_with("helm rollback");
        assert_eq!(run(others), [format!("{INSTALL}: {line}")]);
        assert_eq!(run(|_| false).len(), all.len() - NOT_RUN.len());
    }

    #[test]
    fn only_fences_marked_sh_are_for_a_shell() {
        let text = "one\n```sh\na\nb\n```\n\n```yaml\nc: d\n```\n```sh\ne\n```\n";
        let texts: Vec<_> = fenced(INSTALL, text)
            .into_iter()
            .map(|block| block.text)
            .collect();
        assert_eq!(texts, ["a\nb\n", "e\n"]);
    }
}
