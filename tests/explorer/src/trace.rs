//! A counter-example for people: what happened, step by step, and what it changed.

use std::fmt::Write;

use crate::model::Model;
use crate::state::State;
use crate::world::{Label, World};

/// The steps along those states.
pub(crate) fn describe<M: Model>(model: &mut M, states: &[M::State], path: &[u32]) -> String {
    let mut text = String::new();
    let first = model.lines(&states[path[0] as usize]);
    let _ = writeln!(text, "   0. the operator starts\n{}", indented(&first));
    for (number, pair) in (1..).zip(path.windows(2)) {
        let [from, to] = [pair[0], pair[1]].map(|at| &states[at as usize]);
        let mut nexts = Vec::new();
        model.successors(from, &mut nexts);
        let taken = nexts
            .into_iter()
            .filter(|next| next.state == *to)
            .max_by_key(|next| next.broken.is_some());
        let unknown = Label {
            what: "something happens to",
            at: 0,
        };
        let label = taken.map_or(unknown, |next| next.label);
        let (before, after) = (model.lines(from), model.lines(to));
        let changed: Vec<String> = after
            .into_iter()
            .filter(|line| !before.contains(line))
            .collect();
        let _ = writeln!(
            text,
            "{number:4}. {} {}\n{}",
            label.what,
            label.at,
            indented(&changed)
        );
    }
    text
}

fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("        {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The states of two models in lines.
pub(crate) fn of_both(worlds: &mut [World<'_>; 2], states: &[State; 2]) -> Vec<String> {
    let mut all = Vec::new();
    for (at, (world, state)) in worlds.iter_mut().zip(states).enumerate() {
        let own = lines(world, state).into_iter();
        all.extend(own.map(|line| format!("of {at}: {line}")));
    }
    all
}

/// The state in lines.
pub(crate) fn lines(world: &mut World<'_>, state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for (user, remote) in world
        .scenario
        .users
        .iter()
        .enumerate()
        .map(|(at, _)| (at, state.remote[at]))
    {
        lines.push(format!("remote {user}: {remote:?}"));
        lines.push(format!("lagging replica {user}: {:?}", state.before[user]));
        lines.push(format!("lost {user}: {:?}", state.late_changes[user]));
        lines.push(format!(
            "matched {user}: {:?} ticks ago",
            state.matched[user]
        ));
        lines.push(format!(
            "unread {user}: {}, repairs {}",
            state.unread[user], state.repairs[user]
        ));
        let known = world
            .operator
            .known(state.account, u8::try_from(user).unwrap_or(0));
        lines.push(format!(
            "cached {user}: {:?}, unsettled {}",
            known.seen, known.unsettled
        ));
    }
    for at in world.objects() {
        let object = &state.objects[at];
        for (place, version) in [("API server", object.server), ("store", object.store)] {
            let reported = world.operator.reported(version.status);
            lines.push(format!(
                "object {at} in the {place}: generation {} {:?}{}; reports {} Ready={} of generation {}",
                version.generation,
                world.spec(version.spec),
                if version.deleting { " deleting" } else { "" },
                reported.reason.as_deref().unwrap_or("nothing"),
                reported.ready,
                reported.generation,
            ));
        }
        lines.push(format!(
            "object {at}: due {} timer {}",
            object.due, object.timer
        ));
        let memory = world.operator.shared().memories.get(object.memory);
        lines.push(format!("object {at} remembered: {memory:?}"));
        lines.push(format!("object {at} witnessed: {:?}", object.expected));
        lines.push(format!("object {at} PATCH: {:?}", state.flights[at]));
    }
    lines.push(format!("reading: {:?}", state.read));
    lines.push(format!(
        "key {} revoked {} held {} paused {} gets fail {} suspended {} barred {:?} may probe {}",
        state.key,
        state.revoked,
        state.counts,
        state.paused,
        state.gets_fail,
        state.suspended,
        state.barred,
        state.may_probe
    ));
    lines
}
