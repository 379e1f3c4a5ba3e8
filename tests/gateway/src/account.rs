//! The account: its users, the rules a change must obey, the state machine and what lagging replicas still show. Pure:
//! time comes in as a value, nothing is sent or logged. Hands changes on to the journal.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

use crate::{
    answer::{Code, Refusal},
    clock::Now,
    faults::Rewrite,
    journal::Change,
    past::Past,
    settings::Switches,
    user::{READY, UPDATING, User},
    wire::Edit,
};

const ROLES: [&str; 5] = ["admin", "user", "contributor", "inference-user", "custom"];

/// How a change behaves beyond being applied; faults and switches ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// The user becomes UPDATING.
    pub(crate) updating: Option<Updating>,
    /// Or this state instead.
    pub(crate) state: Option<String>,
    /// Reads show the state before the change for this many milliseconds.
    pub(crate) lag_ms: Option<u64>,
    /// What is stored in place of what was asked for.
    pub(crate) instead: Instead,
    /// Nothing is stored at all.
    pub(crate) ignored: bool,
}

/// Values that a gateway with a mind of its own stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instead {
    pub(crate) display_name: Option<Rewrite>,
    pub(crate) role: Option<String>,
    pub(crate) permission_preset: Option<String>,
}

impl Instead {
    fn of(&self, mut user: User) -> User {
        if let Some(rewrite) = self.display_name {
            user.display_name = rewrite.of(&user.display_name);
        }
        if let Some(role) = &self.role {
            user.role.clone_from(role);
        }
        if let Some(preset) = &self.permission_preset
            && !user.permission_preset.is_empty()
        {
            user.permission_preset.clone_from(preset);
        }
        user
    }
}

/// How long a user stays UPDATING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updating {
    /// Milliseconds.
    For(u64),
    /// Until its state is edited.
    UntilEdited,
}

#[derive(Clone, Debug)]
struct Record {
    user: User,
    /// Monotonic millisecond at which UPDATING ends by itself.
    ready_at: Option<u64>,
    /// What reads still show, and until when; the oldest first.
    lagging: Vec<(u64, User)>,
}

impl Record {
    fn settle(&mut self, now: Now) {
        if self.ready_at.is_some_and(|at| at <= now.elapsed_ms) {
            self.ready_at = None;
            self.user.state = READY.into();
        }
        self.lagging.retain(|(until, _)| *until > now.elapsed_ms);
    }

    fn shown(&self) -> &User {
        self.lagging
            .first()
            .map_or(&self.user, |(_, before)| before)
    }

    fn begin(&mut self, effects: Effects, before: User, now: Now) {
        if let Some(updating) = effects.updating {
            self.user.state = effects.state.unwrap_or_else(|| UPDATING.into());
            self.ready_at = match updating {
                Updating::For(ms) => Some(now.elapsed_ms.saturating_add(ms)),
                Updating::UntilEdited => None,
            };
        }
        if let Some(ms) = effects.lag_ms {
            self.lagging
                .push((now.elapsed_ms.saturating_add(ms), before));
        }
    }
}

/// The users of one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    users: BTreeMap<String, Record>,
    /// The latest time handed out: update times never repeat and never go back.
    last_time: Timestamp,
    /// What each user truly was, and when.
    pub(crate) past: Past,
}

impl Account {
    /// The user as it truly is, whatever lagging reads show.
    pub(crate) fn truth(&mut self, id: &str, now: Now) -> Option<User> {
        let record = self.users.get_mut(id)?;
        record.settle(now);
        Some(record.user.clone())
    }

    /// The user as a read shows it.
    pub(crate) fn read(&mut self, id: &str, now: Now) -> Option<&User> {
        let record = self.users.get_mut(id)?;
        record.settle(now);
        Some(record.shown())
    }

    /// All users as a read shows them, ordered by id.
    pub(crate) fn read_all(&mut self, now: Now) -> Vec<&User> {
        for record in self.users.values_mut() {
            record.settle(now);
        }
        self.users.values().map(Record::shown).collect()
    }

