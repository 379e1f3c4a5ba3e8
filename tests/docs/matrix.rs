//! The table of `docs/testing.md` that shows which levels of tests cover each `Ready` reason, guard and flag, generated from
//! the names of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use fireworks_core::user::guards::Guard;
use fireworks_crd::conditions::Reason;

use super::operations::{flags, help};
use super::{between_marks, files, root, rows, text};

const PAGE: &str = "docs/testing.md";
const MARK: &str = "matrix";
/// Set, it makes the test write the table instead of comparing it.
const WRITE: &str = "WRITE_MATRIX";

const UNIT: [&str; 5] = [
    "src/",
    "tests/golden/",
    "tests/program/",
    "tests/gitops.rs",
    "tests/allocations.rs",
];
const END_TO_END: [&str; 3] = ["tests/operator/", "tests/chart/", "tests/cluster/"];
/// Tests of what the end-to-end tests are made of.
const OF_TESTS: [&str; 2] = ["tests/operator/oracles/", "tests/operator/under_test/"];

/// What a test can cover.
struct Row {
    shown: String,
    /// As test names have it.
    name: String,
}

/// A test function: the file it is in, and its path.
#[derive(Debug, Eq, PartialEq)]
struct Test {
    file: String,
    path: String,
}

/// Returns a name of any case in `snake_case`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.trim_start_matches('-').chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        match c {
            '-' => snake.push('_'),
            c => snake.extend(c.to_lowercase()),
        }
    }
    snake
}

fn all_rows() -> Vec<Row> {
    let reasons = Reason::ALL.map(|reason| format!("{reason:?}"));
    let guards = Guard::ALL.map(|guard| guard.as_str().to_owned());
    let help = help();
    let flags: BTreeSet<&str> = flags(&help);
    let flags = flags.into_iter().map(str::to_owned);
    let row = |kind: &'static str| {
        move |name: String| Row {
            name: snake_case(&name),
            shown: format!("{kind} `{name}`"),
        }
    };
    let reasons = reasons.into_iter().map(row("reason"));
    let guards = guards.into_iter().map(row("guard"));
    reasons
        .chain(guards)
        .chain(flags.map(row("flag")))
        .collect()
}

/// Returns the tests of a source file; `file` is its path in the repository.
fn tests_in(file: &str, code: &str) -> Vec<Test> {
    let inner = file.trim_end_matches(".rs");
    let inner = inner.split_once("/src/").map_or(inner, |(_, inner)| inner);
    let inner = inner.trim_start_matches("tests/");
    let modules = inner.replace('/', "::");
    let attributes = ["#[test]", "#[tokio::test"];
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in code.lines().map(str::trim_start) {
        is_test |= attributes.iter().any(|start| line.starts_with(start));
        let rest = line.strip_prefix("async ").unwrap_or(line);
        let Some(rest) = rest.strip_prefix("fn ").filter(|_| is_test) else {
            continue;
        };
        let function = rest.split(['(', '<']).next().unwrap_or_default();
        tests.push(Test {
            file: file.to_owned(),
            path: format!("{modules}::{function}"),
        });
        is_test = false;
    }
    tests
}

fn all_tests() -> Vec<Test> {
    let folders = ["src", "tests"].map(|folder| files(&root().join(folder), "rs"));
    let read = |file: &std::path::PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        tests_in(path, &fs::read_to_string(file).unwrap())
    };
    folders.iter().flatten().flat_map(read).collect()
}

/// Returns which of the names are in a path as whole words, each word for the longest name: `account_suspended` is not about
/// `suspended`.
fn named<'a>(path: &str, names: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for part in path.split("::") {
        let words: Vec<&str> = part.split('_').collect();
        let mut at = 0;
        while at < words.len() {
            let name = (at + 1..=words.len())
                .rev()
                .find_map(|end| names.get(words[at..end].join("_").as_str()));
            found.extend(name);
            at += name.map_or(1, |name| name.split('_').count());
        }
    }
    found
}

