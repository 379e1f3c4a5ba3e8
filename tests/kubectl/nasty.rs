//! Users whose ids, names, roles and states make an import hard.

use fireworks_gateway_simulator::{Simulator, User};

/// Puts users into the account with what makes an import hard, beside ordinary ones.
pub fn fill(gateway: &Simulator) {
    gateway.seed(300);
    let names = [
        "no",
        "1e3",
        "~",
        "null",
        "2026-01-01",
        "#x",
        "a: b",
        "- a",
        "{a}",
        "0x1F",
        "'",
        "\"",
        "\\",
        "|",
        "%a",
        "@a",
        "Ünal Ö. d’Arc 李雷",
        "می\u{200c}خواهم",
        "\u{1f469}\u{200d}\u{1f4bb}",
        " edge",
        "edge\u{a0}",
        "tab\tx",
        "bell\u{7}",
        "rtl\u{202e}x",
        "zero\u{200b}width",
        "private\u{e000}",
        "a@people.example",
        "e\u{301}",
    ];
    for (number, name) in names.iter().enumerate() {
        gateway.put_user(User::new(format!("name-{number}"), "user").display_name(*name));
    }
    let longest = [
        "x".repeat(63),
        "ä".repeat(63),
        "x".repeat(64),
        "x".repeat(300),
    ];
    for (number, name) in longest.into_iter().enumerate() {
        gateway.put_user(User::new(format!("long-{number}"), "user").display_name(name));
    }
    put_ids_and_states(gateway);
}

fn put_ids_and_states(gateway: &Simulator) {
    let ids = [
        "Alice",
        "a.b_c~d+e-",
        "7",
        "no",
        "1e3",
        "~x",
        "-x",
        "x.",
        "e@people.example",
        "a b",
        "é",
        "kustomization",
        "BOB",
        "bob",
        "c--d",
        "true",
    ];
    for id in ids {
        gateway.put_user(User::new(id, "contributor"));
    }
    gateway.put_user(User::new("x".repeat(128), "user"));
    gateway.put_user(User::new("odd", "owner"));
    gateway.put_user(User::new("none", ""));
    gateway.put_user(User::new("ci", "inference-user").service_account());
    gateway.put_user(User::new("busy", "user").state("UPDATING"));
    gateway.put_user(User::new("leaving", "user").state("DELETING"));
    gateway.put_user(User::new("ill", "user").status("INTERNAL", "it hurts"));
    gateway.put_user(User::new("preset", "custom").preset("agent"));
    gateway.put_user(User::new("strange-preset", "custom").preset("a b"));
}
