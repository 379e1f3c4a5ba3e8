//! The crash sweep: every story of a user, killed before and after everything the operator does outside
//! (the registry is `runtime::effects`), and started again as a kubelet would. The story without a crash
//! is told first and is what the others are compared with: the same changes, at most one PATCH more.

use fireworks_gateway_simulator::User;
use operator_runtime::effects::{Effect, Side};
use rig::until;
use serde_json::{Value, json};

use crate::lives::{armed, changes, point, until_killed};
use crate::stage::{LONG, Stage, Start, brief, manifest, ready};

/// What happens to one user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Story {
    /// The object is new.
    Declared,
    /// A user is made an admin.
    MadeAdmin,
    /// An admin becomes a custom user with a preset.
    MadeCustom,
    /// Somebody else changes the role.
    Drifted,
    /// There is no such user.
    Missed,
    /// There was no such user, and now there is.
    Appeared,
    /// The display name changes, and an e-mail address is nobody's business.
    Renamed,
    /// The object is deleted and made again with another role.
    MadeAgain,
    /// Of two objects for one user the owner goes.
    Inherited,
}

const STORIES: [Story; 9] = [
    Story::Declared,
    Story::MadeAdmin,
    Story::MadeCustom,
    Story::Drifted,
    Story::Missed,
    Story::Appeared,
    Story::Renamed,
    Story::MadeAgain,
    Story::Inherited,
];

impl Story {
    /// What the operator does outside in the course of it. A list comes first: it is about nobody, and
    /// whoever dies there does so at once.
    fn effects(self) -> &'static [Effect] {
        use Effect::{Event, Get, List, Patch, Status, Verify};
        match self {
            Self::Missed => &[List, Get, Status, Event],
            Self::MadeAdmin
            | Self::MadeCustom
            | Self::Declared
            | Self::Drifted
            | Self::Appeared
            | Self::Renamed
            | Self::MadeAgain
            | Self::Inherited => &[List, Verify, Patch, Status, Event],
        }
    }

    /// What the object says in the end.
    fn end(self) -> &'static str {
        match self {
            Self::Missed => "UserNotFound",
            _ => "InSync",
        }
    }

    /// Role, preset and display name in the end.
    fn user(self) -> Option<(&'static str, &'static str, &'static str)> {
        Some(match self {
            Self::Missed => return None,
            Self::MadeAdmin => ("admin", "", "Somebody"),
            Self::MadeCustom => ("custom", "agent", "Somebody"),
            Self::Renamed => ("user", "", "Somebody else"),
            Self::MadeAgain | Self::Inherited => ("inference-user", "", "Somebody"),
            Self::Declared | Self::Drifted | Self::Appeared => ("contributor", "", "Somebody"),
        })
    }

    /// The user before.
    fn put(self, stage: &Stage, id: &str) {
        let role = match self {
            Self::Missed | Self::Appeared => return,
            Self::MadeCustom => "admin",
            _ => "user",
        };
        stage.gateway.put_user(person(id, role));
    }

    /// The objects before.
    fn manifests(self, id: &str) -> Vec<String> {
        let one = |spec| vec![manifest(id, spec)];
        match self {
            Self::Declared | Self::Missed => vec![],
            Self::MadeAdmin => one("{role: user}"),
            Self::MadeCustom => one("{role: admin}"),
            Self::Drifted | Self::Appeared | Self::MadeAgain => one("{role: contributor}"),
            Self::Renamed => one("{role: user, displayName: Somebody}"),
            // Which of the two owns the user is theirs to find out.
            Self::Inherited => ["a", "b"]
                .map(|end| {
                    let spec = format!("{{role: contributor, userId: {id}}}");
                    manifest(&format!("{id}-{end}"), &spec)
                })
                .to_vec(),
        }
    }

    /// The objects before have said all they have to say.
    fn is_prepared(self, objects: &[Value]) -> bool {
        let says = |reason: &str| {
            objects
                .iter()
                .filter(|one| reason_of(one) == reason)
                .count()
        };
        match self {
            Self::Appeared => says("UserNotFound") == objects.len(),
            Self::Inherited => {
                says("InSync") * 2 == objects.len() && says("TakingOver") * 2 == objects.len()
            }
            _ => says("InSync") == objects.len(),
        }
    }
}

fn person(id: &str, role: &str) -> User {
    let user = User::new(id, role).display_name("Somebody");
    user.email(format!("{id}@example.com"))
}