/// Returns how many tests of each level have each name.
fn counts<'a>(names: &BTreeSet<&'a str>, tests: &[Test]) -> BTreeMap<&'a str, (usize, usize)> {
    let is_in = |file: &str, folders: &[&str]| folders.iter().any(|one| file.starts_with(one));
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for Test { file, path } in tests {
        let is_unit = is_in(file, &UNIT);
        let is_end_to_end = is_in(file, &END_TO_END) && !is_in(file, &OF_TESTS);
        for name in named(path, names) {
            let (unit, end_to_end) = counts.entry(name).or_default();
            *unit += usize::from(is_unit);
            *end_to_end += usize::from(is_end_to_end);
        }
    }
    counts
}

/// Returns how many scenarios of the state search report each reason and guard, as the explorer's own test finds them.
fn reached() -> BTreeMap<String, usize> {
    let code = text("tests/explorer/src/reached.rs");
    let (_, table) = code.split_once("const REACHED").unwrap();
    let (table, _) = table.split_once("];\n").unwrap();
    let mut counts = BTreeMap::new();
    // Of each row the second text: the names.
    for names in quotes(table).skip(1).step_by(2) {
        for name in names.split(' ').map(snake_case) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

/// Returns what is between double quotes.
fn quotes(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

fn table() -> String {
    let all = all_rows();
    let tests = all_tests();
    assert!(tests.len() > 500, "only {} tests were found", tests.len());
    let names: BTreeSet<&str> = all.iter().map(|row| row.name.as_str()).collect();
    let (counts, reached) = (counts(&names, &tests), reached());
    let mut table = "| covered | unit | explorer | end to end |\n|---|---|---|---|\n".to_owned();
    let cell = |count: usize| match count {
        0 => "–".to_owned(),
        count => count.to_string(),
    };
    for Row { shown, name } in &all {
        let (unit, end_to_end) = counts.get(name.as_str()).copied().unwrap_or_default();
        let searched = reached.get(name).copied().unwrap_or_default();
        let cells = [unit, searched, end_to_end].map(cell).join(" | ");
        writeln!(table, "| {shown} | {cells} |").unwrap();
    }
    table
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a variable asks the test to write the table"
)]
fn matrix_shows_the_tests_of_every_reason_guard_and_flag() {
    let (page, generated) = (text(PAGE), table());
    let committed = between_marks(&page, MARK);
    if std::env::var_os(WRITE).is_some() {
        let marked = |table: &str| format!("<!-- {MARK} -->\n{table}<!-- end of {MARK} -->");
        let page = page.replacen(&marked(committed), &marked(&generated), 1);
        fs::write(root().join(PAGE), page).unwrap();
    } else {
        assert_eq!(
            committed, generated,
            "the table of {PAGE} is not that of the tests: {WRITE}=1 cargo test --test docs writes it"
        );
    }
    let is_empty = |row: &&Vec<&str>| row[1..].iter().all(|cell| *cell == "–");
    let table = rows(&generated);
    let uncovered: Vec<_> = table.iter().filter(is_empty).collect();
    assert!(uncovered.is_empty(), "no test names these: {uncovered:#?}");
}

#[test]
fn matrix_finds_tests_and_the_longest_names_in_their_paths() {
    let code = "#[test]\nfn one() {}\nfn two() {}\n    #[tokio::test(start_paused = true)]\n    #[ignore]\n    async fn three() {}\n";
    let paths: Vec<String> = tests_in("src/core/src/user/guards.rs", code)
        .into_iter()
        .map(|test| test.path)
        .collect();
    assert_eq!(paths, ["user::guards::one", "user::guards::three"]);
    let names = BTreeSet::from(["suspended", "account_suspended", "canary", "in_sync"]);
    let of = |path| named(path, &names);
    assert_eq!(
        of("account_suspended::pauses"),
        BTreeSet::from(["account_suspended"])
    );
    assert_eq!(
        of("x::a_suspended_one_in_sync"),
        BTreeSet::from(["suspended", "in_sync"])
    );
    assert_eq!(of("tests::canary::in::sync"), BTreeSet::from(["canary"]));
    assert_eq!(of("unsuspended"), BTreeSet::new());
    let snake = ["ProtectedStalled", "last-admin", "--ca-file"].map(snake_case);
    assert_eq!(snake, ["protected_stalled", "last_admin", "ca_file"]);
}