    /// All users as they truly are, ordered by id.
    pub(crate) fn all(&mut self, now: Now) -> Vec<User> {
        for record in self.users.values_mut() {
            record.settle(now);
        }
        self.users
            .values()
            .map(|record| record.user.clone())
            .collect()
    }

    /// Puts a user as given, past every rule. Its creation time is kept, or set if it has none.
    pub(crate) fn put(&mut self, mut user: User, now: Now) {
        let time = self.next_time(now);
        user.create_time = user.create_time.or(Some(time));
        user.update_time = Some(time);
        let record = Record {
            user: user.clone(),
            ready_at: None,
            lagging: Vec::new(),
        };
        self.past.note(&user.id, Some(&user), true, now);
        self.users.insert(user.id, record);
    }

    /// Changes a user past every rule, visible at once. False: there is no such user.
    pub(crate) fn edit(&mut self, id: &str, now: Now, change: impl FnOnce(&mut User)) -> bool {
        let Some(mut user) = self.truth(id, now) else {
            return false;
        };
        let ready_at = self.users.get(id).and_then(|record| record.ready_at);
        change(&mut user);
        // The key is the id: an edit cannot rename.
        id.clone_into(&mut user.id);
        let still_updating = user.state == UPDATING;
        self.put(user, now);
        if let Some(record) = self.users.get_mut(id).filter(|_| still_updating) {
            record.ready_at = ready_at;
        }
        true
    }

    /// Removes a user, as `firectl user delete` would.
    pub(crate) fn remove(&mut self, id: &str, now: Now) -> Option<User> {
        let removed = self.users.remove(id)?;
        self.past.note(id, None, true, now);
        Some(removed.user)
    }

    /// Updates a user by the mask its edit implies; the answer is the whole user and what changed.
    ///
    /// # Errors
    /// `NOT_FOUND`, or what the rules refuse.
    pub(crate) fn patch(
        &mut self,
        id: &str,
        edit: &Edit,
        effects: Effects,
        switches: &Switches,
        now: Now,
    ) -> Result<(User, Vec<Change>), Refusal> {
        if edit.role.as_deref().is_none_or(str::is_empty) {
            return Err(Refusal::invalid("role is required"));
        }
        let before = self
            .truth(id, now)
            .ok_or_else(|| Refusal::not_found(format!("user {id:?} not found")))?;
        let mut after = applied(edit, before.clone(), switches.full_replace_patch);
        check(&after, switches)?;
        self.check_admins(&before, &after, switches)?;
        if effects.ignored {
            return Ok((before, Vec::new()));
        }
        after = effects.instead.of(after);
        let changes = differences(&before, &after);
        if !changes.is_empty() || switches.touch_on_noop_patch {
            after.update_time = Some(self.next_time(now));
        }
        let mut effects = effects;
        if let (None, Some(ms), false) = (
            effects.updating,
            switches.patch_updating_ms,
            changes.is_empty(),
        ) {
            effects.updating = Some(Updating::For(ms));
        }
        let Some(record) = self.users.get_mut(id) else {
            return Err(Refusal::new(Code::Internal, "the user vanished"));
        };
        self.past.note(id, Some(&after), false, now);
        record.user = after;
        record.begin(effects, before, now);
        Ok((record.user.clone(), changes))
    }

