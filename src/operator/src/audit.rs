//! AUDIT: one record before and one after each change that is sent to Fireworks, under the tracing target `audit`. The
//! pair answers who asked for which change of which user, what it replaced and what came of it. A record holds no e-mail
//! address, no key and no display name.

use fireworks_api::text;
use fireworks_api::wire::{User, UserId, UserPatch};
use fireworks_core::claims::ObjectKey;

/// One change of one user.
#[derive(Clone, Copy, Debug)]
pub struct Mutation<'a> {
    /// The object that asks for it; none where the operator repairs its own effect.
    pub object: Option<Object<'a>>,
    /// Why it is made.
    pub cause: &'static str,
    /// The user.
    pub user: &'a UserId,
    /// The user as last seen; none where nothing but its id is kept.
    pub before: Option<&'a User>,
    /// What is sent.
    pub patch: &'a UserPatch,
    /// 1 for the first try.
    pub attempt: u32,
}

/// An object at the generation that a change follows.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Namespace and name.
    pub key: &'a ObjectKey,
    /// The UID.
    pub uid: &'a str,
    /// The generation.
    pub generation: i64,
    /// The field manager that last set a field of the spec.
    pub spec_manager: Option<&'a str>,
}

/// A change under way. Dropped before its end is recorded, it records that its outcome is not known.
#[derive(Debug)]
#[must_use = "dropped, it records that the outcome is not known"]
pub struct Pending<'a> {
    mutation: Mutation<'a>,
    has_ended: bool,
}

impl<'a> Mutation<'a> {
    /// Records that the change is about to be sent.
    pub fn begin(self) -> Pending<'a> {
        let planned = Shown {
            role: Some(self.patch.role.as_str()),
            preset: match &self.patch.permission_preset {
                Some(preset) => Some(preset),
                None => self
                    .before
                    .and_then(|user| user.permission_preset.as_deref()),
            },
            renamed: self.patch.display_name.is_some(),
            update_time: self.before.and_then(|user| user.update_time),
        };
        self.record("sending change", planned, None);
        Pending {
            mutation: self,
            has_ended: false,
        }
    }

    fn record(&self, message: &'static str, after: Shown<'_>, outcome: Option<&'static str>) {
        let clean = |text: &str| text::clean(text, text::MESSAGE_MAX);
        let preset = |preset: Option<&str>| preset.filter(|text| !text.is_empty()).map(clean);
        let object = self.object;
        let before = self.before;
        tracing::info!(
            target: "audit",
            object = object.map(|object| object.key.to_string()),
            uid = object.map(|object| object.uid),
            generation = object.map(|object| object.generation),
            spec_manager = object.and_then(|object| object.spec_manager).map(clean),
            cause = self.cause,
            user = self.user.as_str(),
            role_before = before.map(|user| clean(user.role.as_str())),
            role_after = after.role.map(clean),
            preset_before = preset(before.and_then(|user| user.permission_preset.as_deref())),
            preset_after = preset(after.preset),
            display_name = if after.renamed { "changed" } else { "unchanged" },
            remote_update_time = after.update_time.map(|time| time.to_string()),
            attempt = self.attempt,
            outcome,
            "{message}"
        );
    }
}

impl Pending<'_> {
    /// Records what came of the change, and the user as answered.
    pub fn end(mut self, outcome: &'static str, answer: Option<&User>) {
        self.has_ended = true;
        self.record(outcome, answer);
    }

    fn record(&self, outcome: &'static str, answer: Option<&User>) {
        let before = self.mutation.before;
        let after = answer.or(before);
        let name = |user: &User| user.display_name.clone();
        let shown = Shown {
            role: after.map(|user| user.role.as_str()),
            preset: after.and_then(|user| user.permission_preset.as_deref()),
            renamed: before.is_some_and(|before| after.map(name) != Some(name(before))),
            update_time: after.and_then(|user| user.update_time),
        };
        self.mutation.record("change ended", shown, Some(outcome));
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record("unknown", None);
        }
    }
}

/// What a record shows of a user after a change.
#[derive(Clone, Copy)]
struct Shown<'a> {
    role: Option<&'a str>,
    preset: Option<&'a str>,
    renamed: bool,
    update_time: Option<jiff::Timestamp>,
}
