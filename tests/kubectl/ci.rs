//! The workflows of `docs/plan-in-ci.md`: checked by actionlint, and their steps run by bash. The account is the
//! simulator's; `curl` and `gh` are scripts that answer from a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fireworks_gateway_simulator::{Simulator, User};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ended, manifest};
use crate::pages::{blocks, page, repository};
use crate::plan::{gateway, user};

/// Answers what `gh` of the steps asks, from files of `$ANSWERS`, and records its arguments.
const GH: &str = r#"#!/bin/bash
set -eu
echo "$*" >>"$ANSWERS/asked"
case "$*" in
"run list "*) cat "$ANSWERS/runs" ;;
"run download "*)
    [ -d "$ANSWERS/$5" ] || { echo "no artifact" >&2; exit 1; }
    mkdir -p "$7"
    cp -P "$ANSWERS/$5"/* "$7" ;;
"api --method GET "*"/pulls "*) cat "$ANSWERS/pulls" ;;
"api --paginate "*"/files "*) cat "$ANSWERS/files" ;;
"api --paginate "*"/comments "*) cat "$ANSWERS/comments" ;;
"api --method PATCH "* | "api --method POST "*) cp body.md "$ANSWERS/posted" ;;
"api "*) cat "$ANSWERS/changed" ;;
*) exit 9 ;;
esac
"#;

/// Writes the file of `$ANSWERS` with the last part of the URL as its name.
const CURL: &str = r#"#!/bin/bash
set -eu
while [ $# -gt 1 ]; do
    [ "$1" != --output ] || output=$2
    shift
done
url=${1##*/}
cp "$ANSWERS/${url%%\?*}" "$output"
"#;

/// Returns the workflow or pipeline that the page has for this file, as text.
fn file(name: &str) -> String {
    let head = format!("# {name}\n");
    let mut all = blocks(&page("plan-in-ci.md"), "yaml").into_iter();
    all.find(|block| block.starts_with(&head))
        .unwrap_or_else(|| panic!("no block of {name}"))
}

const WORKFLOWS: [&str; 3] = [
    ".github/workflows/fireworks-snapshot.yml",
    ".github/workflows/fireworks-plan.yml",
    ".github/workflows/fireworks-comment.yml",
];

fn parsed(name: &str) -> Value {
    serde_saphyr::from_str(&file(name)).unwrap()
}

fn steps(workflow: &Value) -> &Vec<Value> {
    let jobs = workflow["jobs"].as_object().unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.values().next().unwrap()["steps"].as_array().unwrap()
}

/// Returns what the step with this name runs.
fn run_of(workflow: &str, step: &str) -> String {
    let workflow = parsed(workflow);
    let mut steps = steps(&workflow).iter();
    let step = steps.find(|one| one["name"] == step).unwrap();
    step["run"].as_str().unwrap().to_owned()
}

/// A runner with the program's archive, an account, and a checkout of a pull request.
struct Runner {
    folder: TempDir,
    gateway: Simulator,
}

