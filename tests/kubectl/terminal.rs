//! What is printed on a terminal only: colours, lines of its width, progress. `script` of util-linux gives one.

use std::process::Command;

use fireworks_gateway_simulator::{Settings, Simulator};

use crate::command::{manifest, program};

const COLUMNS: usize = 50;

/// Plans two users on a terminal of [`COLUMNS`] columns with these variables, and returns all that it showed.
fn on_terminal(gateway: &Simulator, variables: &[(&str, &str)], args: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let spec = "{role: contributor, displayName: A name of several words}";
    let text = manifest("user-00003", spec) + &manifest("user-00004", spec);
    std::fs::write(home.path().join("users.yaml"), text).unwrap();
    let run = env!("CARGO_BIN_EXE_kubectl-fireworks");
    let line = format!("stty cols {COLUMNS} rows 24; {run} plan -f users.yaml {args}");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(home.path());
    command
        .env("FIREWORKS_ACCOUNT_ID", gateway.account_id())
        .env("FIREWORKS_API_KEY", gateway.api_key())
        .env("FIREWORKS_BASE_URL", gateway.base_url())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn large() -> Simulator {
    let gateway = Simulator::start(Settings::default()).unwrap();
    gateway.seed(450);
    gateway
}

#[test]
fn terminal_has_colors_unless_they_are_refused() {
    let gateway = large();
    let colored = "\u{1b}[1m\u{1b}[33mchange\u{1b}[0m";
    for (variables, args, expected) in [
        (&[][..], "", true),
        (&[("NO_COLOR", "1")], "", false),
        (&[("TERM", "dumb")], "", false),
        (&[], "--color never", false),
        (&[("NO_COLOR", "1")], "--color always", true),
    ] {
        let shown = on_terminal(&gateway, variables, args);
        assert!(shown.contains("change"), "{shown}");
        assert_eq!(
            shown.contains(colored),
            expected,
            "{variables:?} {args} {shown}"
        );
    }
}

/// The lines of the table fit; those of a pipe neither wrap nor have colours, unless these are asked for.
#[test]
fn lines_wrap_at_the_width_of_the_terminal_only() {
    let gateway = large();
    let shown = on_terminal(&gateway, &[("NO_COLOR", "1")], "");
    let rows = shown
        .lines()
        .skip_while(|line| !line.contains("change  default/"));
    let rows: Vec<_> = rows.take_while(|line| !line.trim().is_empty()).collect();
    assert!(rows.len() > 2, "{shown:?}");
    let last = |line: &str| {
        line.rsplit('\r')
            .find(|part| !part.is_empty())
            .map_or(0, str::len)
    };
    assert!(
        rows[1..].iter().all(|line| last(line) <= COLUMNS),
        "{rows:?}"
    );
    let text = manifest(
        "user-00003",
        "{role: contributor, displayName: A name of several words}",
    );
    for (args, has_color) in [
        (&["plan", "-f", "-"][..], false),
        (&["plan", "-f", "-", "--color", "always"], true),
    ] {
        let piped = program(args).account(&gateway).input(text.clone()).run();
        let rows = piped
            .out
            .lines()
            .filter(|line| line.contains("default/user-00003"));
        assert_eq!(rows.count(), 1, "{piped:?}");
        assert!(piped.out.contains("A name of several words\n"), "{piped:?}");
        assert_eq!(piped.out.contains('\u{1b}'), has_color, "{piped:?}");
        assert_eq!(piped.err, "", "no progress in a pipe");
    }
}

#[test]
fn progress_is_shown_on_a_terminal_for_more_than_one_page_only() {
    let shown = on_terminal(&large(), &[], "");
    assert!(shown.contains("reading users "), "{shown:?}");
    let small = Simulator::start(Settings::default()).unwrap();
    small.seed(20);
    let shown = on_terminal(&small, &[], "");
    assert!(shown.contains("20 users as of"), "{shown:?}");
    assert!(!shown.contains("reading users "), "{shown:?}");
}