/// One user to whom the story happens.
struct Subject {
    id: String,
    /// The object that speaks of it in the end.
    object: String,
    /// Another object that goes.
    owner: Option<String>,
}

impl Subject {
    /// Whom the effect names.
    fn about(&self, effect: Effect) -> Option<&str> {
        match effect {
            Effect::List => None,
            Effect::Get | Effect::Patch => Some(&self.id),
            Effect::Status | Effect::Verify | Effect::Event => Some(&self.object),
        }
    }
}

/// The story told of several users on one stage.
struct Sweep {
    stage: Stage,
    story: Story,
}

impl Sweep {
    /// Everything up to where the story begins.
    async fn set(story: Story, count: usize) -> (Self, Vec<Subject>) {
        let name = format!("{story:?}").to_lowercase();
        let stage = Stage::set(&name).await;
        stage.user("root", "admin");
        let ids: Vec<String> = (0..count).map(|n| format!("{name}-{n:02}")).collect();
        for id in &ids {
            story.put(&stage, id);
        }
        let sweep = Self { stage, story };
        let mut subjects: Vec<Subject> = ids.into_iter().map(Subject::plain).collect();
        let manifests: Vec<String> = subjects
            .iter()
            .flat_map(|one| story.manifests(&one.id))
            .collect();
        if manifests.is_empty() {
            return (sweep, subjects);
        }
        sweep.stage.apply_all(&manifests.join("---\n")).await;
        let _operator = sweep.stage.operator_with(start()).await;
        let objects = sweep
            .until_objects("the beginning", |objects| {
                objects.len() == manifests.len() && story.is_prepared(objects)
            })
            .await;
        if story == Story::Inherited {
            for subject in &mut subjects {
                subject.find_owner(&objects);
            }
        }
        (sweep, subjects)
    }

    /// The story.
    async fn tell(&self, subject: &Subject) {
        let Subject { id, object, owner } = subject;
        let stage = &self.stage;
        match self.story {
            Story::Declared | Story::Missed => stage.apply(object, "{role: contributor}").await,
            Story::MadeAdmin => stage.apply(object, "{role: admin}").await,
            Story::MadeCustom => {
                let spec = "{role: custom, permissionPreset: agent}";
                stage.apply(object, spec).await;
            }
            Story::Drifted => {
                let edit = |user: &mut User| "inference-user".clone_into(&mut user.role);
                assert!(stage.gateway.edit_user(id, edit));
            }
            Story::Appeared => stage.gateway.put_user(person(id, "user")),
            Story::Renamed => {
                let spec = "{role: user, displayName: Somebody else}";
                stage.apply(object, spec).await;
            }
            Story::MadeAgain => {
                stage.delete(object).await;
                stage.apply(object, "{role: inference-user}").await;
            }
            Story::Inherited => {
                let role = json!({"spec": {"role": "inference-user"}});
                stage.merge(object, &role).await;
                stage.delete(owner.as_deref().expect("an owner")).await;
            }
        }
    }

