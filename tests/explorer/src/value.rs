//! The values of the model: remote users, specs and bodies in a few bytes, the types of production
//! they stand for, and what a spec means for a remote user, written from the promise and not
//! from the code under test.

use fireworks_api::email::EmailHash;
use fireworks_api::wire::{AccountId, Role, State, Status, User, UserId, UserPatch};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Users and objects of the largest scenario.
pub(crate) const MANY: usize = 2;
/// Specs of the largest scenario.
pub(crate) const SPECS: usize = 3;

/// A role.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Part {
    #[default]
    User,
    Admin,
    Custom,
}

/// Where the gateway is with a user.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Absent,
    Ready,
    Updating,
    Deleting,
}

/// A remote user. Texts are numbers: 0 is unset.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Remote {
    pub(crate) phase: Phase,
    pub(crate) role: Part,
    pub(crate) preset: u8,
    pub(crate) name: u8,
    pub(crate) broken: bool,
    /// It is a service account.
    pub(crate) service: bool,
    /// Which user of this id it is: when it was created. 0: the gateway does not return it.
    pub(crate) born: u8,
    /// Its e-mail: 0 is not shown.
    pub(crate) email: u8,
    /// Moves with every change.
    pub(crate) version: u8,
}

/// What a spec asks for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Spec {
    pub(crate) role: Part,
    pub(crate) preset: u8,
    /// 0: not managed.
    pub(crate) name: u8,
    pub(crate) observe: bool,
    pub(crate) suspend: bool,
    /// The expected e-mail: 0 is none.
    pub(crate) email: u8,
    /// The user of this id that the annotation accepts: 0 is none.
    pub(crate) accepts: u8,
}

/// The body of a PATCH. Texts: 0 is absent, 1 is "clear", 2 and more set the value above 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Body {
    pub(crate) role: Part,
    pub(crate) preset: u8,
    pub(crate) name: u8,
}

/// Before the first user was created, in seconds.
const CREATED: i64 = 500;

const TEXTS: [&str; 4] = ["", "one", "two", "three"];

/// The name of a text.
pub(crate) fn text(number: u8) -> Option<Box<str>> {
    (number > 0).then(|| TEXTS[usize::from(number)].into())
}

/// The e-mail of that number.
fn email(number: u8) -> Option<&'static str> {
    let emails = [None, Some("one@example.com"), Some("two@example.com")];
    emails[usize::from(number)]
}

/// The creation time of that number.
pub(crate) fn created(born: u8) -> Option<Timestamp> {
    let second = CREATED + i64::from(born);
    Timestamp::from_second(second).ok().filter(|_| born > 0)
}

/// The number of a creation time.
pub(crate) fn born(created: Option<Timestamp>) -> u8 {
    let number = created.map_or(0, |time| time.as_second() - CREATED);
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn number(text: &str) -> u8 {
    let found = TEXTS.iter().position(|one| *one == text);
    found.map_or(u8::MAX, |at| u8::try_from(at).unwrap_or(u8::MAX))
}

/// The id of an account.
pub(crate) fn account_id(place: usize) -> AccountId {
    let id = ["acme", "umbrella"][place].parse();
    id.unwrap_or_else(|_| unreachable!("a plain name"))
}

/// The id of a user.
pub(crate) fn user_id(user: usize) -> UserId {
    let name = ["alice", "bob"][user];
    UserId::from_remote(name).unwrap_or_else(|_| unreachable!("a plain name"))
}

/// The number of a user.
pub(crate) fn user_number(id: &UserId) -> usize {
    usize::from(id.as_str() == "bob")
}

impl Part {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::User => Role::User,
            Self::Admin => Role::Admin,
            Self::Custom => Role::Custom,
        }
    }

    fn of(role: &Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Custom => Self::Custom,
            _ => Self::User,
        }
    }
}

impl Remote {
    /// A user in peace.
    pub(crate) const fn ready(role: Part, preset: u8, name: u8) -> Self {
        Self {
            phase: Phase::Ready,
            role,
            preset,
            name,
            broken: false,
            service: false,
            born: 0,
            email: 0,
            version: 0,
        }
    }

    /// The same user, created then, with that e-mail.
    pub(crate) const fn person(self, born: u8, email: u8) -> Self {
        Self {
            born,
            email,
            ..self
        }
    }

