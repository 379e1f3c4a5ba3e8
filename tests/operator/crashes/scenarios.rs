//! The scenarios of the crash sweep: the users and objects before, and what must be true at the end.

use fireworks_gateway_simulator::User;
use serde_json::{Value, json};

use crate::stage::{Stage, manifest, ready};

/// What happens to one user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scenario {
    /// The object is new.
    Declared,
    /// A user is made an admin.
    MadeAdmin,
    /// An admin becomes a custom user with a preset.
    MadeCustom,
    /// Another actor changes the role.
    Drifted,
    /// There is no such user.
    Missed,
    /// There was no such user, and now there is.
    Appeared,
    /// The display name changes, and the e-mail address is not managed.
    Renamed,
    /// The object is deleted and made again with another role. A tenant's object in another namespace waits for the user.
    MadeAgain,
    /// Of two objects for one user the owner is deleted.
    Inherited,
}

impl Scenario {
    /// Returns the reason of the object's `Ready` condition at the end.
    pub fn end(self) -> &'static str {
        match self {
            Self::Missed => "UserNotFound",
            _ => "InSync",
        }
    }

    /// Returns role, preset and display name at the end.
    pub fn user(self) -> Option<(&'static str, &'static str, &'static str)> {
        Some(match self {
            Self::Missed => return None,
            Self::MadeAdmin => ("admin", "", "Somebody"),
            Self::MadeCustom => ("custom", "agent", "Somebody"),
            Self::Renamed => ("user", "", "Another name"),
            Self::MadeAgain | Self::Inherited => ("inference-user", "", "Somebody"),
            Self::Declared | Self::Drifted | Self::Appeared => ("contributor", "", "Somebody"),
        })
    }

    /// Creates the user.
    pub fn put(self, stage: &Stage, id: &str) {
        let role = match self {
            Self::Missed | Self::Appeared => return,
            Self::MadeCustom => "admin",
            _ => "user",
        };
        stage.gateway.put_user(person(id, role));
    }

    /// Returns the objects before the first step.
    pub fn manifests(self, id: &str) -> Vec<String> {
        let one = |spec| vec![manifest(id, spec)];
        match self {
            Self::Declared | Self::Missed => vec![],
            Self::MadeAdmin => one("{role: user}"),
            Self::MadeCustom => one("{role: admin}"),
            Self::Drifted | Self::Appeared | Self::MadeAgain => one("{role: contributor}"),
            Self::Renamed => one("{role: user, displayName: Another}"),
            // The operator decides which of the two owns the user.
            Self::Inherited => ["a", "b"]
                .map(|end| {
                    let spec = format!("{{role: contributor, userId: {id}}}");
                    manifest(&format!("{id}-{end}"), &spec)
                })
                .to_vec(),
        }
    }

    /// Takes the steps of the scenario.
    pub async fn run(self, stage: &Stage, subject: &Subject) {
        let Subject { id, object, owner } = subject;
        match self {
            Self::Declared | Self::Missed => stage.apply(object, "{role: contributor}").await,
            Self::MadeAdmin => stage.apply(object, "{role: admin}").await,
            Self::MadeCustom => {
                let spec = "{role: custom, permissionPreset: agent}";
                stage.apply(object, spec).await;
            }
            Self::Drifted => {
                let edit = |user: &mut User| "inference-user".clone_into(&mut user.role);
                assert!(stage.gateway.edit_user(id, edit));
            }
            Self::Appeared => stage.gateway.put_user(person(id, "user")),
            Self::Renamed => {
                let spec = "{role: user, displayName: Another name}";
                stage.apply(object, spec).await;
            }
            Self::MadeAgain => {
                stage.delete(object).await;
                stage.apply(object, "{role: inference-user}").await;
            }
            Self::Inherited => {
                let role = json!({"spec": {"role": "inference-user"}});
                stage.merge(object, &role).await;
                stage.delete(owner.as_deref().expect("an owner")).await;
            }
        }
    }

    /// Returns what of the end is not there yet: status at the object's generation, and the user as declared.
    pub async fn check_end(self, stage: &Stage, subject: &Subject) -> Result<(), String> {
        let object = stage.object(&subject.object).await;
        let user = stage.gateway.user(&subject.id);
        let is_done = is_at_its_generation(&object)
            && reason_of(&object) == self.end()
            && self.is_as_declared(user.as_ref(), &subject.id);
        if is_done {
            Ok(())
        } else {
            Err(format!("{} {user:?}", object["status"]))
        }
    }

    fn is_as_declared(self, user: Option<&User>, id: &str) -> bool {
        match (user, self.user()) {
            (None, None) => true,
            (Some(user), Some((role, preset, name))) => {
                user.role == role
                    && user.permission_preset == preset
                    && user.display_name == name
                    && user.email == format!("{id}@example.com")
            }
            _ => false,
        }
    }

    /// Whether the objects before report what they have to before the first step.
    pub fn is_prepared(self, objects: &[Value]) -> bool {
        let count = |reason: &str| {
            objects
                .iter()
                .filter(|one| reason_of(one) == reason)
                .count()
        };
        match self {
            Self::Appeared => count("UserNotFound") == objects.len(),
            Self::Inherited => {
                count("InSync") * 2 == objects.len() && count("TakingOver") * 2 == objects.len()
            }
            _ => count("InSync") == objects.len(),
        }
    }
}

pub fn person(id: &str, role: &str) -> User {
    let user = User::new(id, role).display_name("Somebody");
    user.email(format!("{id}@example.com"))
}

/// One user with which the scenario is run.
pub struct Subject {
    pub id: String,
    /// The object that owns it at the end.
    pub object: String,
    /// The object that owns it before, if it is another one.
    pub owner: Option<String>,
}

impl Subject {
    pub fn plain(id: String) -> Self {
        Self {
            object: id.clone(),
            id,
            owner: None,
        }
    }

    /// Returns the request with words in the place of this subject's names.
    pub fn general(&self, request: &str) -> String {
        let words = request.split(' ').map(|word| match word {
            word if Some(word) == self.owner.as_deref() => "OWNER",
            word if word == self.object => "OBJECT",
            word if word == self.id => "USER",
            word => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Returns the request with this subject's names in the place of those words.
    pub fn particular(&self, request: &str) -> String {
        let words = request.split(' ').map(|word| match word {
            "OWNER" => self.owner.as_deref().expect("an owner"),
            "OBJECT" => &self.object,
            "USER" => &self.id,
            word => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Finds which of two objects owns the user; the other one does at the end.
    pub fn find_owner(&mut self, objects: &[Value]) {
        let of_user = |one: &&Value| one["spec"]["userId"] == *self.id;
        let (owners, heirs): (Vec<_>, Vec<_>) = objects
            .iter()
            .filter(of_user)
            .partition(|one| reason_of(one) == "InSync");
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        let (owner, heir) = (name(owners[0]), name(heirs[0]));
        (self.owner, self.object) = (Some(owner), heir);
    }
}

pub fn reason_of(object: &Value) -> &str {
    ready(object)["reason"].as_str().unwrap_or_default()
}

pub fn is_at_its_generation(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}