    /// Waits for the end of the story: status at the object's generation, and the user as declared.
    async fn until_end(&self, subject: &Subject) {
        let stage = &self.stage;
        let what = format!("the end of {}", subject.object);
        until(LONG, &what, async || {
            let object = stage.object(&subject.object).await;
            let is_done = is_at_its_generation(&object)
                && reason_of(&object) == self.story.end()
                && self.is_as_told(subject);
            if is_done {
                Ok(())
            } else {
                Err(format!(
                    "{} {:?}",
                    object["status"],
                    stage.gateway.user(&subject.id)
                ))
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}\n{:#?}", brief(&stage.gateway.journal())));
    }

    fn is_as_told(&self, subject: &Subject) -> bool {
        let user = self.stage.gateway.user(&subject.id);
        match (user, self.story.user()) {
            (None, None) => true,
            (Some(user), Some((role, preset, name))) => {
                user.role == role
                    && user.permission_preset == preset
                    && user.display_name == name
                    && user.email == format!("{}@example.com", subject.id)
            }
            _ => false,
        }
    }

    async fn until_objects(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let every = ["fwusers", "-n", &self.stage.namespace];
        let found = until(LONG, what, async || {
            let list = self.stage.plane.get_json(&every).await;
            let list = list.map_err(|error| error.to_string())?;
            let objects = list["items"].as_array().cloned().unwrap_or_default();
            if objects.iter().all(is_at_its_generation) && holds(&objects) {
                Ok(objects)
            } else {
                let said = objects
                    .iter()
                    .map(|one| format!("{} {}", one["metadata"]["name"], ready(one)));
                Err(said.collect::<Vec<_>>().join("\n"))
            }
        });
        found.await.unwrap_or_else(|timeout| panic!("{timeout}"))
    }
}

impl Subject {
    fn plain(id: String) -> Self {
        Self {
            object: id.clone(),
            id,
            owner: None,
        }
    }

    /// Of two objects for one user, one owns it, and the other speaks of it in the end.
    fn find_owner(&mut self, objects: &[Value]) {
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

fn reason_of(object: &Value) -> &str {
    ready(object)["reason"].as_str().unwrap_or_default()
}

fn is_at_its_generation(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

fn start() -> Start {
    Start {
        // Each life waits for it before it believes what a former one may have left under way.
        settle: "100ms",
        ..Start::default()
    }
}

/// Tells the story once without a crash and once for each crash point, each time of another user.
async fn sweep(story: Story) {
    let points: Vec<(Effect, Side)> = story
        .effects()
        .iter()
        .flat_map(|effect| [(*effect, Side::Before), (*effect, Side::After)])
        .collect();
    let (sweep, subjects) = Sweep::set(story, points.len() + 1).await;
    let (calm, killed) = subjects.split_first().expect("somebody");
    let stage = &sweep.stage;

    let mark = stage.gateway.last_seq();
    let operator = stage.operator_with(start()).await;
    sweep.tell(calm).await;
    sweep.until_end(calm).await;
    operator.kill().unwrap();
    let undisturbed = stage.patches_since(mark, &calm.id);

    let mut unfinished: Vec<&Subject> = vec![];
    for (subject, (effect, side)) in killed.iter().zip(points) {
        let point = point(effect, side, 1, subject.about(effect));
        let start = Start {
            args: armed(&point),
            ..start()
        };
        let operator = stage.operator_with(start).await;
        if effect != Effect::List {
            for former in unfinished.drain(..) {
                sweep.until_end(former).await;
            }
        }
        sweep.tell(subject).await;
        until_killed(&operator, &point).await;
        unfinished.push(subject);
    }
    let _operator = stage.operator_with(start()).await;
    for subject in &subjects {
        sweep.until_end(subject).await;
    }
    // Whatever would be done once more is done within these.
    stage.until_sweeps(2).await;
    for subject in &subjects {
        sweep.until_end(subject).await;
        let patches = stage.patches_since(mark, &subject.id);
        let crashes = usize::from(subject.id != calm.id);
        assert_eq!(
            changes(&patches),
            changes(&undisturbed),
            "{:#?}",
            brief(&patches)
        );
        assert!(
            patches.len() <= undisturbed.len() + crashes,
            "{:#?}",
            brief(&patches)
        );
    }
}

#[tokio::test]
async fn a_new_object_killed_at_every_point() {
    sweep(Story::Declared).await;
}

#[tokio::test]
async fn a_new_admin_killed_at_every_point() {
    sweep(Story::MadeAdmin).await;
}

#[tokio::test]
async fn a_new_custom_user_killed_at_every_point() {
    sweep(Story::MadeCustom).await;
}

#[tokio::test]
async fn a_repaired_drift_killed_at_every_point() {
    sweep(Story::Drifted).await;
}

#[tokio::test]
async fn an_absent_user_killed_at_every_point() {
    sweep(Story::Missed).await;
}

#[tokio::test]
async fn a_user_that_appears_killed_at_every_point() {
    sweep(Story::Appeared).await;
}

#[tokio::test]
async fn a_new_name_killed_at_every_point() {
    sweep(Story::Renamed).await;
}

#[tokio::test]
async fn an_object_made_again_killed_at_every_point() {
    sweep(Story::MadeAgain).await;
}

#[tokio::test]
async fn a_claim_that_is_inherited_killed_at_every_point() {
    sweep(Story::Inherited).await;
}

#[test]
fn every_effect_is_part_of_a_story() {
    for effect in Effect::ALL {
        let told = STORIES.iter().any(|story| story.effects().contains(effect));
        assert!(told, "nobody is killed at {}", effect.name());
    }
}