    /// As the gateway answers it.
    pub(crate) fn answer(self, user: usize, timed: bool) -> User {
        let second = i64::from(self.version) + 1_000;
        let update_time = jiff::Timestamp::from_second(second).ok().filter(|_| timed);
        let status = self.broken.then(|| Status {
            code: "INTERNAL".into(),
            message: "broken".into(),
        });
        User {
            id: user_id(user),
            role: self.role.role(),
            permission_preset: text(self.preset),
            display_name: text(self.name),
            email: email(self.email).map(EmailHash::of),
            service_account: self.service,
            state: match self.phase {
                Phase::Absent | Phase::Ready => State::Ready,
                Phase::Updating => State::Updating,
                Phase::Deleting => State::Deleting,
            },
            status,
            create_time: created(self.born),
            update_time,
        }
    }

    /// What a production user stands for, but for its version.
    pub(crate) fn of(user: &User) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, number);
        Self {
            phase: match user.state {
                State::Updating => Phase::Updating,
                State::Deleting => Phase::Deleting,
                _ => Phase::Ready,
            },
            role: Part::of(&user.role),
            preset: text(&user.permission_preset),
            name: text(&user.display_name),
            broken: user.status.is_some(),
            service: user.service_account,
            born: born(user.create_time),
            email: (0..=2)
                .find(|number| email(*number).map(EmailHash::of) == user.email)
                .unwrap_or(u8::MAX),
            version: 0,
        }
    }

    /// It counts as an admin: a person who can sign in.
    pub(crate) fn is_counted_admin(self) -> bool {
        self.role == Part::Admin
            && matches!(self.phase, Phase::Ready | Phase::Updating)
            && !self.service
            && !self.broken
    }

    /// The managed fields match the spec.
    pub(crate) fn matches(self, spec: Spec) -> bool {
        self.phase != Phase::Absent
            && self.role == spec.role
            && (spec.role != Part::Custom || self.preset == spec.preset)
            && (spec.name == 0 || self.name == spec.name)
    }

    pub(crate) fn has_power(self) -> bool {
        matches!(self.role, Part::Admin | Part::Custom)
    }

    /// The only body that may be sent to a user that is seen like this.
    pub(crate) fn body_for(self, spec: Spec) -> Body {
        let set = |value: u8| value + 1;
        let preset = match (spec.role, self.role) {
            (Part::Custom, _) if self.preset == spec.preset => 0,
            (Part::Custom, _) => set(spec.preset),
            (_, Part::Custom) => set(0),
            _ => 0,
        };
        let name = if spec.name == 0 || self.name == spec.name {
            0
        } else {
            set(spec.name)
        };
        Body {
            role: spec.role,
            preset,
            name,
        }
    }

    /// After that body was applied, by a gateway that keeps what the body does not name.
    pub(crate) fn after(self, body: Body, slow: bool, stubborn: bool) -> Self {
        let mut next = self;
        next.role = body.role;
        if body.preset > 0 {
            next.preset = body.preset - 1;
        }
        if body.name > 0 && !stubborn {
            next.name = body.name - 1;
        }
        if next != self {
            next.version += 1;
            if slow {
                next.phase = Phase::Updating;
            }
        }
        next
    }
}

impl Spec {
    pub(crate) const fn of(role: Part, preset: u8, name: u8) -> Self {
        Self {
            role,
            preset,
            name,
            observe: false,
            suspend: false,
            email: 0,
            accepts: 0,
        }
    }

    pub(crate) fn has_power(self) -> bool {
        matches!(self.role, Part::Admin | Part::Custom)
    }

    /// As an object has it.
    pub(crate) fn json(self, user: usize) -> Value {
        let preset = text(self.preset).filter(|_| self.role == Part::Custom);
        let policy = if self.observe { "Observe" } else { "Manage" };
        json!({
            "userId": user_id(user).as_str(),
            "role": self.role.role().as_str(),
            "permissionPreset": preset,
            "displayName": text(self.name),
            "managementPolicy": policy,
            "suspend": self.suspend,
            "expectEmail": email(self.email),
        })
    }
}

impl Body {
    pub(crate) fn of(patch: &UserPatch) -> Self {
        let set = |text: &Option<Box<str>>| {
            text.as_deref()
                .map_or(0, |text| number(text).saturating_add(1))
        };
        Self {
            role: Part::of(&patch.role),
            preset: set(&patch.permission_preset),
            name: set(&patch.display_name),
        }
    }
}