impl Runner {
    fn new(users: &[User]) -> Self {
        let runner = Self {
            folder: tempfile::tempdir().unwrap(),
            gateway: gateway(users),
        };
        for folder in ["bin", "answers", "temp", "pull-request/users"] {
            fs::create_dir_all(runner.at(folder)).unwrap();
        }
        for (name, text) in [("gh", GH), ("curl", CURL)] {
            let path = runner.at("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = Path::new(env!("CARGO_BIN_EXE_kubectl-fireworks"));
        // A link: the program that tests build is large.
        symlink(program, runner.at("answers/kubectl-fireworks")).unwrap();
        let archive = runner.bash(
            "answers",
            "tar -czf archive.tar.gz kubectl-fireworks\nsha256sum archive.tar.gz | cut -d ' ' -f 1 >sum",
        );
        assert_eq!(archive.code, 0, "{archive:?}");
        runner
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn answer(&self, name: &str, text: &str) {
        fs::write(self.at("answers").join(name), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn declare(&self, manifests: &str) {
        fs::write(self.at("pull-request/users/all.yaml"), manifests).unwrap();
    }

    /// Runs a script as GitHub and GitLab do with `shell: bash`.
    fn bash(&self, within: &str, script: &str) -> Ended {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let sum = self.read("answers/sum");
        let output = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .current_dir(self.at(within))
            .env_clear()
            .env("PATH", path)
            .env("ANSWERS", self.at("answers"))
            .env("RUNNER_TEMP", self.at("temp"))
            .env("GITHUB_STEP_SUMMARY", self.at("summary"))
            .env(
                "ARCHIVE_URL",
                "https://downloads.example.com/archive.tar.gz",
            )
            .env("ARCHIVE_SHA256", sum.trim())
            .envs([("GH_REPO", "acme/users"), ("RUN_ID", "8")])
            .envs([
                ("HEAD_OWNER", "mallory"),
                ("HEAD_BRANCH", "x"),
                ("HEAD_SHA", SHA),
            ])
            .env("CI_API_V4_URL", "https://gitlab.example.com/api/v4")
            .env("FIREWORKS_ACCOUNT_ID", self.gateway.account_id())
            .env("FIREWORKS_API_KEY", self.gateway.api_key())
            .env("FIREWORKS_BASE_URL", self.gateway.base_url())
            .output()
            .unwrap();
        output.into()
    }

    /// Runs steps of a workflow, which all have to succeed.
    fn passes(&self, workflow: &str, names: &[&str]) {
        for name in names {
            let ended = self.bash("pull-request", &run_of(workflow, name));
            assert_eq!(ended.code, 0, "{name}: {ended:?}");
        }
    }

    /// Makes the snapshot as the scheduled workflow does, and serves it as its artifact.
    fn snapshot(&self) {
        self.passes(WORKFLOWS[0], &["Install", "Snapshot"]);
        let artifact = self.at("answers/fireworks-snapshot");
        fs::create_dir_all(&artifact).unwrap();
        fs::rename(self.at("temp/account.json"), artifact.join("account.json")).unwrap();
        fs::remove_file(self.at("temp/kubectl-fireworks")).unwrap();
        self.answer("runs", "7\n");
    }
}

const SHA: &str = "1111111111111111111111111111111111111111";

fn account() -> Runner {
    Runner::new(&[user("root", "admin"), user("alice", "user")])
}

#[test]
fn workflows_pass_actionlint() {
    let program = repository().join("tests/controlplane/bin/actionlint");
    assert!(program.is_file(), "`make helm` builds actionlint");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(".github/workflows")).unwrap();
    let lint = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        let output = Command::new(&program)
            .args(["-no-color", "-shellcheck=", "-pyflakes=", name])
            .current_dir(folder.path())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    for name in WORKFLOWS {
        assert_eq!(lint(name, &file(name)), (true, String::new()));
    }
    let text = file(WORKFLOWS[2]).replace("\"$GH_REPO\"", "x").replace(
        "number=$(gh",
        "echo ${{ github.head_ref }}\n          number=$(gh",
    );
    let (passes, problems) = lint(WORKFLOWS[2], &text);
    assert!(
        !passes && problems.contains("potentially untrusted"),
        "{problems}"
    );
}

/// The job that reads the pull request has no secret and no token that writes; the one that writes has no checkout.
#[test]
fn workflows_give_no_job_more_than_it_needs() {
    for name in WORKFLOWS {
        let (text, workflow) = (file(name), parsed(name));
        assert!(!text.contains("pull_request_target"), "{name}");
        assert_eq!(workflow["permissions"], serde_json::json!({}), "{name}");
        let [is_snapshot, is_plan, is_comment] = WORKFLOWS.map(|one| one == name);
        assert_eq!(text.contains("secrets."), is_snapshot, "{name}");
        assert_eq!(
            text.contains("environment: fireworks"),
            is_snapshot,
            "{name}"
        );
        assert_eq!(text.contains(": write"), is_comment, "{name}");
        assert_eq!(text.contains("actions/checkout@"), is_plan, "{name}");
        assert_eq!(
            text.contains("persist-credentials: false"),
            is_plan,
            "{name}"
        );
        for step in steps(&workflow) {
            let run = step["run"].as_str().unwrap_or_default();
            assert!(!run.contains("${{"), "{name}: {run}");
            let Some(action) = step["uses"].as_str() else {
                continue;
            };
            let commit = action.split_once('@').unwrap().1;
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit, "{action}");
        }
    }
}

/// The plan step passes with changes, and fails where the plan is incomplete or a guard holds a change.
#[test]
fn plan_step_exits_and_comments_as_the_page_has_it() {
    let runner = account();
    runner.snapshot();
    let plan = WORKFLOWS[1];
    runner.passes(plan, &["Install", "Fetch the snapshot"]);
    let asked = runner.read("answers/asked");
    assert!(asked.contains("--event schedule --branch main"), "{asked}");
    let calls = runner.gateway.journal().len();
    let cases = [
        (manifest("alice", "{role: user}"), 0, "1 in-sync"),
        (manifest("alice", "{role: contributor}"), 0, "1 change"),
        (manifest("root", "{role: user}"), 4, "1 hold"),
        ("kind: [".to_owned(), 3, ""),
    ];
    for (manifests, code, text) in cases {
        runner.declare(&manifests);
        let _ = fs::remove_file(runner.at("summary"));
        let ended = runner.bash("pull-request", &run_of(plan, "Plan"));
        assert_eq!(ended.code, code, "{manifests}: {ended:?}");
        let comment = runner.read("temp/comment.md");
        assert!(
            comment.contains(text) && comment == runner.read("summary"),
            "{comment}"
        );
        let problems = ended.out.contains("all.yaml");
        assert_eq!(problems, code == 3, "{ended:?}");
    }
    assert_eq!(runner.gateway.journal().len(), calls, "it plans offline");
}

#[test]
fn install_step_refuses_an_archive_with_another_sum() {
    let runner = account();
    let zeros = format!("{}\n", "0".repeat(64));
    runner.answer("sum", &zeros);
    for workflow in &WORKFLOWS[..2] {
        let ended = runner.bash("pull-request", &run_of(workflow, "Install"));
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(!runner.at("temp/kubectl-fireworks").exists());
    }
}

/// What a file name of the pull request prints is between the marks that stop commands to the runner.
#[test]
fn plan_step_prints_no_command_of_the_pull_request() {
    let runner = account();
    runner.snapshot();
    runner.passes(WORKFLOWS[1], &["Install", "Fetch the snapshot"]);
    let name = "pull-request/users/\n::warning::forged.yaml";
    fs::write(runner.at(name), "kind: [").unwrap();
    let ended = runner.bash("pull-request", &run_of(WORKFLOWS[1], "Plan"));
    assert_eq!(ended.code, 3, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    let end = lines[0].strip_prefix("::stop-commands::").unwrap();
    assert_eq!(end.len(), 32, "{ended:?}");
    assert_eq!(lines.last().unwrap(), &format!("::{end}::"));
    assert!(ended.out.contains("forged.yaml"), "{ended:?}");
}

/// A comment that is being written: the pull request 5 changes these files.
fn commenting(files: &str) -> Runner {
    let runner = account();
    runner.answer("pulls", &format!("4 {}\n5 {SHA}\n", "2".repeat(40)));
    runner.answer("files", files);
    runner.answer("changed", "1\n");
    runner.answer("comments", "");
    fs::create_dir(runner.at("answers/fireworks-plan")).unwrap();
    runner.answer("fireworks-plan/comment.md", "### Plan\n");
    runner
}

fn comment(runner: &Runner) -> (String, String) {
    let _ = fs::remove_dir_all(runner.at("temp/plan"));
    let _ = fs::remove_file(runner.at("answers/asked"));
    let ended = runner.bash("temp", &run_of(WORKFLOWS[2], "Comment"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let asked = runner.read("answers/asked");
    let last = asked.lines().last().unwrap_or_default().to_owned();
    (last, runner.read("answers/posted"))
}

#[test]
fn comment_step_writes_one_comment_and_updates_it() {
    let runner = commenting("users/alice.yaml\n");
    let (asked, posted) = comment(&runner);
    assert_eq!(
        asked,
        "api --method POST repos/acme/users/issues/5/comments -F body=@body.md"
    );
    assert_eq!(posted, "<!-- fireworks-plan -->\n### Plan\n");
    runner.answer("comments", "91\n92\n");
    let (asked, _) = comment(&runner);
    assert_eq!(
        asked,
        "api --method PATCH repos/acme/users/issues/comments/91 -F body=@body.md"
    );
}

/// A pull request that changes a workflow decides what its plan contains.
#[test]
fn comment_step_shows_no_plan_that_can_be_forged() {
    for (files, changed) in [
        (
            "users/alice.yaml\n.github/workflows/fireworks-plan.yml\n",
            "2\n",
        ),
        ("users/alice.yaml\n", "3001\n"),
    ] {
        let runner = commenting(files);
        runner.answer("changed", changed);
        let (_, posted) = comment(&runner);
        assert!(
            posted.contains("can be forged") && !posted.contains("### Plan"),
            "{posted}"
        );
    }
}

/// A link would show a file of the runner, such as the environment with the token.
#[test]
fn comment_step_reads_no_link_and_needs_an_artifact() {
    let runner = commenting("users/alice.yaml\n");
    let artifact = runner.at("answers/fireworks-plan/comment.md");
    fs::remove_file(&artifact).unwrap();
    symlink("/proc/self/environ", &artifact).unwrap();
    let (_, posted) = comment(&runner);
    let none = "<!-- fireworks-plan -->\nThere is no plan of this commit: see the job `plan`.\n";
    assert_eq!(posted, none);
    fs::remove_dir_all(runner.at("answers/fireworks-plan")).unwrap();
    assert_eq!(comment(&runner).1, none);
}

/// The number of the pull request comes from GitHub, by the commit that was planned.
#[test]
fn comment_step_needs_an_open_pull_request_of_the_commit() {
    let runner = commenting("users/alice.yaml\n");
    runner.answer("pulls", &format!("4 {}\n", "2".repeat(40)));
    let (asked, posted) = comment(&runner);
    assert!(asked.contains("head=mallory:x"), "{asked}");
    assert_eq!(posted, "");
}

/// The lines of the GitLab jobs, run as one script each.
#[test]
fn gitlab_jobs_make_the_snapshot_and_plan_from_it() {
    let runner = account();
    let pipeline = parsed(".gitlab-ci.yml");
    let temp = runner.at("temp").display().to_string();
    let run = |job: &str, within: &str| {
        let lines = [
            &pipeline[".fireworks"]["before_script"],
            &pipeline[job]["script"],
        ];
        let lines = lines.into_iter().flat_map(|all| all.as_array().unwrap());
        let lines: Vec<_> = lines.map(|line| line.as_str().unwrap()).collect();
        runner.bash(
            within,
            &lines.join("\n").replace("/tmp/", &format!("{temp}/")),
        )
    };
    let ended = run("fireworks-snapshot", "answers");
    assert_eq!(ended.code, 0, "{ended:?}");
    for (spec, of, code) in [
        ("{role: user}", "alice", 0),
        ("{role: contributor}", "alice", 0),
        ("{role: user}", "root", 4),
    ] {
        runner.declare(&manifest(of, spec));
        let ended = run("fireworks-plan", "pull-request");
        assert_eq!(ended.code, code, "{of} {spec}: {ended:?}");
        assert!(runner.read("pull-request/plan.md").starts_with("### Plan"));
    }
}
