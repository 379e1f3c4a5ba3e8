//! The walls between the rooms of `src/`: what a room must not know, read from its source. Cheap, and
//! it fails with the file and the word that broke the wall.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file of a room, without its tests.
fn files(room: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![source.join(format!("{room}.rs"))];
    let mut folders = vec![source.join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.retain(|path| path.exists() && path.file_name().is_some_and(|name| name != "tests.rs"));
    assert!(!found.is_empty(), "there is no room {room}");
    found
}

/// The code of a file, without its test modules.
fn code(path: &Path) -> String {
    production(&fs::read_to_string(path).unwrap())
}

/// Returns `text` without comment lines and without test modules, wherever they stand. Relies on rustfmt: a module ends with
/// the first closing brace at its own indentation. A test module that seems to end early is read, and fails loudly.
fn production(text: &str) -> String {
    let mut kept = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" && is_module(lines.clone()) {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let mut module = lines.by_ref().skip_while(|line| !is_module_line(line));
            if module.next().is_some_and(|line| line.ends_with('{')) {
                module.find(|line| *line == end);
            }
        } else if !line.trim_start().starts_with("//") {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// Whether the next item is a module; attributes and comments stand before an item.
fn is_module(lines: std::str::Lines<'_>) -> bool {
    let mut items = lines.map(str::trim);
    let item = items.find(|line| !(line.starts_with("#[") || line.starts_with("//")));
    item.is_some_and(is_module_line)
}

fn is_module_line(line: &str) -> bool {
    let words = line.split_whitespace();
    words.take(2).any(|word| word == "mod")
}

/// Whether `word` stands in `code` as a word of its own.
fn holds(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(part_of_word);
        let after = code[at + word.len()..]
            .chars()
            .next()
            .is_some_and(part_of_word);
        !(before || after)
    })
}

fn room_is_free_of(room: &str, words: &[&str]) {
    for path in files(room) {
        let code = code(&path);
        for word in words {
            assert!(
                !holds(&code, word),
                "{} must not hold `{word}`",
                path.display()
            );
        }
    }
}

#[test]
fn the_resource_is_data_without_client_or_async() {
    room_is_free_of("crd", &["Client", "async", "await", "crate"]);
}

#[test]
fn the_fireworks_room_does_not_know_that_kubernetes_exists() {
    room_is_free_of(
        "fireworks",
        &["kube", "k8s_openapi", "crd", "FireworksUser"],
    );
}

#[test]
fn plan_is_pure() {
    let impure = [
        "async", "await", "Client", "Account", "now", "clock", "tracing", "metrics", "env", "Mutex",
    ];
    room_is_free_of("reconcile/plan", &impure);
    room_is_free_of("reconcile/desired", &impure);
    room_is_free_of("reconcile/report/notes", &impure);
}

#[test]
fn status_is_computed_without_clients_or_clocks() {
    let impure = ["async", "await", "Client", "clock", "tracing", "metrics"];
    room_is_free_of("reconcile/report/status", &impure);
    room_is_free_of(
        "conditions",
        &["async", "await", "Client", "clock", "tracing"],
    );
    room_is_free_of("claims", &["async", "await", "Client", "clock", "kube"]);
}

#[test]
fn act_knows_no_kubernetes_and_report_no_fireworks_client() {
    room_is_free_of("reconcile/act", &["kube", "crd", "k8s_openapi"]);
    room_is_free_of("reconcile/report", &["reqwest", "Budget", "Permit", "act"]);
}

#[test]
fn plumbing_knows_no_kind() {
    room_is_free_of(
        "runtime",
        &[
            "crd",
            "fireworks",
            "crate::reconcile",
            "kube",
            "FireworksUser",
        ],
    );
}

/// The places that do something outside the process, and those that read the clock and the environment.
const EXCUSED: [&str; 7] = [
    "cli.rs",
    // Lists and watches change nothing; the layer below the client counts them.
    "controller/watch/requests.rs",
    "events.rs",
    "fireworks.rs",
    "reconcile/observe.rs",
    "reconcile/report.rs",
    "runtime/clock.rs",
];

#[test]
fn nothing_is_done_outside_but_behind_a_crash_point() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in everything(&source) {
        let code = code(&path);
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
        for way_out in ["TcpStream::connect", "UdpSocket", "Command::new"] {
            assert!(!holds(&code, way_out), "{name} must not hold `{way_out}`");
        }
        if !holds(&code, "disallowed_methods") {
            continue;
        }
        assert!(EXCUSED.contains(&name), "{name} does something by itself");
        let passed = code.matches("effects::around(").count();
        let expected = match name {
            "cli.rs" | "controller/watch/requests.rs" | "runtime/clock.rs" => 0,
            "fireworks.rs" => code.matches("self.exchange(").count(),
            _ => code.matches("disallowed_methods").count(),
        };
        assert_eq!(passed, expected, "{name} does something without a name");
    }
    // The lint refuses the rest; that it knows these four ways is what `#[expect]` proves in the code.
    let refused = fs::read_to_string(source.with_file_name("clippy.toml")).unwrap();
    for way_out in [
        "kube::Api::get_opt",
        "kube::Api::patch_status",
        "kube::Api::replace_status",
        "kube::Api::patch",
        "kube::Api::create",
        "kube::Api::delete",
        "kube::Client::request",
        "kube::runtime::events::Recorder::publish",
        "reqwest::RequestBuilder::send",
        "reqwest::Client::execute",
    ] {
        assert!(
            refused.contains(&format!("\"{way_out}\"")),
            "{way_out} is not refused"
        );
    }
}

/// Every Rust file below a folder, without tests.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let rooms = fs::read_dir(folder).unwrap().flatten();
    let mut found = vec![];
    for path in rooms.map(|entry| entry.path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            found.extend(everything(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests" {
            found.push(path);
        }
    }
    found
}

#[test]
fn violations_are_found_in_every_part_of_every_file() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in everything(&source) {
        let text = fs::read_to_string(&path).unwrap();
        // clippy keeps the test module last.
        let tests = text.rfind("\nmod tests {").unwrap_or(text.len());
        for (end, _) in text.match_indices("\n}\n") {
            let at = end + "\n}\n".len();
            let planted = format!("{}\nuse planted::Violation;\n{}", &text[..at], &text[at..]);
            let found = holds(&production(&planted), "planted");
            let expected = at <= tests || at == text.len();
            assert_eq!(found, expected, "{}, byte {at}", path.display());
        }
    }
}

#[test]
fn only_test_modules_are_left_out() {
    let text = "\
use one::A;
#[cfg(test)]
pub(crate) mod sample;
use two::B;
#[cfg(test)]
const THREE: three::C = three::C;
mod four {
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    mod tests {
        use hidden::D;
    }
    use five::E;
}
// A comment about six::F.
#[cfg(test)]
mod tests {
    use hidden::G;
}
use seven::H;
";
    let code = production(text);
    for word in ["one", "two", "three", "four", "five", "seven"] {
        assert!(holds(&code, word), "{word} is not read: {code}");
    }
    for word in ["sample", "six", "hidden"] {
        assert!(!holds(&code, word), "{word} is read: {code}");
    }
}

#[test]
fn words_are_found_only_as_whole_words() {
    assert!(holds("use kube::Api;", "kube"));
    assert!(!holds("let kubelet = 1;", "kube"));
    assert!(code(&files("events")[0]).contains("kube::api"));
}