    /// Creates a user; without an id it is derived from the e-mail's local part.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`, or what the rules refuse.
    pub(crate) fn create(
        &mut self,
        id: Option<&str>,
        edit: &Edit,
        effects: Effects,
        switches: &Switches,
        now: Now,
    ) -> Result<(User, Vec<Change>), Refusal> {
        if edit.role.as_deref().is_none_or(str::is_empty) {
            return Err(Refusal::invalid("role is required"));
        }
        let blank = User::new(new_id(id, edit)?, "");
        let user = applied(edit, blank.clone(), false);
        check(&user, switches)?;
        if self.users.contains_key(&user.id) {
            let message = format!("user {:?} already exists", user.id);
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        let changes = differences(&blank, &user);
        let id = user.id.clone();
        self.put(user, now);
        let Some(record) = self.users.get_mut(&id) else {
            return Err(Refusal::new(Code::Internal, "the user vanished"));
        };
        let updating = Effects {
            lag_ms: None,
            ..effects
        };
        record.begin(updating, blank, now);
        Ok((record.user.clone(), changes))
    }

    fn check_admins(
        &self,
        before: &User,
        after: &User,
        switches: &Switches,
    ) -> Result<(), Refusal> {
        let demoted = before.role == "admin" && after.role != "admin";
        if !switches.refuse_last_admin_demotion || !demoted {
            return Ok(());
        }
        let others = self
            .users
            .values()
            .any(|record| record.user.role == "admin" && record.user.id != before.id);
        if others {
            return Ok(());
        }
        Err(Refusal::new(
            Code::FailedPrecondition,
            "an account must keep at least one admin",
        ))
    }

    fn next_time(&mut self, now: Now) -> Timestamp {
        let wall = now.wall.round(Unit::Microsecond).unwrap_or(now.wall);
        let after_last = self
            .last_time
            .checked_add(SignedDuration::from_micros(1))
            .unwrap_or(self.last_time);
        self.last_time = wall.max(after_last);
        self.last_time
    }
}

fn applied(edit: &Edit, mut user: User, replace_all: bool) -> User {
    let text = |asked: &Option<String>, kept: String| match asked {
        Some(value) => value.clone(),
        None if replace_all => String::new(),
        None => kept,
    };
    user.role = text(&edit.role, user.role);
    user.display_name = text(&edit.display_name, user.display_name);
    user.email = text(&edit.email, user.email);
    user.permission_preset = text(&edit.permission_preset, user.permission_preset);
    user.service_account = edit
        .service_account
        .unwrap_or(user.service_account && !replace_all);
    user
}

fn check(user: &User, switches: &Switches) -> Result<(), Refusal> {
    if !ROLES.contains(&user.role.as_str()) {
        return Err(Refusal::invalid(format!("invalid role {:?}", user.role)));
    }
    if switches.disabled_roles.contains(&user.role) {
        return Err(Refusal::invalid(format!(
            "role {:?} is not enabled for this account",
            user.role
        )));
    }
    if user.role == "custom" && user.permission_preset.is_empty() {
        return Err(Refusal::invalid(
            "permission_preset is required when role is \"custom\"",
        ));
    }
    if user.role != "custom" && !user.permission_preset.is_empty() {
        return Err(Refusal::invalid(
            "permission_preset is only valid when role is \"custom\"",
        ));
    }
    if user.display_name.chars().count() >= 64 {
        return Err(Refusal::invalid(
            "display_name must be fewer than 64 characters long",
        ));
    }
    Ok(())
}

fn new_id(id: Option<&str>, edit: &Edit) -> Result<String, Refusal> {
    let id = match id.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => edit
            .email
            .as_deref()
            .and_then(|email| email.split_once('@'))
            .map(|(local, _)| local.to_ascii_lowercase().replace(['.', '_', '+'], "-"))
            .unwrap_or_default(),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_~+".contains(c);
    if id.is_empty() || id.len() > 128 || !id.chars().all(legal) {
        return Err(Refusal::invalid(format!("invalid user id {id:?}")));
    }
    Ok(id)
}

fn differences(before: &User, after: &User) -> Vec<Change> {
    let pairs: [(&str, Value, Value); 5] = [
        ("role", json!(before.role), json!(after.role)),
        (
            "permissionPreset",
            json!(before.permission_preset),
            json!(after.permission_preset),
        ),
        (
            "displayName",
            json!(before.display_name),
            json!(after.display_name),
        ),
        ("email", json!(before.email), json!(after.email)),
        (
            "serviceAccount",
            json!(before.service_account),
            json!(after.service_account),
        ),
    ];
    pairs
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| Change {
            field: field.into(),
            from,
            to,
        })
        .collect()
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
